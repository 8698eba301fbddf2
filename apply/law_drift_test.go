package apply_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// byHand changes an item that lvsform holds as somebody with a shell might. It
// returns nil for what cannot be changed without changing others as well.
func byHand(t *rapid.T, k state.Host, e journal.Entry) *state.Change {
	is := k[e.ID()]
	another := func(i state.Item) *state.Change { return &state.Change{Before: is, After: i} }
	gone := &state.Change{Before: is}
	switch i := is.(type) {
	case state.Sysctl:
		i.Setting = rapid.SampledFrom([]string{"0", "1", "2", "3"}).Draw(t, "setting")
		if i == is {
			return nil
		}
		return another(i)
	case state.Destination:
		if rapid.Bool().Draw(t, "gone") {
			return gone
		}
		i.Weight += rapid.Uint32Range(1, 9).Draw(t, "more weight")
		return another(i)
	case state.Service:
		i.Scheduler = map[bool]string{true: "lc", false: "rr"}[i.Scheduler == "rr"]
		return another(i) // what goes with it goes with its removal
	case state.Route:
		if rapid.Bool().Draw(t, "gone") {
			return gone
		}
		i.Via = netip.MustParseAddr(map[bool]string{false: "192.0.2.250", true: "2001:db8:1::250"}[i.To.Addr().Is6()])
		return another(i)
	case state.Neighbour:
		if rapid.Bool().Draw(t, "gone") {
			return gone
		}
		i.MAC = "02:00:00:00:00:77"
		return another(i)
	case state.Timeouts:
		i.TCP += 7
		return another(i)
	case state.FirewallRule, state.FOUPort, state.Address:
		return gone
	default:
		return nil // what takes others along: devices
	}
}

// What was changed by hand since the last apply is what drift tells, all of it
// and nothing else; the plan mends it, and then there is no drift any more.
func TestLawOfDrift(t *testing.T) {
	law(t, 4, func(t *rapid.T) {
		w := drawnWorld(t, parse(t, modestest.Inventory().Draw(t, "inventory")))
		disturb(t, w)
		found := w.dump()
		w.mustRun(t, "apply", w.planOf(w.inv))
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			want := map[string]string{}
			observed := w.observe(w.inv)
			for _, h := range w.inv.Hosts {
				live := w.Kernels[h.Name].State
				for _, e := range observed[h.Name].Journal.Entries {
					if rapid.IntRange(0, 2).Draw(t, "by hand") != 0 {
						continue
					}
					if c := byHand(t, live, e); c != nil {
						want[h.Name+" "+c.ID().String()] = c.String()
						if c.After != nil {
							live.Put(c.After)
						} else {
							delete(live, c.ID())
						}
					}
				}
			}
			if rapid.Bool().Draw(t, "a stranger's destination") {
				w.addDestination(want, observed["lb"].Journal.Entries)
			}

			got := map[string]string{}
			drift := plan.Deviations(w.inv, w.observe(w.inv))
			for _, h := range drift.Hosts {
				for _, d := range h.Deviations {
					got[h.Name+" "+string(d.Kind)+" "+d.Key] = state.Change{Before: d.Applied.Item, After: d.Live.Item}.String()
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("drift (-by hand +told):\n%s", diff)
			}
			if drift.Clean() != (len(want) == 0) || drift.Summary.Deviations != len(want) {
				t.Fatalf("%d changes by hand, and drift says %+v", len(want), drift.Summary)
			}

			p := w.planOf(w.inv)
			if p.Failed() {
				t.Fatalf("after drift nothing can be planned: %v", p.Failure())
			}
			mends := mended(p)
			for what := range want {
				if !mends[what] && !strings.Contains(what, "222") {
					t.Fatalf("drift of %s, and the plan does nothing about it:\n%s", what, planString(t, p))
				}
			}
			w.mustRun(t, "apply after drift", p)
			for _, d := range w.strangersDestinations() {
				delete(w.Kernels["lb"].State, state.IDOf(d))
			}
			w.nothingLeft(t, "after drift", w.inv)
		}
		w.mustRun(t, "destroy", w.destroyOf(w.inv))
		if left := w.dump(); left != found {
			t.Fatalf("destroy (-found +left):\n%s", cmp.Diff(found, left))
		}
	})
}

// mended are the items that a plan changes, or takes note of where what was set
// by hand serves as well.
func mended(p *plan.Plan) map[string]bool {
	out := map[string]bool{}
	for _, h := range p.Hosts {
		for _, a := range h.Actions {
			out[h.Name+" "+a.Change().ID().String()] = true
		}
		for _, e := range h.Adopt {
			out[h.Name+" "+e.ID().String()] = true
		}
		for _, id := range h.Forget {
			out[h.Name+" "+id.String()] = true
		}
	}
	return out
}

// addDestination puts a destination of a stranger's into a virtual service that
// lvsform made, if there is one.
func (w *world) addDestination(want map[string]string, held []journal.Entry) {
	for _, e := range held {
		s, ok := w.Kernels["lb"].State[e.ID()].(state.Service)
		if !ok || e.Before.Item != nil {
			continue
		}
		d := state.Destination{Service: s.ServiceID, Address: netip.MustParseAddrPort("192.0.2.222:80"), Forward: state.ForwardDR, Weight: 1}
		if s.Address.Addr().Is6() {
			d.Address = netip.MustParseAddrPort("[2001:db8:1::222]:80")
		}
		w.Kernels["lb"].State.Put(d)
		want["lb "+state.IDOf(d).String()] = fmt.Sprint(state.Change{After: d})
		return
	}
}

func (w *world) strangersDestinations() []state.Destination {
	return slices.DeleteFunc(state.Of[state.Destination](maps.Clone(w.Kernels["lb"].State)), func(d state.Destination) bool {
		a := d.Address.Addr().String()
		return a != "192.0.2.222" && a != "2001:db8:1::222"
	})
}
