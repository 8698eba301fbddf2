package plan

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// Holdings is what the topologies hold on hosts, as the journals there say.
type Holdings struct {
	FormatVersion string         `json:"format_version"`
	Hosts         []HoldingsHost `json:"hosts"` // those of the inventory, then those that have left it
}

// HoldingsHost is one host's journals.
type HoldingsHost struct {
	Name       string            `json:"name"`
	Address    string            `json:"address"`
	Left       bool              `json:"left,omitempty"` // no longer in the inventory
	Errors     []*fault.Error    `json:"errors,omitempty"`
	Topologies []HoldingTopology `json:"topologies"` // by name
	// Unrecorded is set for a host that may have lost its journal.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`
}

// HoldingTopology is one topology's journal on a host.
type HoldingTopology struct {
	Topology string          `json:"topology"`
	Members  []string        `json:"members"` // the hosts it spans, as this host knows
	Entries  []journal.Entry `json:"entries"` // by kind and key
}

// Hold lists what the hosts hold.
func Hold(inv *inventory.Inventory, observed map[string]Observation) *Holdings {
	out := &Holdings{FormatVersion: FormatVersion}
	lost := unrecorded(inv, modes.Desire(inv, facts(observed)), observed)
	everyHost(inv, observed, func(name, address string, h *inventory.Host, obs Observation) {
		out.add(HoldingsHost{Name: name, Address: address, Left: h == nil, Unrecorded: lost[name]}, obs)
	})
	return out
}

func (l *Holdings) add(h HoldingsHost, obs Observation) {
	h.Topologies = []HoldingTopology{}
	if obs.Err != nil {
		h.Errors = []*fault.Error{fault.From(obs.Err)}
	}
	for _, j := range append([]journal.Journal{obs.Journal}, obs.Others...) {
		if len(j.Entries) == 0 {
			continue
		}
		t := HoldingTopology{Topology: j.Topology, Members: []string{}, Entries: j.Entries}
		for _, m := range j.Members {
			t.Members = append(t.Members, m.Name)
		}
		h.Topologies = append(h.Topologies, t)
	}
	slices.SortFunc(h.Topologies, func(a, b HoldingTopology) int { return cmp.Compare(a.Topology, b.Topology) })
	l.Hosts = append(l.Hosts, h)
}

// Narrow leaves only the hosts of those names; none chooses all.
func (l *Holdings) Narrow(hosts []string) error {
	some, err := chosen(hosts, l.Hosts, func(h HoldingsHost) string { return h.Name })
	if err == nil {
		l.Hosts = some
	}
	return err
}

// Failure is why a host could not be asked, the first of several; nil: all were.
func (l *Holdings) Failure() *fault.Error {
	return firstError(l.Hosts, func(h HoldingsHost) []*fault.Error { return h.Errors })
}

// WriteText writes the list for people: a line for each topology of a host,
// and with items a line for each item.
func (l *Holdings) WriteText(w io.Writer, o TextOptions, items bool) error {
	var b strings.Builder
	for _, h := range l.Hosts {
		left := ""
		if h.Left {
			left = "  (left the inventory)"
		}
		o.host(&b, h.Name, h.Address, left)
		o.errors(&b, h.Errors)
		if len(h.Topologies)+len(h.Errors) == 0 && h.Unrecorded == nil {
			b.WriteString("  holds nothing\n")
		}
		if u := h.Unrecorded.text(); u != "" {
			fmt.Fprintf(&b, "  %s\n", u)
		}
		for _, t := range h.Topologies {
			fmt.Fprintf(&b, "  %s: %s\n", plain.Text(t.Topology), kindsOf(t.Entries))
			for _, e := range t.Entries {
				if items {
					o.line(&b, "    ", plain.Text(state.Text(e.After.Item))+": "+plain.Text(foundAs(e)))
				}
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// kindsOf counts entries by kind.
func kindsOf(entries []journal.Entry) string {
	counts := map[state.Kind]int{}
	for _, e := range entries {
		counts[e.ID().Kind]++
	}
	var parts []string
	for _, k := range state.Kinds() {
		if n := counts[k]; n != 0 {
			parts = append(parts, quantity(n, string(k), k.Traits().Plural))
		}
	}
	return strings.Join(parts, ", ")
}

// foundAs says what destroy would make of an entry.
func foundAs(e journal.Entry) string {
	switch {
	case e.EarlierBoot:
		return "set before the host rebooted"
	case e.Before.Item == nil:
		return "was not there before"
	case e.AsFound():
		return "found as it is"
	default:
		return "found as " + valueOf(e.Before.Item)
	}
}
