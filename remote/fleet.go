package remote

import (
	"context"
	"errors"
	"sync"

	"github.com/lvsform/lvsform/journal"
)

// Fleet is many hosts, each connected or with the reason why not.
type Fleet struct {
	members []member // in the order of the targets
	run     *run     // nil when nothing was connected
}

type member struct {
	name string
	host *Host // nil when err is not
	err  error
}

// Dial connects to every target, at most Options.Parallel at a time. It always
// returns a fleet: a host that cannot be reached is that host's error, and no
// other's.
func Dial(ctx context.Context, targets []journal.Member, o *Options) *Fleet {
	f := &Fleet{members: make([]member, len(targets))}
	r, err := newRun(o)
	if err != nil {
		for i, t := range targets {
			f.members[i] = member{name: t.Name, err: &Error{t.Name, StepConfig, err}}
		}
		return f
	}
	f.run = r
	bounded(len(targets), r.opts.Parallel, func(i int) {
		t := targets[i]
		h, err := r.connect(ctx, t)
		f.members[i] = member{t.Name, h, err}
		r.opts.Progress(t.Name, "")
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

// Host returns a host by its name, or why it cannot be reached.
func (f *Fleet) Host(name string) (*Host, error) {
	for _, m := range f.members {
		if m.name == name {
			return m.host, m.err
		}
	}
	return nil, &Error{Host: name, Err: errors.New("is not among the hosts connected to")}
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
