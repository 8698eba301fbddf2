package modes_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

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
		golden(t, strings.TrimSuffix(file, ".yaml")+".golden", problems.Error()+"\n")
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
		golden(t, strings.TrimSuffix(file, ".yaml")+".golden", text(inv, modes.Desire(inv, nil)))
	}
}

func text(inv *inventory.Inventory, desired modes.Desired) string {
	var b strings.Builder
	for _, h := range inv.Hosts {
		fmt.Fprintf(&b, "%s\n", h.Name)
		for _, w := range desired[h.Name] {
			fmt.Fprintf(&b, "  %s: %s (%s)\n", w.Role, state.Text(w.Item), w.Reason)
			for _, i := range w.MetBy {
				fmt.Fprintf(&b, "    or %s\n", state.Text(i))
			}
		}
	}
	return b.String()
}
