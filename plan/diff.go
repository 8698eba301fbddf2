package plan

import (
	"cmp"
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
	slices.SortFunc(h.Actions, func(a, b Action) int {
		first, second := a, b
		if a.Restore && b.Restore {
			first, second = b, a // what came last goes first
		}
		if a.Wave == b.Wave && a.Restore != b.Restore { // it is in the way of the other
			return map[bool]int{true: -1, false: 1}[a.Restore]
		}
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), state.Compare(first.Change().ID(), second.Change().ID()))
	})
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
