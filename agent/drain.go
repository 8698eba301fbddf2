package agent

import (
	"context"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// drainPoll is how often the connection counts are read while waiting.
const drainPoll = 200 * time.Millisecond

// drain takes destinations out of scheduling and waits until their
// connections have ended, or the limit has passed. With weight 0 IPVS sends
// no new connection and keeps serving the ones it has.
func (a *Agent) drain(ctx context.Context, req wire.DrainRequest) (wire.DrainResult, error) {
	if err := a.takeOut(ctx, req.Topology, req.Destinations); err != nil {
		return wire.DrainResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, req.Limit)
	defer cancel()
	for {
		active, err := a.Kernel.ActiveConnections(req.Destinations)
		if err != nil || active == 0 {
			return wire.DrainResult{Active: active}, err
		}
		select {
		case <-ctx.Done():
			return wire.DrainResult{Active: active}, nil
		case <-time.After(drainPoll):
		}
	}
}

// takeOut gives destinations weight 0, or none of them if one is not as it was
// planned for. The journal says so first: it names what is set, also when the
// agent dies before they are removed.
func (a *Agent) takeOut(ctx context.Context, topology string, planned []state.Destination) error {
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	now, _, err := a.Kernel.Observe(ctx, nil)
	if err != nil {
		return err
	}
	j, err := a.journal(topology)
	if err != nil {
		return err
	}
	var changes []state.Change
	var stale []string
	for _, d := range planned {
		quiet := d
		quiet.Weight = 0
		switch is := now[state.IDOf(d)]; {
		case is == quiet: // a run that was cut short came so far
		case is == d:
			changes = append(changes, state.Change{Before: d, After: quiet})
		case j.Did(journal.Step{Change: state.Change{Before: d}, Restore: true}, is): // another run did
		default:
			stale = append(stale, state.Moved(d, is))
		}
	}
	if err := moved(stale); err != nil {
		return err
	}
	if j.Change(changes) {
		if err := a.write(j); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := a.Kernel.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
