package apply

import (
	"context"
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// waves lists the plan's waves in order.
func waves(p *plan.Plan) []plan.Wave {
	var out []plan.Wave
	for _, h := range p.Hosts {
		for _, a := range h.Actions {
			out = append(out, a.Wave)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// runWave carries out one wave on all its hosts at once. It returns the hosts
// that failed and how many steps were carried out.
func runWave(ctx context.Context, p *plan.Plan, wave plan.Wave, hosts Hosts, opts Options) ([]Fault, int) {
	var names []string
	for _, h := range p.Hosts {
		if len(stepsOf(h, wave)) != 0 {
			names = append(names, h.Name)
		}
	}
	waiting := NewWaiting(opts.progress(), wave.String(), names)
	return each(p, opts, func(h plan.Host) (int, error) {
		steps := stepsOf(h, wave)
		if len(steps) == 0 {
			return 0, nil
		}
		defer waiting.Done(h.Name)
		if wave == plan.RemoveDestinations && opts.Drain != 0 {
			if err := drain(ctx, p.Topology, h.Name, steps, hosts[h.Name], opts); err != nil {
				return 0, err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, opts.limit())
		defer cancel()
		var res wire.ApplyResult
		err := hosts[h.Name].Call(ctx, wire.MethodApply, wire.ApplyRequest{Topology: p.Topology, Members: p.Members, Steps: steps, Part: p.Only != nil}, &res)
		switch {
		case err != nil:
			return 0, err
		case res.Failed != nil:
			return res.Done, res.Failed
		}
		return res.Done, nil
	})
}

func stepsOf(h plan.Host, wave plan.Wave) []journal.Step {
	var out []journal.Step
	for _, a := range h.Actions {
		if a.Wave == wave {
			out = append(out, journal.Step{Change: a.Change(), Role: string(a.Role), Reason: a.Reason, For: a.For, Restore: a.Restore})
		}
	}
	return out
}

// drain lets the connections of destinations that are about to go come to
// their end. The steps then expect the destinations as draining leaves them.
func drain(ctx context.Context, topology, name string, steps []journal.Step, host wire.Caller, opts Options) error {
	var going []state.Destination
	for i, s := range steps {
		d, ok := s.Change.Before.(state.Destination)
		if !ok || s.Change.Op() != state.Remove {
			continue
		}
		going = append(going, d)
		d.Weight = 0
		steps[i].Change.Before = d
	}
	if len(going) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opts.Drain+opts.limit())
	defer cancel()
	var res wire.DrainResult
	if err := host.Call(ctx, wire.MethodDrain, wire.DrainRequest{Topology: topology, Destinations: going, Limit: opts.Drain}, &res); err != nil {
		return err
	}
	if res.Active != 0 {
		opts.progress()(fmt.Sprintf("%s: %d connections were still open after %s", name, res.Active, opts.Drain))
	}
	return nil
}
