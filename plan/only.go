package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// Only is the part of a topology that a plan is for. A list that is not there
// chooses all.
type Only struct {
	Hosts    []string `json:"hosts,omitempty"`
	Services []string `json:"services,omitempty"`
}

// Held is an action that was chosen and waits for others that were not.
type Held struct {
	Op    state.Op   `json:"op"`
	Kind  state.Kind `json:"kind"`
	Key   string     `json:"key"`
	Needs []string   `json:"needs"` // what has to come first, each with its host
}

// Narrow leaves in the plan what was chosen, and holds back of that what needs
// something left out to come first: the order of the waves holds for a part,
// too. A host that was not chosen may have failed; what needs it is held.
func (p *Plan) Narrow(inv *inventory.Inventory, only Only) error {
	if len(only.Hosts)+len(only.Services) == 0 {
		return nil
	}
	if err := p.knows(inv, only); err != nil {
		return err
	}
	p.Only = &only
	out := leftOut{at: map[place][]int{}, failed: map[string]string{}, standby: standby(inv)}
	directors := map[string]bool{}
	for _, h := range inv.Hosts {
		directors[h.Name] = h.Has(inventory.RoleDirector)
	}
	chosen := func(h Host) bool { return len(only.Hosts) == 0 || slices.Contains(only.Hosts, h.Name) }
	for i := range p.Hosts {
		h := &p.Hosts[i]
		if !chosen(*h) && len(h.Errors) != 0 {
			out.failed[h.Name] = h.Errors[0].Message
			if directors[h.Name] || h.Left { // may have been one
				out.directors = append(out.directors, h.Name)
			}
		}
		// A module may be named for services alone and be needed by what is for
		// none, as ip_vs by a sync daemon. To load one more hinders nobody.
		ground := slices.ContainsFunc(h.Actions, func(a Action) bool { return len(a.For) == 0 && !a.Restore })
		var kept []Action
		for _, a := range h.Actions {
			if chosen(*h) && (only.concerns(a.For, a.Restore) || ground && a.Wave == LoadModules) {
				kept = append(kept, a)
			} else {
				out.add(h.Name, a)
			}
		}
		h.Actions = kept
	}
	for _, h := range p.Hosts {
		if h.Left && !chosen(h) {
			p.LeftOut = append(p.LeftOut, h.Name)
		}
	}
	p.Hosts = slices.DeleteFunc(p.Hosts, func(h Host) bool { return !chosen(h) })
	for _, w := range Waves() {
		p.holdBack(w, &out)
	}
	for i := range p.Hosts {
		p.Hosts[i].narrowJournal(only)
	}
	p.count()
	return nil
}

// knows refuses names that are nowhere.
func (p *Plan) knows(inv *inventory.Inventory, only Only) error {
	var hosts, services []string
	for _, s := range inv.Services {
		services = append(services, s.Name)
	}
	for _, h := range p.Hosts {
		hosts = append(hosts, h.Name)
		for _, a := range h.Actions { // a service that has left the inventory
			for _, f := range a.For {
				service, _, _ := strings.Cut(f, "/")
				services = append(services, service)
			}
		}
	}
	for _, h := range only.Hosts {
		if !slices.Contains(hosts, h) {
			return unknownHost(h, p.Hosts, func(h Host) string { return h.Name })
		}
	}
	slices.Sort(services)
	for _, s := range only.Services {
		if !slices.Contains(services, s) {
			return fault.New(fault.Input, "--service %s: there is no such service; there %s", s, plain.Text(are(slices.Compact(services))))
		}
	}
	return nil
}

// chosen are those of the hosts that have one of the names; no name chooses all.
func chosen[T any](names []string, hosts []T, nameOf func(T) string) ([]T, error) {
	if len(names) == 0 {
		return hosts, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(hosts, func(h T) bool { return nameOf(h) == name }) {
			return nil, unknownHost(name, hosts, nameOf)
		}
	}
	return slices.DeleteFunc(slices.Clone(hosts), func(h T) bool { return !slices.Contains(names, nameOf(h)) }), nil
}

// unknownHost is the error for a name that none of the hosts has.
func unknownHost[T any](name string, hosts []T, nameOf func(T) string) error {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = nameOf(h)
	}
	return fault.New(fault.Input, "--host %s: there is no such host; there %s", name, are(names))
}

// concerns reports whether what is for those services (see modes.Want.For) is
// chosen by service. What is for none is the ground that services stand on: it
// is chosen with them, but not taken away with them.
func (o Only) concerns(serves []string, restore bool) bool {
	if len(o.Services) == 0 {
		return true
	}
	if len(serves) == 0 {
		return !restore
	}
	return slices.ContainsFunc(serves, func(f string) bool {
		service, _, _ := strings.Cut(f, "/")
		return slices.Contains(o.Services, service)
	})
}

// leftOut is what a plan for a part does not do.
type leftOut struct {
	actions   []hostAction
	at        map[place][]int     // indices of actions, rising
	failed    map[string]string   // hosts that nothing is known of, and why
	directors []string            // of those
	standby   map[string][]string // services by the directors that are not their first
}

// standby lists the services of which a host is a director and does not get the
// VIP.
func standby(inv *inventory.Inventory) map[string][]string {
	out := map[string][]string{}
	for _, s := range inv.Services {
		for _, d := range s.Directors[min(1, len(s.Directors)):] {
			out[d.Name] = append(out[d.Name], s.Name)
		}
	}
	return out
}

type hostAction struct {
	host string
	Action
}

// place is where an action that was left out is looked up: by what it is for.
type place struct {
	serves string
	wave   Wave
}

// add leaves an action out. One that is for no service holds nothing back: it
// is left out on hosts that were not chosen, or because a choice of services
// takes it away with none; a sync daemon or a timeout that stays is in nobody's
// way.
func (o *leftOut) add(host string, a Action) {
	n := len(o.actions)
	o.actions = append(o.actions, hostAction{host, a})
	for _, f := range a.For {
		at := place{f, a.Wave}
		o.at[at] = append(o.at[at], n)
	}
}

// before lists the left out actions of earlier waves that an action needs: for
// what it is for or the whole of that. What is for a service comes before what
// is for one of its real servers, and not the other way round. Modules do not
// count: those of other hosts matter to nobody, and those of its own come along.
func (o *leftOut) before(a hostAction) []hostAction {
	var found []int
	for w := PrepareHosts; w < a.Wave; w++ {
		for _, f := range a.For {
			found = append(found, o.at[place{f, w}]...)
			for i := range f {
				if f[i] == '/' {
					found = append(found, o.at[place{f[:i], w}]...)
				}
			}
		}
	}
	slices.Sort(found)
	var out []hostAction
	for _, i := range slices.Compact(found) {
		if b := o.actions[i]; !o.apart(a, b) {
			out = append(out, b)
		}
	}
	return out
}

// apart reports whether an action works without one that is left out on a
// director. No new thing on a director needs another director's, and nothing that
// goes there another's that goes; but it may need one that comes in its place.
// Nobody needs the new things of a director without the VIP. A real server that
// is put back needs them all: each director may still send traffic there.
func (o *leftOut) apart(a, b hostAction) bool {
	switch {
	case b.Role != inventory.RoleDirector || a.host == b.host:
		return false
	case a.Role == inventory.RoleDirector:
		return !a.Restore || b.Restore
	default:
		return !a.Restore && !slices.ContainsFunc(b.For, func(f string) bool {
			service, _, _ := strings.Cut(f, "/")
			return !slices.Contains(o.standby[b.host], service)
		})
	}
}

// holdBack moves the actions of a wave that need something left out to what is
// held, and so leaves them out, too.
func (p *Plan) holdBack(w Wave, out *leftOut) {
	for i := range p.Hosts {
		h := &p.Hosts[i]
		var kept []Action
		for _, a := range h.Actions {
			needs := []string(nil)
			if a.Wave == w {
				needs = out.needed(hostAction{h.Name, a})
			}
			if needs == nil {
				kept = append(kept, a)
				continue
			}
			h.Held = append(h.Held, Held{a.Op, a.Kind, a.Key, needs})
			out.add(h.Name, a)
		}
		h.Actions = kept
		if kept == nil {
			h.Actions = []Action{}
		}
	}
}

// needed lists what is left out and has to come before an action.
func (o *leftOut) needed(a hostAction) []string {
	if d, ok := a.After.Item.(state.Destination); ok && a.Op == state.Modify && d.Weight == 0 {
		return nil // it only takes traffic away
	}
	var out []string
	for _, b := range o.before(a) {
		out = append(out, fmt.Sprintf("%s: %s", b.host, b.Change()))
	}
	var lost []string
	if sends(a.Action) {
		for _, f := range a.For {
			_, server, _ := strings.Cut(f, "/")
			lost = append(lost, server)
		}
	}
	if a.Restore && len(a.For) != 0 && a.Role != inventory.RoleDirector {
		lost = append(lost, o.directors...)
	}
	slices.Sort(lost)
	for _, h := range slices.Compact(lost) {
		if why, failed := o.failed[h]; failed {
			out = append(out, fmt.Sprintf("%s: %s", h, why))
		}
	}
	return out
}

// sends reports whether an action may send a real server traffic that it was
// not sent before, or in another way.
func sends(a Action) bool {
	before, was := a.Before.Item.(state.Destination)
	after, is := a.After.Item.(state.Destination)
	return a.Op == state.Add || was && is && (before.Weight == 0 || before.Forward != after.Forward || before.Tunnel != after.Tunnel)
}

// narrowJournal leaves the journal's entries alone that are for other services.
func (h *Host) narrowJournal(only Only) {
	if len(only.Services) == 0 {
		return
	}
	h.Adopt = slices.DeleteFunc(h.Adopt, func(e journal.Entry) bool { return !only.concerns(e.For, false) })
	h.Forget, h.HandOver, h.LeftAlone = nil, nil, nil // what is no longer held has no services of its own any more
}
