// Package apply carries a plan out on the hosts, wave by wave, and gathers the
// live state a plan is made from.
package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// Hosts are the hosts' agents by name. A host that could not be reached has an
// Unreachable in its place.
type Hosts map[string]wire.Caller

// Unreachable answers every call with the error that kept a host from being
// reached.
type Unreachable struct{ Err error }

// Call implements wire.Caller.
func (u Unreachable) Call(context.Context, wire.Method, any, any) error { return u.Err }

// Options of a run.
type Options struct {
	// Drain is how long a destination that is about to be removed may keep
	// its connections; 0 does not wait.
	Drain time.Duration
	// Limit bounds every single answer of a host, beyond draining; 0 is two minutes.
	Limit time.Duration
	// Parallel is how many hosts are asked at a time; 0 is 32.
	Parallel int
	// Progress, where set, is told what happens, a short line at a time.
	Progress func(string)
}

// progress never is nil.
func (o Options) progress() func(string) {
	if o.Progress == nil {
		return func(string) {}
	}
	return o.Progress
}

func (o Options) limit() time.Duration {
	if o.Limit == 0 {
		return 2 * time.Minute
	}
	return o.Limit
}

// group runs what is asked of the hosts, so many at a time.
func (o Options) group() *errgroup.Group {
	var g errgroup.Group
	if o.Parallel == 0 {
		o.Parallel = 32
	}
	g.SetLimit(o.Parallel)
	return &g
}

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
func ObserveLeft(ctx context.Context, inv *inventory.Inventory, members []wire.Member, hosts Hosts, opts Options) map[string]plan.Observation {
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

// Error is a run that stopped. The hosts' journals hold what was done; making
// the plan again and applying it goes on from there.
type Error struct {
	Step    string  // the wave, or adopt, ahead of the first
	Faults  []Fault // one for each host that failed, by host name
	Done    int     // steps carried out on all hosts, at least: one that was lost cannot say
	Planned int
	// Saved says that the plan was read from a file: it fits the hosts no more.
	Saved bool
}

// Fault is what went wrong on one host.
type Fault struct {
	Host string
	Err  error
}

func (e *Error) Error() string {
	var b strings.Builder
	for _, f := range e.Faults {
		fmt.Fprintf(&b, "%s: %s: %s\n", f.Host, e.Step, plan.Plain(f.Err.Error()))
	}
	if e.unsure() {
		b.WriteString("at least ")
	}
	fmt.Fprintf(&b, "%d of %d steps are done and recorded; ", e.Done, e.Planned)
	stale := slices.ContainsFunc(e.Faults, func(f Fault) bool { return errors.As(f.Err, new(*staleError)) })
	if stale || e.Saved && e.Done != 0 {
		b.WriteString("plan again, look at what is different, and apply that")
	} else {
		b.WriteString("fix the cause and run the same command again: it resumes")
	}
	return b.String()
}

// unsure reports whether a host was lost before it could say how far it came.
func (e *Error) unsure() bool {
	return slices.ContainsFunc(e.Faults, func(f Fault) bool {
		var answer *fault.Error
		var stale *staleError
		return !errors.As(f.Err, &answer) && !errors.As(f.Err, &stale)
	})
}

// FaultKind implements fault.Kinded: it is the kind of the first host's error.
func (e *Error) FaultKind() fault.Kind { return fault.Of(e.Faults[0].Err) }

// Run carries out a plan. It stops after the wave in which a host fails; no
// host is rolled back, since everything done so far is what the plan wants.
func Run(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) error {
	if p.Failed() {
		return fault.New(p.Failure().Kind, "the plan has hosts that failed; nothing was changed")
	}
	done := 0
	stopped := func(step string, faults []Fault) error {
		return &Error{Step: step, Faults: faults, Done: done, Planned: p.Summary.Steps()}
	}
	if faults := adopt(ctx, p, hosts, opts); len(faults) != 0 {
		return stopped("adopt", faults)
	}
	for _, wave := range waves(p) {
		faults, n := runWave(ctx, p, wave, hosts, opts)
		done += n
		if len(faults) != 0 {
			return stopped(wave.String(), faults)
		}
	}
	return errors.Join(announce(ctx, p, hosts, opts), settle(ctx, p, hosts, opts))
}

// adopt records on the hosts what was found in place.
func adopt(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) []Fault {
	return beside(ctx, p, opts, func(ctx context.Context, h plan.Host) error {
		if len(h.Adopt) == 0 {
			return nil
		}
		var res wire.AdoptResult
		err := hosts[h.Name].Call(ctx, wire.MethodAdopt, wire.AdoptRequest{Topology: p.Topology, Members: p.Members, Entries: h.Adopt, Part: p.Only != nil}, &res)
		if err == nil && len(res.Stale) != 0 {
			err = &staleError{res.Stale}
		}
		return err
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
			if err := drain(ctx, h.Name, steps, hosts[h.Name], opts); err != nil {
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
		case len(res.Stale) != 0:
			return 0, &staleError{res.Stale}
		case res.Failed != nil:
			return res.Done, res.Failed
		}
		return res.Done, nil
	})
}

// staleError is a host that changed after the plan was made.
type staleError struct{ what []string }

func (e *staleError) Error() string {
	return "changed since the plan was made: " + strings.Join(e.what, ", ")
}

func (e *staleError) FaultKind() fault.Kind { return fault.Stale }

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

func stepsOf(h plan.Host, wave plan.Wave) []wire.Step {
	var out []wire.Step
	for _, a := range h.Actions {
		if a.Wave == wave {
			out = append(out, wire.Step{Change: a.Change(), Role: string(a.Role), Reason: a.Reason, For: a.For, Restore: a.Restore})
		}
	}
	return out
}

// drain lets the connections of destinations that are about to go come to
// their end. The steps then expect the destinations as draining leaves them.
func drain(ctx context.Context, name string, steps []wire.Step, host wire.Caller, opts Options) error {
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
	if err := host.Call(ctx, wire.MethodDrain, wire.DrainRequest{Destinations: going, Limit: opts.Drain}, &res); err != nil {
		return err
	}
	if len(res.Stale) != 0 {
		return &staleError{res.Stale}
	}
	if res.Active != 0 {
		opts.progress()(fmt.Sprintf("%s: %d connections were still open after %s", name, res.Active, opts.Drain))
	}
	return nil
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
