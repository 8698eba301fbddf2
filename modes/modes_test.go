package modes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// load reads an inventory under its base name, so that goldens hold no folders.
func load(t *testing.T, file string) *inventory.Inventory {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := inventory.Parse(filepath.Base(file), text)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found
}

// Every inventory in testdata/refused breaks static rules; its golden is what
// the user is told.
func TestRefused(t *testing.T) {
	for _, file := range files(t, "testdata/refused/*.yaml") {
		problems := modes.Check(load(t, file))
		if len(problems) == 0 {
			t.Errorf("%s: is accepted", file)
			continue
		}
		golden.Assert(t, problems.Error()+"\n", beside(file))
	}
}

// Every inventory in testdata/desired is valid; its golden is what each host
// must have, and why.
func TestDesired(t *testing.T) {
	for _, file := range files(t, "testdata/desired/*.yaml") {
		inv := load(t, file)
		if problems := modes.Check(inv); len(problems) != 0 {
			t.Errorf("%s: %v", file, problems)
			continue
		}
		golden.Assert(t, text(inv, modes.Desire(inv, nil)), beside(file))
	}
}

func text(inv *inventory.Inventory, desired modes.Desired) string {
	var b strings.Builder
	for _, h := range inv.Hosts {
		fmt.Fprintf(&b, "%s\n", h.Name)
		for _, w := range desired[h.Name] {
			checked := ""
			if w.Checked != nil {
				checked = ", checked"
			}
			fmt.Fprintf(&b, "  %s: %s (%s)%s\n", w.Role, state.Text(w.Item), w.Reason.Text, checked)
			for _, all := range w.MetBy {
				for i, item := range all {
					fmt.Fprintf(&b, "    %s %s\n", []string{"or", "with"}[min(i, 1)], state.Text(item))
				}
			}
		}
	}
	return b.String()
}

// beside is the golden file of a file below testdata.
func beside(file string) string {
	return strings.TrimPrefix(strings.TrimSuffix(file, ".yaml"), "testdata/") + ".golden"
}
