package apply_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// spare fails the test when a change takes away or alters what another topology
// wants and has.
func (w *world) spare(t *rapid.T, other *inventory.Inventory) (check func()) {
	var (
		mu    sync.Mutex
		taken []string
	)
	for name, wants := range modes.Desire(other, w.facts()) {
		k := w.Kernels[name]
		k.BeforeDo = func(c state.Change) error {
			for _, want := range wants {
				if c.Before == want.Item && k.State.Has(want.Item) {
					mu.Lock()
					taken = append(taken, name+": "+c.String())
					mu.Unlock()
				}
			}
			return nil
		}
	}
	return func() {
		t.Helper()
		w.unhook()
		if len(taken) != 0 {
			t.Fatalf("takes from topology %s: %v", other.Name, taken)
		}
	}
}

// conflicts reports whether a plan failed because of what others hold or made,
// which is its right.
func conflicts(t *rapid.T, p *plan.Plan) bool {
	for _, h := range p.Hosts {
		for _, e := range h.Errors {
			if !strings.Contains(e.Message, "holds it on this host") && !strings.Contains(e.Message, "lvsform did not make it") {
				t.Fatalf("%s: %v", h.Name, e)
			}
		}
	}
	return p.Failed()
}

// Two topologies on the same hosts share what both want. Whoever comes, changes
// or goes takes nothing from the other, and after the last the hosts are as
// they were before the first.
func TestLawOfSharing(t *testing.T) {
	law(t, 4, func(t *rapid.T) {
		first := parse(t, modestest.Inventory().Draw(t, "one"))
		w := drawnWorld(t, first)
		disturb(t, w)
		theirs := w.visit(t)
		found := w.dump()

		reached := map[string]*inventory.Inventory{}
		rest := map[string]string{"one": "other", "other": "one"}
		finish := func(what, which string, p *plan.Plan) {
			check := func() {}
			if other := reached[rest[which]]; other != nil {
				check = w.spare(t, other)
			}
			w.mustRun(t, what, p)
			check()
			if other := reached[rest[which]]; other != nil {
				w.nothingLeft(t, fmt.Sprintf("%s of %s, then the plan of %s", what, which, rest[which]), other)
			}
		}
		for i := range rapid.IntRange(2, 5).Draw(t, "runs") {
			which := rapid.SampledFrom([]string{"one", "other"}).Draw(t, "whose")
			if reached[which] != nil && rapid.IntRange(0, 4).Draw(t, "goes") == 0 {
				finish("destroy", which, w.destroyOf(reached[which]))
				delete(reached, which)
				continue
			}
			inv := first
			if i != 0 || which != "one" {
				inv = drawnFor(t, which)
			}
			p := w.planOf(inv)
			if conflicts(t, p) {
				continue
			}
			reached[which] = nil
			delete(reached, which)
			finish("apply", which, p)
			reached[which] = inv
			w.nothingLeft(t, "apply of "+which, inv)
		}
		order := rapid.Permutation([]string{"one", "other"}).Draw(t, "order of going")
		for _, which := range order {
			if inv := reached[which]; inv != nil {
				finish("destroy", which, w.destroyOf(inv))
				delete(reached, which)
			}
		}
		for name, items := range theirs {
			for _, i := range items {
				if !w.Kernels[name].State.Has(i) {
					t.Fatalf("%s: %s was a stranger's and is %v now", name, state.Text(i), w.Kernels[name].State[state.IDOf(i)])
				}
			}
		}
		if left := w.dump(); left != found {
			t.Fatalf("destroy (-found +left):\n%s", cmp.Diff(found, left))
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
