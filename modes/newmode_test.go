package modes_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A new forwarding mode is one file here, its line in modeOf, and its constant
// and row in inventory/mode.go. In a copy of the project with just these it is
// in the schema, and is explained, planned, applied, verified and imported back.
func TestNewMode(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a copy of the project; -short was given")
	}
	dir := t.TempDir()
	copyProject(t, "..", dir)
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(file string) string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	insert := func(name, before, line string) {
		t.Helper()
		text := read(filepath.Join(dir, name))
		at := strings.Index(text, before)
		if at < 0 {
			t.Fatalf("%s has no %q", name, before)
		}
		put(name, text[:at]+line+text[at:])
	}
	put("modes/mirror.go", read("testdata/newmode/mirror.go.txt"))
	put("newmode/mirror_test.go", read("testdata/newmode/mirror_test.go.txt"))
	insert("inventory/mode.go", `	ModeFullNAT Mode = `, "\tModeMirror Mode = \"mirror\"\n")
	insert("inventory/mode.go", `		{mode: ModeFullNAT, `, "\t\t{mode: ModeMirror, service: []string{\"arp\"}},\n")
	insert("modes/modes.go", `	case inventory.ModeFullNAT:`, "\tcase inventory.ModeMirror:\n\t\treturn mirror()\n")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-trimpath", "-count=1", "./newmode")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// copyProject copies the project's files, but for what is built and what git has.
func copyProject(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == ".git" || name == "bin" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if ext := filepath.Ext(name); ext != ".go" && ext != ".mod" && ext != ".sum" && ext != ".json" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
