package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// StaleError is that hosts are not as they were when a saved plan was made.
type StaleError struct {
	Hosts []StaleHost // in the order of the plan's basis
}

// StaleHost is one host that is not as a saved plan was made from.
type StaleHost struct {
	Host  string
	Moved []string // what is different, in the words of the host
	Err   error    // why it cannot be told what is
}

// Fault is what there is to say of the host without its name.
func (h StaleHost) Fault() *fault.Error {
	if h.Err != nil {
		return fault.From(h.Err)
	}
	return fault.New(fault.Stale, "%s", strings.Join(h.Moved, "; "))
}

func (e *StaleError) Error() string {
	var b strings.Builder
	b.WriteString("the hosts are not as they were when the plan was made; nothing was changed:\n")
	for _, h := range e.Hosts {
		if h.Err != nil {
			fmt.Fprintf(&b, "  %s: %s\n", h.Host, plain.Lines(h.Err.Error()))
		}
		for _, m := range h.Moved {
			fmt.Fprintf(&b, "  %s: %s\n", h.Host, plain.Text(m))
		}
	}
	b.WriteString("plan again, look at what is different, and apply that")
	return b.String()
}

// FaultKind implements fault.Kinded: it is that of the last host that could not
// be observed, or else that the plan is stale.
func (e *StaleError) FaultKind() fault.Kind {
	for _, h := range slices.Backward(e.Hosts) {
		if h.Err != nil {
			return fault.Of(h.Err)
		}
	}
	return fault.Stale
}

// Unchanged compares the hosts with what the plan was made from. If any is not
// the same, the error is a StaleError.
func (s *Saved) Unchanged(inv *inventory.Inventory, observed map[string]Observation) error {
	now, err := bases(inv, s.Plan.Destroy, observed)
	if err != nil {
		return err
	}
	var hosts []StaleHost
	for _, then := range s.Basis {
		at := slices.IndexFunc(now, func(b Basis) bool { return b.Host == then.Host })
		switch {
		case at < 0 && observed[then.Host].Err != nil:
			hosts = append(hosts, StaleHost{Host: then.Host, Err: observed[then.Host].Err})
		case at < 0:
			hosts = append(hosts, StaleHost{Host: then.Host, Moved: []string{"was not observed"}})
		case now[at].Fingerprint != then.Fingerprint:
			hosts = append(hosts, StaleHost{Host: then.Host, Moved: moved(then.Observed, now[at].Observed)})
		}
	}
	if hosts == nil {
		return nil
	}
	return &StaleError{hosts}
}

// moved says what differs between two observations of what a plan depends on.
func moved(then, now wire.Observed) []string {
	var out []string
	all := state.Host{}
	for _, h := range []state.Host{then.State, now.State} {
		for _, i := range h {
			all.Put(i)
		}
	}
	for _, i := range all.Items() {
		id := state.IDOf(i)
		if was, is := then.State[id], now.State[id]; was != is {
			out = append(out, state.Moved(was, is))
		}
	}
	for _, j := range append([]journal.Journal{then.Journal}, then.Others...) {
		if other := journalOf(now, j.Topology); other.Rebooted() && !j.Rebooted() {
			out = append(out, "the host has rebooted")
		} else if !slices.EqualFunc(j.Entries, other.Entries, sameEntry) {
			out = append(out, fmt.Sprintf("what topology %s holds there has changed", j.Topology))
		}
	}
	if others := otherMembers(then.Journal.Members, now.Journal.Members); others != nil {
		out = append(out, fmt.Sprintf("what hosts topology %s has, as is known there, has changed: %s", then.Journal.Topology, strings.Join(others, ", ")))
	}
	if out == nil {
		out = []string{"what is known of topologies, modules or routes there has changed"}
	}
	return out
}

// otherMembers names up to a few of the hosts in which two lists of members
// differ.
func otherMembers(then, now []journal.Member) []string {
	if slices.Equal(then, now) {
		return nil
	}
	was, is := byName(then), byName(now)
	var out []string
	for _, m := range now {
		if before, known := was[m.Name]; !known {
			out = append(out, string(state.Add)+" "+m.Name)
		} else if before != m {
			out = append(out, string(state.Modify)+" "+m.Name)
		}
	}
	for _, m := range then {
		if _, known := is[m.Name]; !known {
			out = append(out, string(state.Remove)+" "+m.Name)
		}
	}
	if out == nil {
		out = []string{"their order"}
	}
	const few = 4
	if more := len(out) - few; more > 0 {
		out = append(out[:few], fmt.Sprintf("and %d more", more))
	}
	return out
}

func byName(members []journal.Member) map[string]journal.Member {
	out := make(map[string]journal.Member, len(members))
	for _, m := range members {
		out[m.Name] = m
	}
	return out
}

func journalOf(o wire.Observed, topology string) journal.Journal {
	for _, j := range append([]journal.Journal{o.Journal}, o.Others...) {
		if j.Topology == topology {
			return j
		}
	}
	return journal.Journal{}
}

func sameEntry(a, b journal.Entry) bool {
	return a.Before == b.Before && a.After == b.After && slices.Equal(a.For, b.For) && a.EarlierBoot == b.EarlierBoot
}
