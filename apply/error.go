package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plain"
)

// Error is a run that stopped. The hosts' journals hold what was done; making
// the plan again and applying it goes on from there.
type Error struct {
	Step    string  // the wave; ahead of the first, prepare or adopt
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
		fmt.Fprintf(&b, "%s: %s: %s\n", f.Host, e.Step, plain.Text(f.Err.Error()))
	}
	if e.unsure() {
		b.WriteString("at least ")
	}
	fmt.Fprintf(&b, "%d of %d steps are done and recorded; ", e.Done, e.Planned)
	stale := slices.ContainsFunc(e.Faults, func(f Fault) bool { return fault.Of(f.Err) == fault.Stale })
	switch {
	case stale || e.Saved && e.Done != 0:
		b.WriteString("plan again, look at what is different, and apply that")
	case e.interrupted():
		b.WriteString("run the same command again: it resumes")
	default:
		b.WriteString("fix the cause and run the same command again: it resumes")
	}
	return b.String()
}

// unsure reports whether a host was lost before it could say how far it came.
func (e *Error) unsure() bool {
	return slices.ContainsFunc(e.Faults, func(f Fault) bool {
		var answer *fault.Error
		return !errors.As(f.Err, &answer)
	})
}

// interrupted reports whether whoever runs lvsform ended the run: hosts may have
// failed because of it, or before.
func (e *Error) interrupted() bool {
	return slices.ContainsFunc(e.Faults, func(f Fault) bool { return fault.Of(f.Err) == fault.Interrupted })
}

// FaultKind implements fault.Kinded: it is the kind of the first host's error,
// unless the run was interrupted.
func (e *Error) FaultKind() fault.Kind {
	if e.interrupted() {
		return fault.Interrupted
	}
	return fault.Of(e.Faults[0].Err)
}
