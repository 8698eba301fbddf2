// Package plan compares what hosts must look like with what they look like,
// and says what has to change: as data, in the order that keeps traffic
// flowing. It is pure: values in, values out.
package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// FormatVersion of the JSON form.
const FormatVersion = "1"

// Plan is what has to change on the hosts of a topology.
type Plan struct {
	FormatVersion string   `json:"format_version"`
	Topology      string   `json:"topology"`
	Destroy       bool     `json:"destroy,omitempty"` // puts the hosts back as found
	Notes         []string `json:"notes,omitempty"`   // what to know of the inventory: limits, surprises
	Hosts         []Host   `json:"hosts"`             // in the order of the inventory
	Summary       Summary  `json:"summary"`
}

// Host is one host's part of a plan.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"` // the host's first, for people
	// Errors says why this host cannot be planned for; then it has no actions.
	Errors  []string `json:"errors,omitempty"`
	Actions []Action `json:"actions"` // in the order in which they are carried out
	// NotManaged lists what is there, looks related, and is not lvsform's.
	NotManaged []string `json:"not_managed,omitempty"`
	// Announce lists the VIPs a director has already and announces again at
	// the end: neighbours may have learned of them from a real server that did
	// not keep quiet.
	Announce []state.Address `json:"announce,omitempty"`
	// Adopt and Forget are the journal's part: what was found in place, and
	// what is no longer held.
	Adopt  []wire.Entry `json:"adopt,omitempty"`
	Forget []state.ID   `json:"forget,omitempty"`
}

// Action is one change on one host.
type Action struct {
	Op       state.Op       `json:"op"`
	Kind     state.Kind     `json:"kind"`
	Key      string         `json:"key"`
	Before   state.Tagged   `json:"before"`
	After    state.Tagged   `json:"after"`
	Reason   string         `json:"reason"`
	Role     inventory.Role `json:"role,omitempty"`
	Wave     Wave           `json:"wave"`
	Restore  bool           `json:"restore,omitempty"`  // puts back what was found
	Disrupts bool           `json:"disrupts,omitempty"` // ends or hinders traffic that flows now
}

// Change is the action's change of the host's state.
func (a Action) Change() state.Change {
	return state.Change{Before: a.Before.Item, After: a.After.Item}
}

// Summary counts.
type Summary struct {
	HostsToChange  int `json:"hosts_to_change"`
	HostsUnchanged int `json:"hosts_unchanged"`
	HostsFailed    int `json:"hosts_failed"`
	Add            int `json:"add"`
	Change         int `json:"change"`
	Remove         int `json:"remove"`
}

// Observation is what is known of a host: its state, or why there is none.
type Observation struct {
	wire.Observed
	Err error
}

// Asked lists what has to be observed by name to plan for a host.
func Asked(wants []modes.Want) []state.ID {
	seen := map[state.ID]bool{}
	var out []state.ID
	ask := func(i state.Item) {
		id := state.IDOf(i)
		if named := id.Kind == state.KindModule || id.Kind == state.KindSysctl; named && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	for _, w := range wants {
		ask(w.Item)
		for _, i := range w.MetBy {
			ask(i)
		}
	}
	return out
}

// Make plans the way from what is observed to what the inventory asks for.
func Make(inv *inventory.Inventory, observed map[string]Observation) *Plan {
	p := &Plan{FormatVersion: FormatVersion, Topology: inv.Name, Notes: modes.Notes(inv)}
	desired := modes.Desire(inv, facts(observed))
	for _, h := range inv.Hosts {
		obs := observed[h.Name]
		p.add(h, obs, func(host *Host) {
			host.Errors = preflight(h, desired[h.Name], obs.Observed)
			if len(host.Errors) != 0 {
				return
			}
			host.reach(desired[h.Name], obs.Observed)
			host.NotManaged = notManaged(inv, h, desired[h.Name], obs.Observed)
		})
	}
	if p.quiets() {
		for i, h := range p.Hosts {
			p.Hosts[i].Announce = announced(desired[h.Name], observed[h.Name].State)
		}
	}
	return p
}

// quiets reports whether the plan makes a real server keep quiet about a VIP.
func (p *Plan) quiets() bool {
	for _, h := range p.Hosts {
		for _, a := range h.Actions {
			rule, _ := a.After.Item.(state.Rule)
			if strings.Contains(a.Key, ".arp_") || rule.Family == state.RuleARP {
				return true
			}
		}
	}
	return false
}

// announced are the VIPs a director has and keeps.
func announced(wants []modes.Want, live state.Host) []state.Address {
	var out []state.Address
	for _, w := range wants {
		if a, ok := w.Item.(state.Address); ok && w.Role == inventory.RoleDirector && live.Has(a) {
			out = append(out, a)
		}
	}
	return out
}

// facts are the devices of all hosts that were observed.
func facts(observed map[string]Observation) modes.Facts {
	out := modes.Facts{}
	for host, o := range observed {
		out[host] = map[string]state.Link{}
		for _, l := range state.Of[state.Link](o.State) {
			out[host][l.Name] = l
		}
	}
	return out
}

// Destroy plans the way back to how the hosts were found.
func Destroy(inv *inventory.Inventory, observed map[string]Observation) *Plan {
	p := &Plan{FormatVersion: FormatVersion, Topology: inv.Name, Destroy: true}
	for _, h := range inv.Hosts {
		obs := observed[h.Name]
		p.add(h, obs, func(host *Host) {
			host.reach(nil, obs.Observed)
			host.NotManaged = notManaged(inv, h, nil, obs.Observed)
		})
	}
	return p
}

// add plans for one host, unless it could not be observed, and counts.
func (p *Plan) add(h *inventory.Host, obs Observation, fill func(*Host)) {
	host := Host{Name: h.Name, Address: firstAddress(h), Actions: []Action{}}
	if obs.Err != nil {
		host.Errors = []string{obs.Err.Error()}
	} else {
		fill(&host)
	}
	switch {
	case len(host.Errors) != 0:
		p.Summary.HostsFailed++
	case len(host.Actions) != 0:
		p.Summary.HostsToChange++
	default:
		p.Summary.HostsUnchanged++
	}
	for _, a := range host.Actions {
		switch a.Op {
		case state.Add:
			p.Summary.Add++
		case state.Modify:
			p.Summary.Change++
		case state.Remove:
			p.Summary.Remove++
		}
	}
	p.Hosts = append(p.Hosts, host)
}

// Failed reports whether some host cannot be planned for.
func (p *Plan) Failed() bool { return p.Summary.HostsFailed != 0 }

// Empty reports whether nothing has to change.
func (p *Plan) Empty() bool { return p.Summary.HostsToChange == 0 }

// reach fills in the actions that lead from what is observed to the wants, and
// back to what was found for everything the journal holds beyond them.
func (h *Host) reach(wants []modes.Want, obs wire.Observed) {
	held := map[state.ID]wire.Entry{}
	for _, e := range obs.Journal.Entries {
		held[e.ID()] = e
	}
	wanted := map[state.ID]bool{}
	for _, w := range wants {
		id := state.IDOf(w.Item)
		wanted[id] = true
		entry, ours := held[id]
		is := obs.State[id]
		switch {
		case is == w.Item && ours && entry.After.Item == w.Item:
			// as lvsform left it
		case is == w.Item:
			h.adopt(w, is)
		case slices.ContainsFunc(w.MetBy, obs.State.Has):
			// something else serves as well
		default:
			if _, service := w.Item.(state.Service); service && is != nil && !ours {
				h.Errors = append(h.Errors, conflict(is, w.Item))
				continue
			}
			h.act(state.Change{Before: is, After: w.Item}, w.Role, w.Reason, false)
		}
	}
	others := map[state.ID]bool{}
	for _, id := range obs.Others {
		others[id] = true
	}
	for _, e := range obs.Journal.Entries {
		if !wanted[e.ID()] {
			h.putBack(e, obs.State[e.ID()], others[e.ID()])
		}
	}
	if len(h.Errors) != 0 {
		h.Actions = []Action{}
	}
	slices.SortFunc(h.Actions, func(a, b Action) int {
		first, second := a, b
		if a.Restore && b.Restore {
			first, second = b, a // what came last goes first
		}
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), state.Compare(first.Change().ID(), second.Change().ID()))
	})
}

// adopt takes an item that is already as wanted into the journal, to be left
// there when lvsform goes. Modules are not kept in journals.
func (h *Host) adopt(w modes.Want, is state.Item) {
	if is.Kind() != state.KindModule {
		item := state.Tagged{Item: is}
		h.Adopt = append(h.Adopt, wire.Entry{Before: item, After: item, Role: string(w.Role), Reason: w.Reason})
	}
}

// putBack restores what an entry found, unless it is so already, another
// topology holds the item, or there is nothing left to restore it on.
func (h *Host) putBack(e wire.Entry, is state.Item, shared bool) {
	before := e.Before.Item
	// A setting that was not there before belongs to a device that came later
	// and goes with it.
	_, setting := e.After.Item.(state.Sysctl)
	if is == before || shared || setting && (is == nil || before == nil) {
		h.Forget = append(h.Forget, e.ID())
		return
	}
	reason := "as it was found"
	if before == nil {
		reason = "was not there before"
	}
	h.act(state.Change{Before: is, After: before}, inventory.Role(e.Role), reason, true)
}

func (h *Host) act(c state.Change, role inventory.Role, reason string, restore bool) {
	h.Actions = append(h.Actions, Action{
		Op:       c.Op(),
		Kind:     c.ID().Kind,
		Key:      c.ID().Key,
		Before:   state.Tagged{Item: c.Before},
		After:    state.Tagged{Item: c.After},
		Reason:   reason,
		Role:     role,
		Wave:     waveOf(c, role, restore),
		Restore:  restore,
		Disrupts: disrupts(c),
	})
}

// disrupts tells whether a change ends or hinders traffic that flows now.
func disrupts(c state.Change) bool {
	switch before := c.Before.(type) {
	case state.Service, state.Address, state.TunnelLink, state.Up:
		return c.Op() == state.Remove
	case state.Route:
		return c.Op() != state.Add
	case state.Destination:
		after, ok := c.After.(state.Destination)
		return !ok || before.Forward != after.Forward || before.Tunnel != after.Tunnel
	default:
		return false
	}
}

func firstAddress(h *inventory.Host) string {
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			return a.Addr().String()
		}
	}
	return ""
}
