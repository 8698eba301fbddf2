package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel"
)

// maxWatch is the longest watch the agent agrees to.
const maxWatch = 10 * time.Minute

func (a *Agent) watchStart(_ context.Context, req wire.WatchRequest) (wire.Nothing, error) {
	a.endWatch()
	if !req.Service.IsValid() || req.Limit <= 0 || req.Limit > maxWatch {
		return wire.Nothing{}, fmt.Errorf("a watch of %s for %s is not possible", req.Service, req.Limit)
	}
	w, err := kernel.StartWatch(req.Service, req.Clients, req.Limit)
	a.watch = w
	return wire.Nothing{}, err
}

func (a *Agent) watchStop(context.Context, wire.Nothing) (wire.Watched, error) {
	if a.watch == nil {
		return wire.Watched{}, errors.New("no watch is running")
	}
	flows, others, err := a.watch.Stop()
	a.watch = nil
	out := wire.Watched{Others: others}
	for _, f := range flows {
		out.Flows = append(out.Flows, wire.Flow(f))
	}
	return out, err
}

// endWatch drops a watch whose result nobody asked for.
func (a *Agent) endWatch() {
	if a.watch != nil {
		_, _, _ = a.watch.Stop()
		a.watch = nil
	}
}
