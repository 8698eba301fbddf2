package apply

import (
	"context"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
)

// Observe asks every host of the inventory for its live state. What goes wrong
// with a host is that host's observation.
func Observe(ctx context.Context, inv *inventory.Inventory, hosts Hosts, opts Options) map[string]plan.Observation {
	desired := modes.Desire(inv, nil)
	names := make([]string, len(inv.Hosts))
	for i, h := range inv.Hosts {
		names[i] = h.Name
	}
	return Ask(ctx, names, hosts, opts, func(name string) wire.ObserveRequest {
		return wire.ObserveRequest{Topology: inv.Name, Asked: plan.Asked(desired[name]), VIPs: plan.VIPs(inv)}
	})
}

// ObserveLeft asks hosts that have left the inventory for what they hold.
func ObserveLeft(ctx context.Context, inv *inventory.Inventory, members []journal.Member, hosts Hosts, opts Options) map[string]plan.Observation {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.Name
	}
	out := Ask(ctx, names, hosts, opts, func(string) wire.ObserveRequest { return wire.ObserveRequest{Topology: inv.Name} })
	for i, m := range members {
		o := out[m.Name]
		o.Member = &members[i]
		out[m.Name] = o
	}
	return out
}

// Ask asks hosts for their live state, each for what request says of it. What
// goes wrong with a host is that host's observation.
func Ask(ctx context.Context, names []string, hosts Hosts, opts Options, request func(string) wire.ObserveRequest) map[string]plan.Observation {
	results := make([]plan.Observation, len(names))
	waiting := NewWaiting(opts.progress(), "observing", names)
	g := opts.group()
	for i, name := range names {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, opts.limit())
			defer cancel()
			results[i].Err = hosts[name].Call(ctx, wire.MethodObserve, request(name), &results[i].Observed)
			waiting.Done(name)
			return nil
		})
	}
	_ = g.Wait() // errors are in the results
	out := make(map[string]plan.Observation, len(results))
	for i, name := range names {
		out[name] = results[i]
	}
	return out
}
