// Package plan compares what hosts must look like with what they look like,
// and says what has to change: as data, in the order that keeps traffic
// flowing. It is pure: values in, values out.
package plan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// FormatVersion of the JSON form.
const FormatVersion = "2"

// Plan is what has to change on the hosts of a topology.
type Plan struct {
	FormatVersion string   `json:"format_version"`
	Topology      string   `json:"topology"`
	Destroy       bool     `json:"destroy,omitempty"` // puts the hosts back as found
	Only          *Only    `json:"only,omitempty"`    // empty: the whole topology
	Notes         []string `json:"notes,omitempty"`   // what to know of the inventory: limits, surprises
	// Hosts are those of the inventory in its order, then those that have left
	// it and still hold something, by name.
	Hosts   []Host  `json:"hosts"`
	Summary Summary `json:"summary"`
	// Members is what the journals keep of the topology's hosts.
	Members []journal.Member `json:"members"`
	// LeftOut are the hosts that have left the inventory and were not chosen:
	// only the journals know of them. In JSON they are the members
	// beyond the inventory that are not among the hosts.
	LeftOut []string `json:"-"`
}

// Host is one host's part of a plan.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`        // the host's first, for people
	Left    bool   `json:"left,omitempty"` // is no longer in the inventory: all it holds is put back
	// Errors says why this host cannot be planned for; then it has no actions.
	Errors  []*fault.Error `json:"errors,omitempty"`
	Actions []Action       `json:"actions"` // in the order in which they are carried out
	// Held are actions that were chosen and cannot be done without others that
	// were not.
	Held []Held `json:"held,omitempty"`
	// Rebooted says that the host has rebooted since the topology was applied
	// there: what was set is gone, and what was found before is no longer known.
	Rebooted bool `json:"rebooted,omitempty"`
	// LeftAlone lists what somebody has changed since lvsform set or found it, and
	// what is therefore not put back, and what cannot be put back. The journal
	// forgets it.
	LeftAlone []LeftAlone `json:"left_alone,omitempty"`
	// Unrecorded is set for a host that may have lost its journal.
	Unrecorded *Unrecorded `json:"unrecorded,omitempty"`
	// NotManaged lists what is there, looks related, and is not lvsform's.
	NotManaged []state.Foreign `json:"not_managed,omitempty"`
	// Announce lists the VIPs a director has already and announces again at
	// the end: neighbours may have learned of them from a real server that did
	// not keep quiet.
	Announce []state.Address `json:"announce,omitempty"`
	// Adopt, Forget, HandOver and Remember are the journal's part.
	Adopt    []journal.Entry `json:"adopt,omitempty"`     // was found in place, or is for other services now
	Forget   []state.ID      `json:"forget,omitempty"`    // is no longer held
	HandOver []state.ID      `json:"hand_over,omitempty"` // is no longer held here, and stays: another topology on the host holds it
	Remember bool            `json:"remember,omitempty"`  // the journal's list of members is out of date
}

// LeftAlone is an item that is neither as lvsform set it nor as it was found, or
// one that is not there and cannot be put back.
type LeftAlone struct {
	Kind    state.Kind   `json:"kind"`
	Key     string       `json:"key"`
	Applied state.Tagged `json:"applied"` // as lvsform set it
	Found   state.Tagged `json:"found"`   // as it was before; null: it was not there
	Live    state.Tagged `json:"live"`    // as it is; null: it is not there
	// Lacks is what has gone from the host and without which the item cannot be put
	// back, not even by force.
	Lacks *state.ID `json:"lacks,omitempty"`
}

// Action is one change on one host.
type Action struct {
	Op       state.Op       `json:"op"`
	Kind     state.Kind     `json:"kind"`
	Key      string         `json:"key"`                // tells the host's items of that kind apart
	Before   state.Tagged   `json:"before"`             // null: it is not there
	After    state.Tagged   `json:"after"`              // null: it is removed
	Reason   string         `json:"reason"`             // why, for people
	ReasonID modes.ReasonID `json:"reason_id"`          // why, for programs
	Role     inventory.Role `json:"role,omitempty"`     // of the host, for which it is done; empty: for all
	For      []string       `json:"for,omitempty"`      // services, and real servers of services as service/host
	Wave     Wave           `json:"wave"`               // all hosts finish a wave before any begins the next
	Restore  bool           `json:"restore,omitempty"`  // puts back what was found
	Disrupts bool           `json:"disrupts,omitempty"` // ends or hinders traffic that flows now
}

// Change is the action's change of the host's state.
func (a Action) Change() state.Change {
	return state.Change{Before: a.Before.Item, After: a.After.Item}
}

// Reverse is the change that undoes the action.
func (a Action) Reverse() state.Change {
	return state.Change{Before: a.After.Item, After: a.Before.Item}
}

// Summary is how many hosts and items a plan changes.
type Summary struct {
	HostsToChange  int `json:"hosts_to_change"`
	HostsUnchanged int `json:"hosts_unchanged"`
	HostsFailed    int `json:"hosts_failed"`
	Add            int `json:"add"`
	Change         int `json:"change"`
	Remove         int `json:"remove"`
	Held           int `json:"held,omitempty"` // actions held back
}

// Observation is what is known of a host: its state, or why there is none.
type Observation struct {
	wire.Observed
	Err error
	// Member is set for a host that is no longer in the inventory.
	Member *journal.Member
	// Force puts back also what somebody has changed since lvsform set it.
	Force bool
}

// Asked lists what a host has to be asked for to plan for it: what is read by
// name, and what the host may lack the program for.
func Asked(wants []modes.Want) []state.ID {
	seen := map[state.ID]bool{}
	var out []state.ID
	ask := func(i state.Item) {
		id := state.IDOf(i)
		if t := id.Kind.Traits(); (t.Named || t.ByProgram) && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	for _, w := range wants {
		ask(w.Item)
		for _, i := range slices.Concat(w.MetBy...) {
			ask(i)
		}
	}
	return out
}

// VIPs lists the addresses of the inventory's services.
func VIPs(inv *inventory.Inventory) []netip.Addr {
	var out []netip.Addr
	for _, s := range inv.Services {
		out = append(out, s.VIP)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// Make plans the way from what is observed to what the inventory asks for.
// Observed hosts that the inventory does not have are put back as found.
func Make(inv *inventory.Inventory, observed map[string]Observation) *Plan {
	p := &Plan{FormatVersion: FormatVersion, Topology: inv.Name, Notes: modes.Notes(inv)}
	desired := modes.Desire(inv, facts(observed))
	p.cover(inv, observed, func(host *Host, h *inventory.Host, obs Observation) {
		host.Errors = preflight(inv, h, desired[h.Name], obs.Observed)
		if len(host.Errors) == 0 {
			host.diff(desired[h.Name], obs)
			host.NotManaged = notManaged(inv, h, desired[h.Name], obs.Observed)
		}
	})
	p.unrecorded(inv, desired, observed)
	if p.silences() {
		for i, h := range p.Hosts {
			p.Hosts[i].Announce = announced(desired[h.Name], observed[h.Name].State)
		}
	}
	return p
}

// Destroy plans the way back to how the hosts were found.
func Destroy(inv *inventory.Inventory, observed map[string]Observation) *Plan {
	p := &Plan{FormatVersion: FormatVersion, Topology: inv.Name, Destroy: true}
	p.cover(inv, observed, func(host *Host, h *inventory.Host, obs Observation) {
		host.diff(nil, obs)
		host.NotManaged = notManaged(inv, h, nil, obs.Observed)
	})
	p.unrecorded(inv, modes.Desire(inv, facts(observed)), observed)
	return p
}

// unrecorded says of hosts that they may have lost their journals.
func (p *Plan) unrecorded(inv *inventory.Inventory, desired modes.Desired, observed map[string]Observation) {
	lost := unrecorded(inv, desired, observed)
	for i, h := range p.Hosts {
		p.Hosts[i].Unrecorded = lost[h.Name]
	}
}

// cover plans for every host: those of the inventory with fill, those that
// have left it by putting back what they hold.
func (p *Plan) cover(inv *inventory.Inventory, observed map[string]Observation, fill func(*Host, *inventory.Host, Observation)) {
	members := Members(inv)
	p.Members = members
	everyHost(inv, observed, func(name, address string, h *inventory.Host, obs Observation) {
		host := Host{Name: name, Address: address, Left: h == nil, Rebooted: obs.Journal.Rebooted(), Actions: []Action{}}
		if h == nil {
			p.Members = append(p.Members, *obs.Member)
		}
		switch {
		case obs.Err != nil:
			host.Errors = []*fault.Error{fault.From(obs.Err)}
		case h == nil:
			host.diff(nil, obs)
		default:
			fill(&host, h, obs)
		}
		if obs.Err == nil {
			if len(obs.Journal.Entries) != 0 {
				host.Remember = !slices.Equal(obs.Journal.Members, members)
			} else {
				host.Remember = len(obs.Journal.Members) != 0 // a run was cut short
			}
		}
		p.Hosts = append(p.Hosts, host)
	})
	p.count()
}

// silences reports whether the plan makes a real server keep quiet about a VIP.
func (p *Plan) silences() bool {
	for _, h := range p.Hosts {
		for _, a := range h.Actions {
			rule, _ := a.After.Item.(state.FirewallRule)
			if strings.Contains(a.Key, ".arp_") || rule.Family == state.FirewallARP {
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

// count makes the summary.
func (p *Plan) count() {
	p.Summary = Summary{}
	for _, host := range p.Hosts {
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
		p.Summary.Held += len(host.Held)
	}
}

// Failed reports whether some host cannot be planned for.
func (p *Plan) Failed() bool { return p.Summary.HostsFailed != 0 }

// Failure is why a host cannot be planned for, the first of several; nil: all
// can.
func (p *Plan) Failure() *fault.Error {
	return firstError(p.Hosts, func(h Host) []*fault.Error { return h.Errors })
}

// Empty reports whether the plan changes nothing.
func (p *Plan) Empty() bool { return p.Summary.HostsToChange == 0 }

// Pending reports whether something has to change, now or after what it waits
// for.
func (p *Plan) Pending() bool { return !p.Empty() || p.Summary.Held != 0 }
