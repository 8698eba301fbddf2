package apply_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// meanwhile changes something on a host after a plan was saved. Matters says
// whether the plan depends on it.
func (w *world) meanwhile(t *rapid.T, p *plan.Plan, observed map[string]plan.Observation) (what string, matters bool) {
	h := rapid.SampledFrom(w.inv.Hosts).Draw(t, "host")
	k := w.Kernels[h.Name]
	nic := h.NICs[0]
	put := func(i state.Item) string {
		k.State.Put(i)
		return h.Name + " has " + state.Text(i)
	}
	switch rapid.IntRange(0, 7).Draw(t, "meanwhile") {
	case 0, 1: // what is of no matter
		i := rapid.SampledFrom([]state.Item{
			state.Link{Name: "docker7", MAC: "02:42:00:00:00:07", MTU: 1400, Up: true},
			state.Route{To: netip.MustParsePrefix("10.7.0.0/16"), Via: netip.MustParseAddr("192.0.2.77"), Link: nic.Name, Protocol: 4},
			state.FirewallRule{Family: state.FirewallIPv4, Table: "mangle", Chain: "PREROUTING", Spec: "-d 198.51.100.7/32 -j ACCEPT"},
			state.Neighbour{Link: nic.Name, Address: netip.MustParseAddr("192.0.2.177"), MAC: "02:00:00:00:00:77"},
			state.Sysctl{Name: "net.ipv4.tcp_syncookies", Setting: "7"},
			state.Address{Link: "lo", Prefix: netip.MustParsePrefix("10.7.7.7/32")},
		}).Draw(t, "of no matter")
		return put(i), false
	case 2: // IPVS is looked at whole
		return put(state.Service{
			ServiceID: state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("198.51.100.7:53")}, Scheduler: "wlc", PersistenceBits: 32,
		}), true
	case 3: // a fact of the inventory
		return put(state.Address{Link: nic.Name, Prefix: netip.MustParsePrefix("192.0.2.241/24")}), true
	case 4: // another topology takes hold of what is wanted or held
		ids := slices.Sorted(maps.Keys(touched(w.inv, p, observed)[h.Name]))
		if len(ids) == 0 {
			return "", false
		}
		id := rapid.SampledFrom(ids).Draw(t, "held by another")
		is, there := k.State[state.IDOf(touched(w.inv, p, observed)[h.Name][id])]
		if !there {
			return "", false // nobody adopts what is not there
		}
		entry := journal.Entry{Before: state.Tagged{}, After: state.Tagged{Item: is}, Reason: "theirs"}
		w.adopt(t, h.Name, wire.AdoptRequest{Topology: "third", Entries: []journal.Entry{entry}})
		return h.Name + ": another topology holds " + id, true
	case 5: // somebody applied an inventory with one more host
		kept := observed[h.Name].Journal
		if len(kept.Entries) == 0 {
			return "", false
		}
		db9 := journal.Member{Name: "db9", Address: "192.0.2.9"}
		w.adopt(t, h.Name, wire.AdoptRequest{Topology: p.Topology, Members: append(slices.Clone(kept.Members), db9)})
		return h.Name + ": the topology has one more host", true
	default: // something that is wanted or held is another, or gone
		ids := slices.Sorted(maps.Keys(touched(w.inv, p, observed)[h.Name]))
		if len(ids) == 0 {
			return "", false
		}
		id := rapid.SampledFrom(ids).Draw(t, "disturbed")
		item := touched(w.inv, p, observed)[h.Name][id]
		is, there := k.State[state.IDOf(item)]
		switch {
		case there && item.Kind() == state.KindSysctl:
			s := is.(state.Sysctl)
			s.Setting += "7"
			return put(s), true
		case there:
			delete(k.State, state.IDOf(item))
			return h.Name + " lacks " + id, true
		default:
			return put(item), true
		}
	}
}

// touched are the items on each host that are wanted or held, by their text; no
// modules or devices, which take others along.
func touched(inv *inventory.Inventory, p *plan.Plan, observed map[string]plan.Observation) map[string]map[string]state.Item {
	out := map[string]map[string]state.Item{}
	var desired modes.Desired
	if !p.Destroy {
		facts := modes.Facts{}
		for host, o := range observed {
			facts[host] = map[string]state.Link{}
			for _, l := range state.Of[state.Link](o.State) {
				facts[host][l.Name] = l
			}
		}
		desired = modes.Desire(inv, facts)
	}
	for host, o := range observed {
		out[host] = map[string]state.Item{}
		add := func(i state.Item) {
			if i.Kind() != state.KindModule && i.Kind() != state.KindTunnel {
				out[host][state.IDOf(i).String()] = i
			}
		}
		for _, w := range desired[host] {
			add(w.Item)
		}
		for _, e := range o.Journal.Entries {
			add(e.After.Item)
		}
	}
	return out
}

// adopt asks a host's agent to adopt.
func (w *world) adopt(t *rapid.T, host string, req wire.AdoptRequest) {
	hosts, done := w.Connect()
	defer done()
	if err := hosts[host].Call(context.Background(), wire.MethodAdopt, req, nil); err != nil {
		t.Fatal(err)
	}
}

// planned are the changes of a plan by host, in order; a destination that goes
// is drained first.
func planned(p *plan.Plan) map[string][]string {
	out := map[string][]string{}
	for _, h := range p.Hosts {
		var drained, rest []string
		wave := plan.Wave(0)
		flush := func() {
			out[h.Name] = append(append(out[h.Name], drained...), rest...)
			drained, rest = nil, nil
		}
		for _, a := range h.Actions {
			if a.Wave != wave {
				flush()
				wave = a.Wave
			}
			c := a.Change()
			if d, ok := c.Before.(state.Destination); ok && a.Wave == plan.RemoveDestinations && c.Op() == state.Remove && d.Weight != 0 {
				quiet := d
				quiet.Weight = 0
				drained = append(drained, state.Change{Before: d, After: quiet}.String())
				c.Before = quiet
			}
			rest = append(rest, said(c))
		}
		flush()
	}
	return out
}

// A saved plan is carried out exactly as it was shown, or not at all: when
// anything that it was made from has changed since. What it was not made from
// may change.
func TestLawOfSavedPlans(t *testing.T) {
	law(t, 5, func(t *rapid.T) {
		first := parse(t, modestest.Inventory().Draw(t, "first"))
		w := drawnWorld(t, allHosts(t))
		w.inv = first
		disturb(t, w)
		if rapid.Bool().Draw(t, "applied before") {
			w.mustRun(t, "first", w.planOf(first))
			w.inv = smaller(t)
		}
		inv := w.inv
		observed := w.observe(inv)
		p := plan.Make(inv, observed)
		if rapid.IntRange(0, 3).Draw(t, "destroy") == 0 {
			p = plan.Destroy(inv, observed)
		}
		if rapid.IntRange(0, 3).Draw(t, "a part") == 0 {
			if err := p.Narrow(inv, choice(t, p, inv)); err != nil {
				t.Fatal(err)
			}
		}
		if p.Failed() {
			t.Skip("a service that was found and is not ours")
		}
		saved, err := plan.Save(inv, p, observed)
		if err != nil {
			t.Fatal(err)
		}
		text, err := saved.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		shown := planString(t, p)

		what, matters := "", false
		if rapid.IntRange(0, 3).Draw(t, "something happens") != 0 {
			what, matters = w.meanwhile(t, p, observed)
		}

		back, again, err := plan.ParseSaved("plan.json", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := planString(t, back.Plan); got != shown {
			t.Fatalf("(-shown +read):\n%s", cmp.Diff(shown, got))
		}
		if got, err := back.Marshal(); err != nil || string(got) != string(text) {
			t.Fatalf("written again it is another file: %v", err)
		}
		hosts, done := w.Connect()
		defer done()
		now := apply.Observe(context.Background(), again, hosts, quick())
		maps.Copy(now, apply.ObserveLeft(context.Background(), again, back.Left(), hosts, quick()))
		before := w.whole()
		err = back.Unchanged(again, now)
		switch {
		case matters && err == nil:
			t.Fatalf("the plan is carried out although %s:\n%s", what, shown)
		case matters && fault.Of(err) != fault.Stale:
			t.Fatalf("refused as %s: %v", fault.Of(err), err)
		case matters:
			if !strings.Contains(err.Error(), strings.SplitN(strings.ReplaceAll(what, ":", ""), " ", 2)[0]) {
				t.Fatalf("%s, and the refusal does not name the host: %v", what, err)
			}
			if after := w.whole(); after != before {
				t.Fatalf("refused, and something was changed:\n%s", cmp.Diff(before, after))
			}
			return
		case err != nil:
			t.Fatalf("refused although only %s: %v", what, err)
		}
		did := w.record()
		w.mustRun(t, "the saved plan", back.Plan)
		w.unhook()
		for host, want := range planned(p) {
			if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(*did[host], "\n")); diff != "" {
				t.Fatalf("%s (-planned +done):\n%s", host, diff)
			}
		}
	})
}
