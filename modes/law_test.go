package modes_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
)

// The inventories that tests draw are valid, and what they desire of the hosts
// does not depend on the order in which hosts are written.
func TestDrawnInventories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := modestest.Inventory().Draw(t, "inventory")
		inv, err := inventory.Parse("drawn.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if problems := modes.Check(inv); len(problems) != 0 {
			t.Fatal(problems)
		}
		want := modes.Desire(inv, nil)
		inv.Hosts = rapid.Permutation(slices.Clone(inv.Hosts)).Draw(t, "order of hosts")
		got := modes.Desire(inv, nil)
		for host := range want {
			if !slices.EqualFunc(want[host], got[host], func(a, b modes.Want) bool { return a.Item == b.Item && a.Reason == b.Reason }) {
				t.Fatalf("%s: %v\nin another order: %v", host, want[host], got[host])
			}
		}
	})
}
