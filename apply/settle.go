package apply

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/plan"
)

// prepare has every host of which the journal is to be written see that it can be.
func prepare(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) []Fault {
	return beside(ctx, p, opts, func(ctx context.Context, h plan.Host) error {
		if len(h.Actions) == 0 && !unsettled(p, h) {
			return nil
		}
		size, err := growth(p, h)
		if err != nil {
			return err
		}
		return hosts[h.Name].Call(ctx, wire.MethodPrepare, wire.PrepareRequest{Topology: p.Topology, Size: size}, nil)
	})
}

// growth is by how many bytes a host's journal may grow; 0: it is only removed.
func growth(p *plan.Plan, h plan.Host) (int, error) {
	if holds := len(h.Actions)+len(h.Adopt)+len(h.Forget)+len(h.HandOver) != 0; !holds && (p.Destroy || h.Left) {
		return 0, nil
	}
	const head = 4 << 10 // of a journal, beside its members
	text, err := json.Marshal([]any{h.Actions, h.Adopt, p.Members})
	return len(text) + head, err
}

// adopt records on the hosts what was found in place.
func adopt(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) []Fault {
	return beside(ctx, p, opts, func(ctx context.Context, h plan.Host) error {
		if len(h.Adopt) == 0 {
			return nil
		}
		return hosts[h.Name].Call(ctx, wire.MethodAdopt, wire.AdoptRequest{Topology: p.Topology, Members: p.Members, Entries: h.Adopt, Part: p.Only != nil}, nil)
	})
}

// announce has directors tell their segments where the VIPs are.
func announce(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) error {
	return joined("announce", beside(ctx, p, opts, func(ctx context.Context, h plan.Host) error {
		if len(h.Announce) == 0 {
			return nil
		}
		return hosts[h.Name].Call(ctx, wire.MethodAnnounce, wire.AnnounceRequest{Addresses: h.Announce}, nil)
	}))
}

// settle has the hosts' journals forget what is no longer held. Hosts that have
// left the inventory come first: only the journals of the others know of them,
// and forget them once they hold nothing.
func settle(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) error {
	for _, left := range []bool{true, false} {
		err := joined("journal", beside(ctx, p, opts, func(ctx context.Context, h plan.Host) error {
			if h.Left != left || !unsettled(p, h) {
				return nil
			}
			return hosts[h.Name].Call(ctx, wire.MethodSettle, wire.SettleRequest{
				Topology: p.Topology, Members: p.Remaining(), Forget: h.Forget, HandOver: h.HandOver,
				Keep: len(p.LeftOut) != 0, Leave: p.Destroy || h.Left,
			}, nil)
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// unsettled reports whether a host's journal may say anything that is no longer
// so.
func unsettled(p *plan.Plan, h plan.Host) bool {
	restores := func(a plan.Action) bool { return a.Restore }
	return len(h.Adopt)+len(h.Forget)+len(h.HandOver) != 0 || h.Remember || h.Left || p.Destroy ||
		slices.ContainsFunc(h.Actions, restores) || len(p.Remaining()) != len(p.Members)
}
