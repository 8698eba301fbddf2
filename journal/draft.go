package journal

import (
	"maps"
	"slices"

	"github.com/lvsform/lvsform/state"
)

// Draft is a topology's journal while it is worked on.
type Draft struct {
	Topology string
	Boot     string // as in Journal
	Members  []Member
	Entries  map[state.ID]Entry
}

// Know notes the topology's hosts.
func (j *Draft) Know(members []Member) (changed bool) {
	changed = !slices.Equal(j.Members, members)
	j.Members = members
	return changed
}

// At notes in which boot the host is, by its boot_id; empty: it is not known.
// Entries of an earlier one are marked.
func (j *Draft) At(boot string) {
	if boot == "" {
		return
	}
	if j.Boot != "" && j.Boot != boot {
		for id, e := range j.Entries {
			e.EarlierBoot = true
			j.Entries[id] = e
		}
	}
	j.Boot = boot
}

// Hold notes what steps are about to set. What was there when an item was
// first touched in this boot stays, however often the item changes after. Part: see
// wire.ApplyRequest.
func (j *Draft) Hold(steps []Step, part bool) (changed bool) {
	for _, s := range steps {
		if s.Restore || !s.Change.ID().Kind.Traits().Journalled {
			continue
		}
		e := Entry{Before: state.Tagged{Item: s.Change.Before}, After: state.Tagged{Item: s.Change.After}, Role: s.Role, Reason: s.Reason, For: s.For}
		if old, ok := j.Entries[e.ID()]; ok {
			e.For = serves(old.For, e.For, part)
			if !old.EarlierBoot {
				e.Before = old.Before
				if live := s.Change.Before; live != e.After.Item && live != e.Before.Item && e.yields() && !old.TakenOver(live) {
					e.Was = state.Tagged{Item: live}
				}
			}
		}
		j.Entries[e.ID()] = e
		changed = true
	}
	return changed
}

// Did reports whether another run of the topology has carried a step out: the
// item is as the step leaves it, and the journal says that lvsform left it so.
func (j *Draft) Did(s Step, is state.Item) bool {
	if is != s.Change.After {
		return false
	}
	e, held := j.Entries[s.Change.ID()]
	if s.Restore {
		return !held
	}
	return held && !e.EarlierBoot && e.After.Item == is
}

// Change notes another value of items that the journal holds, whatever they are
// for.
func (j *Draft) Change(changes []state.Change) (changed bool) {
	for _, c := range changes {
		if e, held := j.Entries[c.ID()]; held && e.After.Item != c.After {
			e.After = state.Tagged{Item: c.After}
			j.Entries[c.ID()] = e
			changed = true
		}
	}
	return changed
}

// Release forgets what steps have put back.
func (j *Draft) Release(done []Step) (changed bool) {
	for _, s := range done {
		if s.Restore {
			changed = j.Forget(s.Change.ID()) || changed
		}
	}
	return changed
}

// Adopt notes an item that was found exactly as wanted: putting it back means
// leaving it. One that is held already may be for other services now.
func (j *Draft) Adopt(e Entry, part bool) (changed bool) {
	if old, ok := j.Entries[e.ID()]; ok {
		e.For = serves(old.For, e.For, part)
		if !old.EarlierBoot {
			if old.After == e.After && slices.Equal(old.For, e.For) {
				return false
			}
			e.Before = old.Before // set by hand to what the inventory now says
		}
	}
	j.Entries[e.ID()] = e
	return true
}

// serves is what an item is for from now on: after a plan for a part it may still
// be in use for what it was for before, which was not looked at.
func serves(before, now []string, part bool) []string {
	if !part {
		return now
	}
	both := slices.Concat(before, now)
	slices.Sort(both)
	return slices.Compact(both)
}

// Forget lets go of an item.
func (j *Draft) Forget(id state.ID) (changed bool) {
	_, ok := j.Entries[id]
	delete(j.Entries, id)
	return ok
}

// Inherit takes over what was there before another topology, which lets go of
// its entry, set the item: this one found it so set.
func (j *Draft) Inherit(e Entry) (changed bool) {
	own, held := j.Entries[e.ID()]
	if !held || e.EarlierBoot || !own.EarlierBoot && (own.Before != e.After || own.Before == e.Before) {
		return false
	}
	own.Before, own.EarlierBoot = e.Before, false
	j.Entries[e.ID()] = own
	return true
}

// Journal is the journal as it is kept: its entries in order.
func (j *Draft) Journal() Journal {
	out := Journal{FormatVersion: Version, Topology: j.Topology, Boot: j.Boot, Members: j.Members}
	for _, id := range slices.SortedFunc(maps.Keys(j.Entries), state.Compare) {
		out.Entries = append(out.Entries, j.Entries[id])
	}
	return out
}

// Draft takes a journal up to work on it.
func (j Journal) Draft() *Draft {
	d := New(j.Topology)
	d.Boot, d.Members = j.Boot, j.Members
	for _, e := range j.Entries {
		d.Entries[e.ID()] = e
	}
	return d
}

// New is the journal of a topology that holds nothing yet.
func New(topology string) *Draft {
	return &Draft{Topology: topology, Entries: map[state.ID]Entry{}}
}

// Empty reports whether the journal says nothing any more.
func (j *Draft) Empty() bool { return len(j.Entries)+len(j.Members) == 0 }
