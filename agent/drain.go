package agent

import (
	"context"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/state"
)

// drainPoll is how often the connection counts are read while waiting.
const drainPoll = 200 * time.Millisecond

// drain takes destinations out of scheduling and waits until their
// connections have ended, or the limit has passed. With weight 0 IPVS sends
// no new connection and keeps serving the ones it has.
func (a *Agent) drain(ctx context.Context, req wire.DrainRequest) (wire.DrainResult, error) {
	now, _, err := a.Kernel.Observe(ctx, nil)
	if err != nil {
		return wire.DrainResult{}, err
	}
	for _, d := range req.Destinations {
		is, ok := now[state.IDOf(d)].(state.Destination)
		if !ok || is.Weight == 0 {
			continue
		}
		quiet := is
		quiet.Weight = 0
		if err := a.Kernel.Do(ctx, state.Change{Before: is, After: quiet}); err != nil {
			return wire.DrainResult{}, err
		}
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
