package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/plan"
)

// An inventory and a plan are written whole, with a mode of their own, and in
// the place of nothing that would be missed.
func TestWhatIsWritten(t *testing.T) {
	const saved = `{"format": "` + plan.SavedFormat + `", "format_version": "2"`
	write := map[string]func(name string, force bool) error{
		"plan": func(name string, _ bool) error { return writePlan(name, []byte("new")) },
		"import": func(name string, force bool) error {
			return (&importFlags{out: name, force: force}).writeOut([]byte("new"))
		},
	}
	file := func(text string) func(name string) error {
		return func(name string) error {
			return errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chmod(name, 0o644)) // whatever the umask is
		}
	}
	for _, c := range []struct {
		name    string
		there   func(name string) error
		by      string
		force   bool
		mode    fs.FileMode // of what is there afterwards
		refused string
	}{
		{"nothing", nil, "plan", false, 0o600, ""},
		{"nothing", nil, "import", false, 0o644, ""},
		{"an empty file", file(""), "plan", false, 0o600, ""},
		{"a saved plan", file(saved), "plan", false, 0o600, ""},
		{"an inventory", file("version: 1\n"), "plan", false, 0o644, "is no saved plan"},
		{"an inventory in JSON", file(`{"version": 1}`), "plan", false, 0o644, "is no saved plan"},
		{"other JSON", file(`{"compilerOptions": {}}`), "plan", false, 0o644, "is no saved plan"},
		{"an inventory", file("version: 1\n"), "import", false, 0o644, "--force replaces it"},
		{"an inventory", file("version: 1\n"), "import", true, 0o644, ""},
		{"a pipe", func(name string) error { return unix.Mkfifo(name, 0o400) }, "plan", false, fs.ModeNamedPipe | 0o400, "no regular file"},
		{"a pipe", func(name string) error { return unix.Mkfifo(name, 0o400) }, "import", true, fs.ModeNamedPipe | 0o400, "no regular file"},
		{"a link", func(name string) error { return os.Symlink("elsewhere", name) }, "plan", false, fs.ModeSymlink | 0o777, "no regular file"},
		{"a folder", func(name string) error { return os.Mkdir(name, 0o700) }, "import", true, fs.ModeDir | 0o700, "no regular file"},
	} {
		t.Run(c.by+" over "+c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "file")
			if c.there != nil {
				if err := c.there(name); err != nil {
					t.Fatal(err)
				}
			}
			err := write[c.by](name, c.force)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("error %v, want one with %q", err, c.refused)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != c.mode {
				t.Errorf("mode %v, want %v", info.Mode(), c.mode)
			}
			if c.refused == "" {
				if text, err := os.ReadFile(name); string(text) != "new" {
					t.Errorf("%q, %v", text, err)
				}
			}
			if all, err := os.ReadDir(filepath.Dir(name)); len(all) != 1 {
				t.Errorf("left behind: %v, %v", all, err)
			}
		})
	}
}
