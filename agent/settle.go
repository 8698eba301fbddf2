package agent

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// prepare comes first in a run, on all hosts: a folder that is full or read-only
// is not to be found half way.
func (a *Agent) prepare(ctx context.Context, req wire.PrepareRequest) (wire.Nothing, error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return wire.Nothing{}, err
	}
	defer unlock()
	if _, err := a.journals(""); err != nil {
		return wire.Nothing{}, err
	}
	file, err := journalFile(a.Dir, req.Topology)
	if err != nil {
		return wire.Nothing{}, err
	}
	size := min(max(req.Size, 0), maxJournal)
	if info, err := os.Stat(file); err == nil {
		size += int(info.Size())
	}
	if err := a.makeRoom(size); err != nil {
		return wire.Nothing{}, fmt.Errorf("journal: %w", err)
	}
	return wire.Nothing{}, nil
}

// adopt comes before the waves: from then on no other topology on this host takes
// away what this one counts on.
func (a *Agent) adopt(ctx context.Context, req wire.AdoptRequest) (wire.Nothing, error) {
	done := wire.Nothing{}
	asked := make([]state.ID, len(req.Entries))
	for i, e := range req.Entries {
		if !e.Sound() {
			return done, fault.New(fault.Bug, "asked to adopt nothing, or one thing for another")
		}
		asked[i] = e.ID()
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return done, err
	}
	defer unlock()
	now, _, err := a.Kernel.Observe(ctx, asked)
	if err != nil {
		return done, err
	}
	var stale []string
	for _, e := range req.Entries {
		if is := now[e.ID()]; is != e.After.Item {
			stale = append(stale, state.Moved(e.After.Item, is))
		}
	}
	if err := moved(stale); err != nil {
		return done, err
	}
	j, err := a.journal(req.Topology)
	if err != nil {
		return done, err
	}
	news := j.Know(req.Members)
	for _, e := range req.Entries {
		news = j.Adopt(e, req.Part) || news
	}
	if news {
		err = a.write(j)
	}
	return done, err
}

// settle ends a run.
func (a *Agent) settle(ctx context.Context, req wire.SettleRequest) (wire.Nothing, error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return wire.Nothing{}, err
	}
	defer unlock()
	j, err := a.journal(req.Topology)
	if err != nil {
		return wire.Nothing{}, err
	}
	found := len(j.Entries)+len(j.Members) != 0
	changed := j.Know(req.Members) && found
	if err := a.handOver(j, req.HandOver); err != nil {
		return wire.Nothing{}, err
	}
	for _, id := range slices.Concat(req.Forget, req.HandOver) {
		changed = j.Forget(id) || changed
	}
	if len(j.Entries) == 0 && (!found || !req.Keep) {
		j.Members, changed = nil, true
	}
	if changed {
		err = a.write(j)
	}
	if err == nil && req.Leave {
		err = a.leave()
	}
	return wire.Nothing{}, err
}

// handOver tells the other topologies on this host what was there before the
// items that this one is about to forget: the last to let go puts it back. Their
// journals are written first, so that what was found is in one of them whenever
// the agent dies.
func (a *Agent) handOver(from *journal.Draft, ids []state.ID) error {
	if len(ids) == 0 {
		return nil
	}
	others, err := a.holders(from.Topology)
	if err != nil {
		return err
	}
	var heirs []*journal.Draft
	for _, id := range ids {
		e, held := from.Entries[id]
		if held && len(others[id]) == 0 {
			return fault.New(fault.Stale, "%s: no other topology on this host holds it any more; plan again, and it is put back", state.Text(e.After.Item))
		}
		for _, other := range others[id] {
			if held && other.Inherit(e) && !slices.Contains(heirs, other) {
				heirs = append(heirs, other)
			}
		}
	}
	for _, heir := range heirs {
		if err := a.write(heir); err != nil {
			return err
		}
	}
	return nil
}

// holders lists, for each item, the other topologies on this host that hold it.
func (a *Agent) holders(topology string) (map[state.ID][]*journal.Draft, error) {
	journals, err := a.journals(topology)
	if err != nil {
		return nil, err
	}
	out := map[state.ID][]*journal.Draft{}
	for _, j := range journals {
		for id := range j.Entries {
			out[id] = append(out[id], j)
		}
	}
	return out, nil
}
