package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Unchanged compares the hosts with what the plan was made from. The error
// names, host by host, what moved.
func (s *Saved) Unchanged(inv *inventory.Inventory, observed map[string]Observation) error {
	now, err := bases(inv, s.Plan.Destroy, observed)
	if err != nil {
		return err
	}
	var lines []string
	kind := fault.Stale
	for _, then := range s.Basis {
		at := slices.IndexFunc(now, func(b Basis) bool { return b.Host == then.Host })
		switch {
		case at < 0 && observed[then.Host].Err != nil:
			kind = fault.Of(observed[then.Host].Err)
			lines = append(lines, fmt.Sprintf("%s: %s", then.Host, plainLines(observed[then.Host].Err.Error())))
		case at < 0:
			lines = append(lines, then.Host+": was not observed")
		case now[at].Fingerprint != then.Fingerprint:
			for _, m := range moved(then.Observed, now[at].Observed) {
				lines = append(lines, then.Host+": "+Plain(m))
			}
		}
	}
	if lines == nil {
		return nil
	}
	return fault.New(kind, "the hosts are not as they were when the plan was made; nothing was changed:\n  %s\nplan again, look at what is different, and apply that", strings.Join(lines, "\n  "))
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
		switch was, is := then.State[id], now.State[id]; {
		case was == is:
		case was == nil:
			out = append(out, state.Text(is)+" was absent and is there now")
		case is == nil:
			out = append(out, state.Text(was)+" was there and is gone now")
		default:
			out = append(out, fmt.Sprintf("%s is now %s", state.Text(was), is.Value()))
		}
	}
	for _, j := range append([]wire.Journal{then.Journal}, then.Others...) {
		if other := journalOf(now, j.Topology); !slices.EqualFunc(j.Entries, other.Entries, sameEntry) {
			out = append(out, fmt.Sprintf("what topology %s holds there has changed", j.Topology))
		}
	}
	if others := otherMembers(then.Journal.Members, now.Journal.Members); others != nil {
		out = append(out, fmt.Sprintf("what hosts topology %s has, as is known there, has changed: %s", then.Journal.Topology, strings.Join(others, ", ")))
	}
	if out == nil {
		out = []string{"what is known of topologies or modules there has changed"}
	}
	return out
}

// otherMembers names up to a few of the hosts in which two lists of members
// differ.
func otherMembers(then, now []wire.Member) []string {
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

func byName(members []wire.Member) map[string]wire.Member {
	out := make(map[string]wire.Member, len(members))
	for _, m := range members {
		out[m.Name] = m
	}
	return out
}

func journalOf(o wire.Observed, topology string) wire.Journal {
	for _, j := range append([]wire.Journal{o.Journal}, o.Others...) {
		if j.Topology == topology {
			return j
		}
	}
	return wire.Journal{}
}

func sameEntry(a, b wire.Entry) bool {
	return a.Before == b.Before && a.After == b.After && slices.Equal(a.For, b.For)
}
