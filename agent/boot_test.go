package agent

import (
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
)

// After a reboot what was found before is no longer known: what is there now is.
func TestJournalKnowsTheBoot(t *testing.T) {
	a := newAgent(t)
	a.Boot = "one"
	mustApply(t, a, steps(state.Change{Before: off, After: on}, state.Change{After: vip}))
	seen := func() map[state.ID]journal.Entry {
		t.Helper()
		o, err := a.observe(t.Context(), wire.ObserveRequest{Topology: "t"})
		if err != nil {
			t.Fatal(err)
		}
		out := map[state.ID]journal.Entry{}
		for _, e := range o.Journal.Entries {
			out[e.ID()] = e
		}
		return out
	}
	if e := seen()[state.IDOf(on)]; e.EarlierBoot || e.Before.Item != off {
		t.Errorf("in the same boot: %+v", e)
	}

	a.Boot = ""
	if seen()[state.IDOf(on)].EarlierBoot {
		t.Error("a host that does not say which boot it is has not rebooted")
	}
	a.Boot = "two"
	two := state.Sysctl{Name: on.Name, Setting: "2"}
	k := a.Kernel.(*fake.Kernel)
	k.State.Put(two) // as it is configured now
	delete(k.State, state.IDOf(vip))
	if !seen()[state.IDOf(on)].EarlierBoot || !seen()[state.IDOf(vip)].EarlierBoot {
		t.Errorf("after a reboot: %+v", seen())
	}
	mustApply(t, a, steps(state.Change{Before: two, After: on}))
	if e := seen()[state.IDOf(on)]; e.EarlierBoot || e.Before.Item != two {
		t.Errorf("applied again: %+v, want it to have been found as 2", e)
	}
	if !seen()[state.IDOf(vip)].EarlierBoot {
		t.Error("what was not applied again is taken for set in this boot")
	}
}

// The journal knows both values of an item while a change may not have been made
// yet, so that neither is taken for somebody else's.
func TestJournalKnowsBothValues(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{Before: off, After: on}))
	two := state.Sysctl{Name: on.Name, Setting: "2"}
	a.Kernel.(*fake.Kernel).BeforeDo = func(state.Change) error {
		e := entries(t, a)[state.IDOf(on)]
		for _, mine := range []state.Item{off, on, two} {
			if e.TakenOver(mine) {
				t.Errorf("%v is taken for somebody else's by %+v", mine, e)
			}
		}
		if !e.TakenOver(state.Sysctl{Name: on.Name, Setting: "3"}) {
			t.Error("3 is nobody's of these")
		}
		return nil
	}
	mustApply(t, a, steps(state.Change{Before: on, After: two}))
}
