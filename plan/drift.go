package plan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// Drift is how hosts differ from what was applied last. What the inventory
// asks for plays no part: the journals tell what was applied.
type Drift struct {
	FormatVersion string       `json:"format_version"`
	Topology      string       `json:"topology"`
	Hosts         []DriftHost  `json:"hosts"` // those of the inventory, then those that have left it
	Summary       DriftSummary `json:"summary"`
}

// DriftHost is one host's part.
type DriftHost struct {
	Name    string         `json:"name"`
	Address string         `json:"address"`
	Left    bool           `json:"left,omitempty"` // no longer in the inventory
	Errors  []*fault.Error `json:"errors,omitempty"`
	// Rebooted says that the host has rebooted since the last apply: what was set
	// is gone.
	Rebooted   bool        `json:"rebooted,omitempty"`
	Held       int         `json:"held"` // how many items were applied here
	Deviations []Deviation `json:"deviations"`
	// Unrecorded is set for a host that may have lost its journal.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`
}

// Deviation is one item that is not as it was applied.
type Deviation struct {
	// Op is what was done to it since: "-" it is gone, "~" it is another, "+"
	// a destination was added to a virtual service that lvsform made.
	Op      state.Op     `json:"op"`
	Kind    state.Kind   `json:"kind"`
	Key     string       `json:"key"`
	Applied state.Tagged `json:"applied"`          // null: it was not
	Live    state.Tagged `json:"live"`             // null: it is not there
	Reason  string       `json:"reason,omitempty"` // why it was applied
	For     []string     `json:"for,omitempty"`    // as in an action
}

// DriftSummary is how many hosts and items are not as they were applied.
type DriftSummary struct {
	HostsAsApplied int `json:"hosts_as_applied"`
	HostsDrifted   int `json:"hosts_drifted"`
	HostsFailed    int `json:"hosts_failed"`
	Deviations     int `json:"deviations"`
}

// Deviations compares hosts with their journals.
func Deviations(inv *inventory.Inventory, observed map[string]Observation) *Drift {
	d := &Drift{FormatVersion: FormatVersion, Topology: inv.Name}
	lost := unrecorded(inv, modes.Desire(inv, facts(observed)), observed)
	everyHost(inv, observed, func(name, address string, h *inventory.Host, obs Observation) {
		d.add(DriftHost{Name: name, Address: address, Left: h == nil, Unrecorded: lost[name]}, obs)
	})
	return d
}

func (d *Drift) add(h DriftHost, obs Observation) {
	h.Deviations = []Deviation{}
	if obs.Err != nil {
		h.Errors = []*fault.Error{fault.From(obs.Err)}
	} else {
		h.Held, h.Rebooted = len(obs.Journal.Entries), obs.Journal.Rebooted()
		h.Deviations = append(h.Deviations, deviations(obs.Observed)...)
	}
	d.count(h)
}

// count adds a host to the report.
func (d *Drift) count(h DriftHost) {
	switch {
	case len(h.Errors) != 0:
		d.Summary.HostsFailed++
	case len(h.Deviations) != 0:
		d.Summary.HostsDrifted++
	default:
		d.Summary.HostsAsApplied++
	}
	d.Summary.Deviations += len(h.Deviations)
	d.Hosts = append(d.Hosts, h)
}

func deviations(obs wire.Observed) []Deviation {
	var out []Deviation
	held, made := map[state.ID]bool{}, map[state.ID]bool{}
	add := func(c state.Change, reason string, serves []string) {
		id := c.ID()
		out = append(out, Deviation{
			Op: c.Op(), Kind: id.Kind, Key: id.Key,
			Applied: state.Tagged{Item: c.Before}, Live: state.Tagged{Item: c.After}, Reason: reason, For: serves,
		})
	}
	for _, e := range obs.Journal.Entries {
		held[e.ID()], made[e.ID()] = true, e.Before.Item == nil && !e.EarlierBoot
		if live := obs.State[e.ID()]; live != e.After.Item {
			add(state.Change{Before: e.After.Item, After: live}, e.Reason, e.For)
		}
	}
	others := elsewhere(obs)
	for _, dest := range state.Of[state.Destination](obs.State) {
		// A virtual service that was found may have been found with destinations
		// that are nobody's; one that lvsform made began with none.
		id := state.IDOf(dest)
		if made[state.IDOf(state.Service{ServiceID: dest.Service})] && !held[id] && others[id].topology == "" {
			add(state.Change{After: dest}, "added to a virtual service of lvsform's", nil)
		}
	}
	slices.SortStableFunc(out, func(a, b Deviation) int {
		return state.Compare(state.ID{Kind: a.Kind, Key: a.Key}, state.ID{Kind: b.Kind, Key: b.Key})
	})
	return out
}

// Narrow leaves only the hosts of those names; none chooses all.
func (d *Drift) Narrow(hosts []string) error {
	some, err := chosen(hosts, d.Hosts, func(h DriftHost) string { return h.Name })
	if err != nil {
		return err
	}
	d.Hosts, d.Summary = nil, DriftSummary{}
	for _, h := range some {
		d.count(h)
	}
	return nil
}

// Failure is why a host could not be asked, the first of several; nil: all were.
func (d *Drift) Failure() *fault.Error {
	return firstError(d.Hosts, func(h DriftHost) []*fault.Error { return h.Errors })
}

// Clean reports whether every host is as it was applied.
func (d *Drift) Clean() bool { return d.Summary.HostsDrifted == 0 }

// Failed reports whether some host could not be asked.
func (d *Drift) Failed() bool { return d.Summary.HostsFailed != 0 }

// WriteText writes the drift for people.
func (d *Drift) WriteText(w io.Writer, o TextOptions) error {
	var b strings.Builder
	for _, h := range d.Hosts {
		if len(h.Errors)+len(h.Deviations) == 0 && !h.Rebooted && h.Unrecorded == nil {
			continue
		}
		o.host(&b, h.Name, h.Address, "")
		o.errors(&b, h.Errors)
		if h.Rebooted {
			b.WriteString("  rebooted since the last apply, and nothing that lvsform sets outlasts that\n")
		}
		if u := h.Unrecorded.text(); u != "" {
			fmt.Fprintf(&b, "  %s\n", u)
		}
		for _, v := range h.Deviations {
			b.WriteString("  " + o.op(v.Op) + " ")
			b.WriteString(o.wrap(fmt.Sprintf("%s %s  %s", v.Kind, plain.Text(v.Key), plain.Text(v.text())), len("  + ")) + "\n")
		}
		b.WriteString("\n")
	}
	if !o.DiffOnly {
		o.line(&b, "", d.Summary.String())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v Deviation) text() string {
	value := func(t state.Tagged) string { return cmp.Or(t.Value(), "there") }
	switch v.Op {
	case state.Remove:
		return "was applied, and is gone"
	case state.Add:
		return fmt.Sprintf("%s: %s", value(v.Live), v.Reason)
	default:
		return fmt.Sprintf("was applied as %s, and is %s", value(v.Applied), value(v.Live))
	}
}

// String is the last line.
func (s DriftSummary) String() string {
	failed := ""
	if s.HostsFailed != 0 {
		failed = fmt.Sprintf(", %d failed", s.HostsFailed)
	}
	if s.HostsDrifted+s.HostsAsApplied == 0 && s.HostsFailed != 0 {
		return fmt.Sprintf("Nothing is known of drift: %s.", hosts(s.HostsFailed, "failed", "failed"))
	}
	if s.HostsDrifted == 0 {
		return fmt.Sprintf("No drift: %s as applied%s.", hosts(s.HostsAsApplied, "is", "are"), failed)
	}
	return fmt.Sprintf("%s drifted, %d as applied%s: %s", hosts(s.HostsDrifted, "has", "have"), s.HostsAsApplied, failed, quantity(s.Deviations, "difference", "differences"))
}
