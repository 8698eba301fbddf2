package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

const root = "../.."

// documents returns every Markdown file of the project with its text.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			text, err := os.ReadFile(path)
			out[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil || out[filepath.Join(root, "README.md")] == "" {
		t.Fatalf("documents: %v", err)
	}
	return out
}

// A block of code after a line <!-- file: NAME --> is that file, which a test
// of its own package compares with what lvsform says. -update copies it in.
func TestDocumentsQuoteFiles(t *testing.T) {
	block := regexp.MustCompile("(?s)(<!-- file: (\\S+) -->\n```[a-z]*\n)(.*?)```\n")
	quoted := 0
	for name, text := range documents(t) {
		got := block.ReplaceAllStringFunc(text, func(found string) string {
			quoted++
			parts := block.FindStringSubmatch(found)
			file, err := os.ReadFile(filepath.Join(root, parts[2]))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return parts[1] + strings.TrimRight(string(file), "\n") + "\n```\n"
		})
		if got == text {
			continue
		}
		if !golden.FlagUpdate() {
			t.Errorf("%s does not quote its files (-update does it):\n%s", name, cmp.Diff(text, got))
			continue
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Error(err)
		}
	}
	if quoted == 0 {
		t.Error("no document quotes a file: the marks are written differently")
	}
}

// A block of code after a line <!-- part of: NAME --> is lines of that file.
func TestDocumentsQuoteParts(t *testing.T) {
	block := regexp.MustCompile("(?s)<!-- part of: (\\S+) -->\n```[a-z]*\n(.*?)```\n")
	quoted := 0
	for name, text := range documents(t) {
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			quoted++
			file, err := os.ReadFile(filepath.Join(root, found[1]))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.Contains("\n"+string(file), "\n"+found[2]) {
				t.Errorf("%s quotes what is not in %s:\n%s", name, found[1], found[2])
			}
		}
	}
	if quoted == 0 {
		t.Error("no document quotes a part of a file: the marks are written differently")
	}
}

// examples/README.md lists every example.
func TestDocumentsListExamples(t *testing.T) {
	text := documents(t)[filepath.Join(root, "examples", "README.md")]
	for name := range exampleFiles(t) {
		if !strings.Contains(text, "]("+filepath.ToSlash(name)+")") {
			t.Errorf("examples/README.md does not list %s", name)
		}
	}
}

// A block of code after a line <!-- inventory --> is a valid inventory.
func TestDocumentsShowValidInventories(t *testing.T) {
	block := regexp.MustCompile("(?s)<!-- inventory -->\n```yaml\n(.*?)```\n")
	shown := 0
	for name, text := range documents(t) {
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			shown++
			inv, err := inventory.Parse(name, []byte(found[1]))
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			if problems := modes.Check(inv); len(problems) != 0 {
				t.Errorf("%v", problems)
			}
		}
	}
	if shown == 0 {
		t.Error("no document shows an inventory: the marks are written differently")
	}
}

// Every link inside the project leads to a file or folder.
func TestDocumentsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	for name, text := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), found[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What docs/architecture.md calls `package.Name` is declared there, and it
// lists the modules that go.mod asks for directly.
func TestArchitectureIsReal(t *testing.T) {
	text := documents(t)[filepath.Join(root, "docs", "architecture.md")]
	folders := map[string]string{"wire": "agent/wire", "fake": "kernel/fake"}
	for _, found := range regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
		folder := folders[found[1]]
		if folder == "" {
			folder = found[1]
		}
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |const |\t)` + found[2] + `\b`)
		if !declaredIn(t, files, declared) {
			t.Errorf("docs/architecture.md: %s is not declared in %s", found[0], folder)
		}
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][^` ]*/[^` ]*)` \\|").FindAllStringSubmatch(text, -1) {
		if !bytes.Contains(mod, []byte(row[1]+" v")) {
			t.Errorf("docs/architecture.md: %s is not in go.mod", row[1])
		}
	}
	for _, direct := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		if !strings.Contains(text, "| `"+direct[1]+"` |") {
			t.Errorf("docs/architecture.md: %s is not among the dependencies", direct[1])
		}
	}
}

func declaredIn(t *testing.T, files []string, declared *regexp.Regexp) bool {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(text) {
			return true
		}
	}
	return false
}
