package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// need is a destination with what its real server must have for it.
type need struct {
	director, server string
	destination      state.Destination
	wants            []modes.Want
}

// needs lists those of inventories.
func (w *world) needs(invs ...*inventory.Inventory) []need {
	var out []need
	for _, inv := range invs {
		desired := modes.Desire(inv, w.facts())
		for _, s := range inv.Services {
			for _, r := range s.RealServers {
				part := s.Name + "/" + r.Host.Name
				for _, director := range s.Directors {
					for _, want := range desired[director.Name] {
						d, ok := want.Item.(state.Destination)
						if !ok || !slices.Contains(want.For, part) {
							continue
						}
						n := need{director: director.Name, server: r.Host.Name, destination: d}
						for _, x := range desired[r.Host.Name] {
							if slices.Contains(x.For, part) {
								n.wants = append(n.wants, x)
							}
						}
						out = append(out, n)
					}
				}
			}
		}
	}
	return out
}

// unready says which real server is sent traffic that it is not ready for by
// any of the inventories that send it some.
func (w *world) unready(needs []need) string {
	why := map[string]string{}
	ready := map[string]bool{}
	for _, n := range needs {
		live, ok := w.Kernels[n.director].State[state.IDOf(n.destination)].(state.Destination)
		if !ok || live.Weight == 0 || live.Forward != n.destination.Forward || live.Tunnel != n.destination.Tunnel {
			continue
		}
		key := n.director + ": " + state.Text(live)
		missing := ""
		for _, want := range n.wants {
			if !w.has(n.server, want) {
				missing = fmt.Sprintf("%s is sent traffic and lacks %s", key, state.Text(want.Item))
			}
		}
		if missing == "" {
			ready[key] = true
		} else {
			why[key] = missing
		}
	}
	for key, text := range why {
		if !ready[key] {
			return text
		}
	}
	return ""
}

// choice is a random part of a topology.
func choice(t *rapid.T, p *plan.Plan, inv *inventory.Inventory) plan.Only {
	var hosts, services []string
	for _, h := range p.Hosts {
		hosts = append(hosts, h.Name)
	}
	for _, s := range inv.Services {
		services = append(services, s.Name)
	}
	some := func(label string, all []string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, len(all), rapid.ID).Draw(t, label)
	}
	switch rapid.IntRange(0, 3).Draw(t, "chosen by") {
	case 0:
		return plan.Only{Services: some("services", services)}
	case 1:
		return plan.Only{Hosts: some("hosts", hosts), Services: some("services", services)}
	default:
		return plan.Only{Hosts: some("hosts", hosts)}
	}
}

// part carries out a part of what a plan wants, one host at a time, and watches
// that nobody is sent what he is not ready for. Hosts that are not chosen may be
// out of reach.
func (w *world) part(t *rapid.T, inv *inventory.Inventory, destroy bool, only func(*plan.Plan) plan.Only, needs []need, outages bool) *plan.Plan {
	t.Helper()
	make := plan.Make
	if destroy {
		make = plan.Destroy
	}
	observed := w.observe(inv)
	chosen := only(make(inv, observed))
	if outages && len(chosen.Hosts) != 0 {
		for _, h := range inv.Hosts {
			if !slices.Contains(chosen.Hosts, h.Name) && rapid.IntRange(0, 3).Draw(t, "out of reach") == 0 {
				observed[h.Name] = plan.Observation{Err: errors.New("no route to host")}
			}
		}
	}
	p := make(inv, observed)
	if err := p.Narrow(inv, chosen); err != nil {
		t.Fatal(err)
	}
	if p.Failed() {
		t.Fatalf("%+v: %v", chosen, p.Failure())
	}
	hosts, done := w.Connect()
	defer done()
	var broken []string
	for name, k := range w.Kernels {
		k.BeforeDo = func(c state.Change) error {
			if text := w.unready(needs); text != "" {
				broken = append(broken, fmt.Sprintf("before %s on %s: %s", c, name, text))
			}
			return nil
		}
	}
	options := quick()
	options.Parallel = 1 // so that all kernels may be looked at between two changes
	err := apply.Run(context.Background(), p, hosts, options)
	w.unhook()
	if text := w.unready(needs); text != "" {
		broken = append(broken, "at the end: "+text)
	}
	if err != nil || len(broken) != 0 {
		t.Fatalf("%+v: %v\n%s\n%s", chosen, err, strings.Join(broken, "\n"), planString(t, p))
	}
	return p
}

// byHost applies to every host by itself, in whatever order, until nothing is
// left to do.
func (w *world) byHost(t *rapid.T, inv *inventory.Inventory, destroy bool, needs []need) {
	t.Helper()
	var last *plan.Plan
	for range 2 * len(plan.Waves()) {
		last = w.planOf(inv)
		if destroy {
			last = w.destroyOf(inv)
		}
		if last.Empty() {
			return
		}
		var names []string
		for _, h := range last.Hosts {
			if len(h.Actions)+len(h.Adopt)+len(h.Forget)+len(h.HandOver) != 0 || h.Remember {
				names = append(names, h.Name)
			}
		}
		for _, name := range rapid.Permutation(names).Draw(t, "order of hosts") {
			w.part(t, inv, destroy, func(p *plan.Plan) plan.Only { return plan.Only{Hosts: []string{name}} }, needs, false)
		}
	}
	t.Fatalf("host by host there is no end:\n%s", planString(t, last))
}

// Parts of a topology, chosen at will, come to the same as the whole: whatever
// the order, no real server is sent traffic that it is not ready for, and once
// every host was chosen all is as the whole would have made it.
func TestLawOfChoice(t *testing.T) {
	law(t, 3, func(t *rapid.T) {
		first := parse(t, modestest.Inventory().Draw(t, "first"))
		second := parse(t, modestest.Inventory().Draw(t, "second"))
		w, whole := drawnWorld(t, first), drawnWorld(t, first)
		found := w.dump()
		for _, x := range []*world{w, whole} {
			p := x.planOf(first)
			if p.Summary.Held != 0 {
				t.Fatal("the whole holds something back")
			}
			x.mustRun(t, "first", p)
		}

		needs := w.needs(first, second)
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			w.part(t, second, false, func(p *plan.Plan) plan.Only { return choice(t, p, second) }, needs, true)
		}
		if rapid.Bool().Draw(t, "to the end") {
			w.byHost(t, second, false, needs)
			w.mustRun(t, "the rest", w.planOf(second))
			w.nothingLeft(t, "in parts", second)
			whole.mustRun(t, "second", whole.planOf(second))
			if diff := cmp.Diff(whole.whole(), w.whole()); diff != "" {
				t.Fatalf("(-whole +parts):\n%s", diff)
			}
		}

		for range rapid.IntRange(0, 3).Draw(t, "parts that go") {
			w.part(t, second, true, func(p *plan.Plan) plan.Only { return choice(t, p, second) }, needs, true)
		}
		w.byHost(t, second, true, needs)
		w.mustRun(t, "destroy", w.destroyOf(second))
		if left := w.dump(); left != found {
			t.Fatalf("destroy (-found +left):\n%s", cmp.Diff(found, left))
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
