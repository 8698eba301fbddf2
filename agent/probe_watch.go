package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
)

// maxWatch is the longest watch the agent agrees to.
const maxWatch = 10 * time.Minute

func (a *Agent) watchStart(_ context.Context, req wire.WatchRequest) (wire.Nothing, error) {
	a.endWatch()
	if len(req.Patterns) == 0 || req.Limit <= 0 || req.Limit > maxWatch {
		return wire.Nothing{}, fmt.Errorf("a watch for %d patterns and %s is not possible", len(req.Patterns), req.Limit)
	}
	for _, p := range req.Patterns {
		if len(p.To) == 0 && (p.Wrapped || len(p.From) == 0) {
			return wire.Nothing{}, errors.New("a watch for packets from anybody to anybody is not possible")
		}
	}
	w, err := a.Traffic.StartWatch(req.Patterns, req.Limit)
	a.watch = w
	return wire.Nothing{}, err
}

func (a *Agent) watchStop(context.Context, wire.Nothing) (wire.Watched, error) {
	if a.watch == nil {
		return wire.Watched{}, errors.New("no watch is running")
	}
	seen, err := a.watch.Stop()
	a.watch = nil
	return wire.Watched{Seen: seen}, err
}

// endWatch drops a watch whose result nobody asked for.
func (a *Agent) endWatch() {
	if a.watch != nil {
		_, _ = a.watch.Stop()
		a.watch = nil
	}
}
