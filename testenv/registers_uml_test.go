package testenv

import (
	"debug/elf"
	"os/exec"
	"testing"
)

// The library must be a whole answer to ptrace(2), and need nothing but what
// linux.uml has loaded anyway.
func TestMakePtrace(t *testing.T) {
	if _, err := exec.LookPath(compiler); err != nil {
		t.Skip(err) // then no machine that runs this test uses it
	}
	library, err := makePtrace(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var given, needed []string
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			needed = append(needed, s.Name)
		} else {
			given = append(given, s.Name)
		}
	}
	if len(given) != 1 || given[0] != "ptrace" || len(needed) != 1 || needed[0] != "__errno_location" {
		t.Errorf("gives %v, needs %v; want ptrace and __errno_location", given, needed)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) != 0 {
		t.Errorf("needs libraries %v (%v), want none", libraries, err)
	}
}
