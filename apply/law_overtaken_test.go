package apply_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
)

// While a plan waits to be confirmed, that of another topology on the same
// hosts may be carried out. It either does not matter, or the plan is refused
// as stale; nothing that was found is lost, and made anew it goes through.
func TestLawOfBeingOvertaken(t *testing.T) {
	law(t, 3, func(t *rapid.T) {
		first := parse(t, modestest.Inventory().Draw(t, "one"))
		w := drawnWorld(t, first)
		disturb(t, w)
		theirs := w.visit(t)
		check := w.guard(t, theirs)
		found := w.dump()

		reached := map[string]*inventory.Inventory{}
		// next draws what a topology is to do: to come or to change, or to go.
		next := func(which string) (inv *inventory.Inventory, destroys bool) {
			if now := reached[which]; now != nil && rapid.Bool().Draw(t, which+" goes") {
				return now, true
			}
			return drawnFor(t, which), false
		}
		type run struct {
			which    string
			inv      *inventory.Inventory
			destroys bool
			plan     *plan.Plan
		}
		planned := func(r run) *plan.Plan {
			if r.destroys {
				return w.destroyOf(r.inv)
			}
			return w.planOf(r.inv)
		}
		carryOut := func(r run) {
			err := w.run(r.plan)
			for tries := 0; fault.Of(err) == fault.Stale; tries++ {
				if tries == 3 {
					t.Fatalf("%s: made anew and stale still: %v", r.which, err)
				}
				if r.plan = planned(r); conflicts(t, r.plan) {
					err = nil // the other wants something else by now
					break
				}
				err = w.run(r.plan)
			}
			if err != nil {
				t.Fatalf("%s, destroys %t: %v", r.which, r.destroys, err)
			}
			reached[r.which] = r.inv
			if r.destroys {
				delete(reached, r.which)
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			var runs []run
			for _, which := range rapid.Permutation([]string{"one", "other"}).Draw(t, "who is overtaken") {
				r := run{which: which}
				r.inv, r.destroys = next(which)
				if r.plan = planned(r); !conflicts(t, r.plan) {
					runs = append(runs, r)
				}
			}
			for i := range runs {
				carryOut(runs[len(runs)-1-i])
			}
		}
		for _, which := range []string{"one", "other"} {
			if inv := reached[which]; inv != nil {
				w.mustRun(t, fmt.Sprint("destroy ", which), w.destroyOf(inv))
			}
		}
		check()
		if left := w.dump(); left != found {
			t.Fatalf("destroy (-found +left):\n%s", cmp.Diff(found, left))
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
