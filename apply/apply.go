// Package apply carries a plan out on the hosts, wave by wave, and gathers the
// live state a plan is made from.
package apply

import (
	"context"
	"errors"
	"time"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plan"
)

// Run carries out a plan: this is the order of everything that happens on hosts.
// It stops after the wave in which a host fails; no host is rolled back, since
// everything done so far is what the plan wants.
func Run(ctx context.Context, p *plan.Plan, hosts Hosts, opts Options) error {
	if p.Failed() {
		return fault.New(p.Failure().Kind, "the plan has hosts that failed; nothing was changed")
	}
	done := 0
	stopped := func(step string, faults []Fault) error {
		return &Error{Step: step, Faults: faults, Done: done, Planned: p.Summary.Steps()}
	}
	if faults := prepare(ctx, p, hosts, opts); len(faults) != 0 {
		return stopped("prepare", faults)
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
	announced := announce(ctx, p, hosts, opts)
	proved := prove(ctx, opts)
	// All is done: the journals say so, even to somebody who no longer waits.
	settled := settle(context.WithoutCancel(ctx), p, hosts, opts)
	return errors.Join(announced, proved, settled)
}

// prove sends test traffic.
func prove(ctx context.Context, opts Options) error {
	if opts.Prove == nil {
		return nil
	}
	return opts.Prove(ctx)
}

// Options of a run.
type Options struct {
	// Drain is how long a destination that is about to be removed may keep
	// its connections; 0 does not wait.
	Drain time.Duration
	// Limit bounds every single answer of a host, beyond draining; 0 is two minutes.
	Limit time.Duration
	// Parallel is how many hosts are asked at a time; 0 is 32.
	Parallel int
	// Prove, where set, sends test traffic when all waves are done, and before the
	// journals forget what is no longer held. Its error ends the run; what was
	// done stays.
	Prove func(context.Context) error
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
