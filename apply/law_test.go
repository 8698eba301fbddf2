package apply_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/state"
)

// disturb changes the live state as somebody with a shell might: what the
// inventory wants is partly there, and partly otherwise.
func disturb(t *rapid.T, w *world) {
	for _, h := range w.inv.Hosts {
		live := w.Kernels[h.Name].State
		for _, want := range modes.Desire(w.inv, nil)[h.Name] {
			_, there := live[state.IDOf(want.Item)]
			switch i := want.Item.(type) {
			case state.Sysctl:
				if there {
					i.Setting = rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "setting")
					live.Put(i)
				}
			case state.Module, state.Service, state.Route, state.FirewallRule, state.FOUPort:
				// A service that differs would be somebody else's: a conflict.
				if rapid.Bool().Draw(t, "there") {
					live.Put(i)
				}
			case state.Address:
				if _, ok := live[state.IDOf(state.Link{Name: i.Link})]; ok && rapid.Bool().Draw(t, "there") {
					live.Put(i)
				}
			case state.Destination:
				if _, ok := live[state.IDOf(state.Service{ServiceID: i.Service})]; ok && rapid.Bool().Draw(t, "there") {
					i.Weight = rapid.Uint32Range(0, 3).Draw(t, "live weight")
					live.Put(i)
				}
			}
		}
	}
	// What comes with modules that are loaded already is there, too.
	for _, k := range w.Kernels {
		for module, items := range k.Appears {
			for _, i := range items {
				if _, loaded := k.State[state.IDOf(state.Module{Name: module})]; loaded {
					if _, there := k.State[state.IDOf(i)]; !there {
						k.State.Put(i)
					}
				}
			}
		}
	}
}

// facts are the devices of the fakes.
func (w *world) facts() modes.Facts {
	out := modes.Facts{}
	for name, k := range w.Kernels {
		out[name] = map[string]state.Link{}
		for _, l := range state.Of[state.Link](k.State) {
			out[name][l.Name] = l
		}
	}
	return out
}

// reach applies the inventory and checks that it then holds, and that applying
// it once more does nothing at all.
func (w *world) reach(t *rapid.T) {
	t.Helper()
	w.mustRun(t, "apply", w.planOf(w.inv))
	for host, wants := range modes.Desire(w.inv, w.facts()) {
		for _, want := range wants {
			if !w.has(host, want) {
				t.Fatalf("%s lacks %s after apply", host, state.Text(want.Item))
			}
		}
	}
	second := w.nothingLeft(t, "the second plan", w.inv)
	before, changes := w.whole(), w.record()
	w.mustRun(t, "apply again", second)
	w.unhook()
	for host, did := range changes {
		if len(*did) != 0 {
			t.Fatalf("applying again changes %s: %v", host, *did)
		}
	}
	if after := w.whole(); after != before {
		t.Fatalf("applying again changes something (-before +after):\n%s", cmp.Diff(before, after))
	}
}

// Whatever is found: applying the plan gives what is desired, a second plan is
// empty, and a second apply changes neither the hosts nor a byte of their
// journals; the same again for further inventories over the same hosts, in
// whatever modes; and destroy gives back what was found before the first. What
// is somebody else's is never touched.
func TestLawOfTheCircle(t *testing.T) {
	law(t, 4, func(t *rapid.T) {
		w := drawnWorld(t, parse(t, modestest.Inventory().Draw(t, "first")))
		disturb(t, w)
		theirs := w.visit(t)
		untouched := w.guard(t, theirs)
		found := w.dump()

		w.reach(t)
		for i := range rapid.IntRange(0, 2).Draw(t, "further inventories") {
			next := parse(t, modestest.Inventory().Draw(t, "next"))
			if p := w.planOf(next); p.Failed() {
				continue // it wants a service that was found and is not ours
			}
			w.inv = next
			if i == 0 {
				untouched()
				untouched = w.guard(t, theirs)
			}
			w.reach(t)
		}

		untouched()
		untouched = w.guard(t, theirs)
		w.mustRun(t, "destroy", w.destroyOf(w.inv))
		untouched()
		if left := w.dump(); left != found {
			t.Fatalf("destroy (-found +left):\n%s", cmp.Diff(found, left))
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
