package apply

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/plan"
)

// Hosts are the hosts' agents by name. A host that could not be reached has an
// Unreachable in its place.
type Hosts map[string]wire.Caller

// Unreachable answers every call with the error that kept a host from being
// reached.
type Unreachable struct{ Err error }

// Call implements wire.Caller.
func (u Unreachable) Call(context.Context, wire.Method, any, any) error { return u.Err }

// group runs what is asked of the hosts, so many at a time.
func (o Options) group() *errgroup.Group {
	var g errgroup.Group
	if o.Parallel == 0 {
		o.Parallel = 32
	}
	g.SetLimit(o.Parallel)
	return &g
}

// each calls f for every host, and adds up.
func each(p *plan.Plan, opts Options, f func(plan.Host) (int, error)) ([]Fault, int) {
	counts, errs := make([]int, len(p.Hosts)), make([]error, len(p.Hosts))
	g := opts.group()
	for i, h := range p.Hosts {
		g.Go(func() error {
			counts[i], errs[i] = f(h)
			return nil
		})
	}
	_ = g.Wait() // errors are in the list
	var faults []Fault
	sum := 0
	for i, h := range p.Hosts {
		sum += counts[i]
		if errs[i] != nil {
			faults = append(faults, Fault{h.Name, errs[i]})
		}
	}
	return faults, sum
}

// beside does on every host what belongs to no wave, within the limit.
func beside(ctx context.Context, p *plan.Plan, opts Options, f func(context.Context, plan.Host) error) []Fault {
	faults, _ := each(p, opts, func(h plan.Host) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, opts.limit())
		defer cancel()
		return 0, f(ctx, h)
	})
	return faults
}

// joined are the errors of what comes after all is done.
func joined(what string, faults []Fault) error {
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = fmt.Errorf("%s: %s: %w", fault.Host, what, fault.Err)
	}
	return errors.Join(errs...)
}
