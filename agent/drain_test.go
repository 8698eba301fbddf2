package agent

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
)

// A destination that is not as it was planned for stops the draining of all,
// before the first; one that is drained already does not.
func TestDrainChecksFirst(t *testing.T) {
	id := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.10:80")}
	weighs := func(n byte, weight uint32) state.Destination {
		return state.Destination{Service: id, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 80), Forward: state.ForwardDR, Weight: weight}
	}
	drained := weighs(12, 0)
	for _, c := range []struct {
		name  string
		third state.Item
		stale string
		first uint32
		holds int // entries of the journal; another run has let go of the third
	}{
		{"as planned", weighs(13, 1), "", 0, 2},
		{"another weight", weighs(13, 7), "changed since the plan was made: destination tcp 192.0.2.10:80 -> 192.0.2.13:80 dr weight 1 is now dr weight 7", 3, 2},
		{"gone", nil, "changed since the plan was made: destination tcp 192.0.2.10:80 -> 192.0.2.13:80 dr weight 1 was there and is gone now", 3, 2},
		{"removed by another run", nil, "", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t)
			k := a.Kernel.(*fake.Kernel)
			for _, i := range []state.Item{state.Service{ServiceID: id, Scheduler: "rr"}, weighs(11, 3), drained} {
				k.State.Put(i)
			}
			if c.third != nil {
				k.State.Put(c.third)
			}
			entry := func(after state.Item) journal.Entry {
				return journal.Entry{After: state.Tagged{Item: after}, Reason: "web1"}
			}
			kept := journal.New("t")
			for _, i := range []state.Item{weighs(11, 3), weighs(13, 1)}[:c.holds] {
				kept.Entries[state.IDOf(i)] = entry(i)
			}
			if err := writeJournal(a.Dir, kept); err != nil {
				t.Fatal(err)
			}
			_, err := a.drain(t.Context(), wire.DrainRequest{Topology: "t", Destinations: []state.Destination{weighs(11, 3), weighs(12, 5), weighs(13, 1)}})
			if !isStale(err, c.stale) {
				t.Fatalf("error %v, want %q", err, c.stale)
			}
			if is := k.State[state.IDOf(weighs(11, 3))].(state.Destination); is.Weight != c.first {
				t.Errorf("the first has weight %d, want %d", is.Weight, c.first)
			}
			// The journal says the same of the one that it holds, and takes no other.
			held := entries(t, a)
			if got := held[state.IDOf(weighs(11, 3))]; len(held) != c.holds || got.After.Item != weighs(11, c.first) || got.Before.Item != nil || got.Reason != "web1" {
				t.Errorf("the journal says %+v", held)
			}
		})
	}
}
