package remote

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Fleet is many hosts, each connected or with the reason why not.
type Fleet struct {
	Group
	run *run // nil when nothing was connected
}

// Group is some hosts of a fleet, in the order of the fleet's targets.
type Group struct {
	members  []member
	parallel int
}

type member struct {
	name string
	host *Host // nil when err is not
	err  error
}

// Dial connects to every target, at most Options.Parallel at a time. It always
// returns a fleet: a host that cannot be reached is an error in the results of
// that host, and of no other.
func Dial(ctx context.Context, targets []Target, o *Options) *Fleet {
	f := &Fleet{Group: Group{members: make([]member, len(targets)), parallel: defaultParallel}}
	r, err := newRun(o)
	if err != nil {
		for i, t := range targets {
			f.members[i] = member{name: t.Name, err: &Error{t.Name, StepConfig, err}}
		}
		return f
	}
	f.run, f.parallel = r, r.opts.Parallel
	r.prepare()
	bounded(len(targets), f.parallel, func(i int) {
		t := targets[i]
		h, err := r.connect(ctx, t)
		f.members[i] = member{t.Name, h, err}
	})
	return f
}

// Close ends all connections.
func (f *Fleet) Close() error {
	for _, m := range f.members {
		if m.host != nil {
			_ = m.host.Close() // never fails
		}
	}
	if f.run != nil {
		f.run.close()
	}
	return nil
}

// Only returns the named hosts of a group. A name that is not in it is ignored.
func (g Group) Only(names ...string) Group {
	some := Group{parallel: g.parallel}
	for _, m := range g.members {
		if slices.Contains(names, m.name) {
			some.members = append(some.members, m)
		}
	}
	return some
}

// Host returns a host by its name, or why it cannot be reached.
func (g Group) Host(name string) (*Host, error) {
	for _, m := range g.members {
		if m.name == name {
			return m.host, m.err
		}
	}
	return nil, &Error{Host: name, Err: errors.New("is not among the hosts connected to")}
}

// Err returns why hosts could not be reached, all of them joined, or nil.
func (g Group) Err() error {
	var errs []error
	for _, m := range g.members {
		errs = append(errs, m.err)
	}
	return errors.Join(errs...)
}

// Result is what came of one host.
type Result[T any] struct {
	Host  string
	Value T
	Err   error // *Error; the value is then zero
}

// Results are in the order of the fleet's targets.
type Results[T any] []Result[T]

// Each calls f for every host of a group at once, at most Options.Parallel at a
// time, and waits for all. A host that could not be connected to is in the
// results with that error:
//
//	observed := remote.Each(ctx, fleet.Group, agent.Observe)
//	if err := observed.Err(); err != nil { … }
func Each[T any](ctx context.Context, g Group, f func(context.Context, *Host) (T, error)) Results[T] {
	results := make(Results[T], len(g.members))
	bounded(len(g.members), g.parallel, func(i int) {
		m := g.members[i]
		results[i] = Result[T]{Host: m.name, Err: m.err}
		if m.err != nil {
			return
		}
		v, err := f(ctx, m.host)
		if err == nil {
			results[i].Value = v
			return
		}
		var named *Error
		if !errors.As(err, &named) {
			err = &Error{Host: m.name, Err: err}
		}
		results[i].Err = err
	})
	return results
}

// Err returns the errors of all hosts joined, one line a host, or nil.
func (rs Results[T]) Err() error {
	var errs []error
	for _, r := range rs {
		errs = append(errs, r.Err)
	}
	return errors.Join(errs...)
}

// Values returns what the hosts without an error gave, by host.
func (rs Results[T]) Values() map[string]T {
	values := make(map[string]T)
	for _, r := range rs {
		if r.Err == nil {
			values[r.Host] = r.Value
		}
	}
	return values
}

// bounded calls f with 0 to n-1, at most limit at a time, and waits for all.
func bounded(n, limit int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, max(limit, 1)) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}
