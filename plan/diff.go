package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// diff fills in the actions that lead from what is observed to the wants, and
// back to what was found for everything the journal holds beyond them.
func (h *Host) diff(wants []modes.Want, obs Observation) {
	held := map[state.ID]journal.Entry{}
	for _, e := range obs.Journal.Entries {
		held[e.ID()] = e
	}
	others := elsewhere(obs.Observed)
	wanted, refused := map[state.ID]bool{}, map[state.ID]bool{}
	for _, w := range wants {
		if w.Checked != nil {
			continue // by preflight
		}
		id := state.IDOf(w.Item)
		wanted[id] = true
		entry, ours := held[id]
		f := found{
			is: obs.State[id], entry: entry, ours: ours, other: others[id],
			met: w.Served(obs.State),
		}
		switch classify(w, f) {
		case classKeep:
		case classAdopt:
			h.adopt(w, f.is, entry)
		case classForget:
			h.Forget = append(h.Forget, id)
		case classAct:
			h.act(state.Change{Before: f.is, After: w.Item}, w.Role, w.Reason, w.For, false)
		case classTaken:
			h.Errors = append(h.Errors, conflict(f.is, w.Item, obs.Foreign))
			refused[id] = true
		case classOtherTopology:
			h.Errors = append(h.Errors, fault.New(fault.Conflict,
				"%s: topology %s holds it on this host, and this one wants %s; make the two inventories agree",
				state.Text(f.other.item), f.other.topology, valueOf(w.Item)))
		}
	}
	for _, e := range obs.Journal.Entries {
		if !wanted[e.ID()] {
			h.putBack(e, obs, others[e.ID()].topology != "")
		}
	}
	h.leaveLost(held, obs.State, obs.Force)
	lvsforms := func(id state.ID) bool {
		e, ours := held[id]
		return ours && !e.AsFound() && !e.EarlierBoot || others[id].topology != "" && !others[id].found || refused[id] // which is one conflict, not two
	}
	h.Errors = append(h.Errors, conflicts(h.Actions, obs.Observed, lvsforms)...)
	h.Errors = append(h.Errors, orphans(h.Actions, obs.Observed, func(id state.ID) bool {
		_, ours := held[id]
		return ours || others[id].topology != ""
	})...)
	h.collide(obs.State)
	needs := make([]need, len(h.Actions))
	for i, a := range h.Actions {
		needs[i] = need{a.Change().ID(), a.Reason}
	}
	h.Errors = append(h.Errors, lacking(needs, obs.Observed)...)
	if len(h.Errors) != 0 {
		h.Actions = []Action{}
	}
	slices.SortFunc(h.Actions, inOrder)
}

// inOrder compares actions of a host by when they are carried out. In a wave, what
// is put back comes first, as it may be in the way of the rest: what came last goes
// first, and what comes back follows, in the order in which things need one another.
func inOrder(a, b Action) int {
	if d := cmp.Or(cmp.Compare(a.Wave, b.Wave), cmp.Compare(turn(a), turn(b))); d != 0 {
		return d
	}
	if turn(a) == goes {
		a, b = b, a
	}
	return state.Compare(a.Change().ID(), b.Change().ID())
}

// The turns of a wave, in their order.
const (
	goes = iota
	comesBack
	comes
)

func turn(a Action) int {
	switch {
	case !a.Restore:
		return comes
	case a.Op == state.Add:
		return comesBack
	default:
		return goes
	}
}

// adopt takes an item that is already as wanted into the journal, to be left
// there when lvsform goes, or to be put back as the entry found it that is there
// already.
func (h *Host) adopt(w modes.Want, is state.Item, old journal.Entry) {
	if !is.Kind().Traits().Journalled {
		return
	}
	item := state.Tagged{Item: is}
	before := item
	if old.After.Item != nil && !old.EarlierBoot {
		before = old.Before
	}
	h.Adopt = append(h.Adopt, journal.Entry{Before: before, After: item, Role: string(w.Role), Reason: w.Reason.Text, For: w.For})
}

// putBack restores what an entry found, unless it is so already, another
// topology holds the item, there is nothing left to restore it on, the host has
// rebooted, somebody has set something else there, or it belongs to another
// program. They may have had their reasons.
func (h *Host) putBack(e journal.Entry, obs Observation, shared bool) {
	before, is := e.Before.Item, obs.State[e.ID()]
	// A setting that was not there before belongs to a device that came later
	// and goes with it.
	setting := e.ID().Kind.Traits().GoesWithDevice
	switch {
	case shared:
		h.HandOver = append(h.HandOver, e.ID())
		return
	case is == before || e.EarlierBoot || setting && (is == nil || before == nil):
		h.Forget = append(h.Forget, e.ID())
		return
	case e.TakenOver(is) && (!obs.Force || e.AsFound() && e.ID().Kind.Traits().Balancer && suspects(obs.Foreign) != nil):
		h.Forget = append(h.Forget, e.ID())
		h.LeftAlone = append(h.LeftAlone, LeftAlone{Kind: e.ID().Kind, Key: e.ID().Key, Applied: e.After, Found: e.Before, Live: state.Tagged{Item: is}})
		return
	}
	reason := modes.Reason{ID: modes.ReasonAsFound, Text: "as it was found"}
	if before == nil {
		reason = modes.Reason{ID: modes.ReasonNotThereBefore, Text: "was not there before"}
	}
	h.act(state.Change{Before: is, After: before}, inventory.Role(e.Role), reason, e.For, true)
}

// leaveLost takes out what cannot be put back: what it needs has gone since, and
// comes back with nothing. In the place of such an item, lvsform's own is removed.
func (h *Host) leaveLost(held map[state.ID]journal.Entry, live state.Host, force bool) {
	var back []state.Item
	for _, a := range h.Actions {
		if a.Op == state.Add {
			back = append(back, a.After.Item)
		}
	}
	actions := h.Actions
	h.Actions = []Action{}
	for _, a := range actions {
		needs := lostFor(a.After.Item, live, back)
		e := held[a.Change().ID()]
		switch {
		case !a.Restore || needs == nil:
			h.Actions = append(h.Actions, a)
		case a.Before.Item != nil && !e.TakenOver(a.Before.Item):
			h.act(state.Change{Before: a.Before.Item}, a.Role,
				modes.Reason{ID: modes.ReasonFoundLost, Text: fmt.Sprintf("what was found cannot be put back: %s is gone", needs)}, a.For, true)
		default:
			h.Forget = append(h.Forget, e.ID())
			h.LeftAlone = append(h.LeftAlone, LeftAlone{Kind: a.Kind, Key: a.Key, Applied: e.After, Found: e.Before, Live: a.Before})
		}
	}
	for i, a := range h.Actions {
		if a.Restore && a.Op == state.Add && lostFor(a.After.Item, live, nil) != nil {
			h.Actions[i].Wave = h.waveAfter(a)
		}
	}
	if !force {
		for _, l := range h.LeftAlone { // which --force would put back
			back = append(back, l.Found.Item)
		}
	}
	for i, l := range h.LeftAlone {
		h.LeftAlone[i].Lacks = lostFor(l.Found.Item, live, back)
	}
	slices.SortFunc(h.LeftAlone, func(a, b LeftAlone) int {
		return state.Compare(state.ID{Kind: a.Kind, Key: a.Key}, state.ID{Kind: b.Kind, Key: b.Key})
	})
}

// waveAfter is the wave in which an item comes back: its own, or a later one in
// which what it needs comes back. Otherwise what is used last would come first.
func (h *Host) waveAfter(a Action) Wave {
	id, _ := state.Needs(a.After.Item)
	last := a.Wave
	for _, b := range h.Actions {
		if b.Op == state.Add && brings(b.After.Item, id) {
			last = max(last, b.Wave)
		}
	}
	return last
}

// lostFor is what an item needs that neither is live nor comes with those that are
// put back; nil: nothing.
func lostFor(i state.Item, live state.Host, back []state.Item) *state.ID {
	if i == nil {
		return nil
	}
	id, needs := state.Needs(i)
	if !needs || live[id] != nil || slices.ContainsFunc(back, func(b state.Item) bool { return brings(b, id) }) {
		return nil
	}
	return &id
}

// brings reports whether what others need comes with an item: a tunnel brings its
// device, which has the same key. What needs something itself brings nothing.
func brings(i state.Item, id state.ID) bool {
	if i == nil || i.Key() != id.Key {
		return false
	}
	_, needs := state.Needs(i)
	return !needs
}

func (h *Host) act(c state.Change, role inventory.Role, reason modes.Reason, serves []string, restore bool) {
	h.Actions = append(h.Actions, Action{
		Op:       c.Op(),
		Kind:     c.ID().Kind,
		Key:      c.ID().Key,
		Before:   state.Tagged{Item: c.Before},
		After:    state.Tagged{Item: c.After},
		Reason:   reason.Text,
		ReasonID: reason.ID,
		Role:     role,
		For:      serves,
		Wave:     waveOf(c, role, restore),
		Restore:  restore,
		Disrupts: c.Disrupts(),
	})
}

// claim is an item that another topology holds on a host.
type claim struct {
	topology string
	item     state.Item
	found    bool // and does not call its own
}

// elsewhere lists what other topologies hold on a host.
func elsewhere(obs wire.Observed) map[state.ID]claim {
	out := map[state.ID]claim{}
	for _, j := range obs.Others {
		for _, e := range j.Entries {
			out[e.ID()] = claim{j.Topology, e.After.Item, e.AsFound()}
		}
	}
	return out
}

// valueOf is an item's value, or its key where that says it all.
func valueOf(i state.Item) string { return cmp.Or(i.Value(), i.Key()) }
