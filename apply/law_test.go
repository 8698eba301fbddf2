package apply_test

import (
	"net/netip"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/state"
)

// disturb changes the live state as somebody with a shell might: what the
// inventory wants is partly there, and partly otherwise.
func disturb(t *rapid.T, w *world) {
	for _, h := range w.inv.Hosts {
		live := w.kernels[h.Name].State
		for _, want := range modes.Desire(w.inv, nil)[h.Name] {
			_, there := live[state.IDOf(want.Item)]
			switch i := want.Item.(type) {
			case state.Sysctl:
				if there {
					i.Setting = rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "setting")
					live.Put(i)
				}
			case state.Module, state.Service, state.Route, state.Rule, state.FOUPort:
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
	for _, k := range w.kernels {
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
	w.kernels["lb"].State.Put(state.Service{
		ServiceID: state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("198.51.100.1:53")},
		Scheduler: "wlc", PersistenceBits: 32,
	})
}

// facts are the devices of the fakes.
func (w *world) facts() modes.Facts {
	out := modes.Facts{}
	for name, k := range w.kernels {
		out[name] = map[string]state.Link{}
		for _, l := range state.Of[state.Link](k.State) {
			out[name][l.Name] = l
		}
	}
	return out
}

// reach applies the inventory and checks that it then holds.
func (w *world) reach(t *rapid.T) {
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	for host, wants := range modes.Desire(w.inv, w.facts()) {
		for _, want := range wants {
			is := w.kernels[host].State.Has(want.Item)
			for _, i := range want.MetBy {
				is = is || w.kernels[host].State.Has(i)
			}
			if !is {
				t.Fatalf("%s lacks %s after apply", host, state.Text(want.Item))
			}
		}
	}
	p := w.plan()
	if !p.Empty() || p.Failed() {
		t.Fatalf("the second plan is not empty: %+v", p)
	}
	for _, h := range p.Hosts {
		if len(h.Adopt)+len(h.Forget) != 0 {
			t.Fatalf("%s: the second plan still adopts %v and forgets %v", h.Name, h.Adopt, h.Forget)
		}
	}
}

// Whatever is found: applying the plan gives what is desired and a second plan
// is empty; the same again for a second inventory over the same hosts, in
// whatever modes; and destroy gives back what was found before the first.
func TestLawOfTheCircle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "lvsform-law-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		first := parse(t, modestest.Inventory().Draw(t, "first"))
		second := parse(t, modestest.Inventory().Draw(t, "second"))
		w := newWorld(first, dir)
		disturb(t, w)
		found := w.dump()

		w.reach(t)
		w.inv = second
		if p := w.plan(); p.Failed() {
			t.Skip("the second inventory wants a service that was found and is not ours")
		}
		w.reach(t)

		if err := w.destroy(); err != nil {
			t.Fatal(err)
		}
		w.inv = first
		if left := w.dump(); left != found {
			t.Fatalf("found:\n%s\nleft:\n%s", found, left)
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
