package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// conflict is about a virtual service on our VIP and port, or a sync daemon, that
// lvsform did not make: whoever did would fight over it.
func conflict(is, want state.Item, signs []state.Foreign) *fault.Error {
	return fault.New(fault.Conflict, "%s: is already there as %q, and lvsform did not make it (wanted %q); %s; remove it there, or make the inventory say the same",
		state.IDOf(is), is.Value(), want.Value(), suspicion(signs))
}

// conflicts are what the actions would take from another program that balances
// on the host. They change destinations in a virtual service, or a sync daemon,
// that lvsform did not make. A health checker does the same all the time, and a
// real server without weight may be a dead one. What lvsform made itself it may
// take away.
func conflicts(actions []Action, obs wire.Observed, lvsforms func(state.ID) bool) []*fault.Error {
	if suspects(obs.Foreign) == nil {
		return nil
	}
	var out []*fault.Error
	var services []state.ID
	changes := map[state.ID][]state.Change{}
	for _, a := range actions {
		c := a.Change()
		if a.Restore {
			continue
		}
		switch i := cmp.Or(c.Before, c.After).(type) {
		case state.Destination:
			id := state.IDOf(state.Service{ServiceID: i.Service})
			if obs.State[id] == nil || lvsforms(id) {
				continue
			}
			if changes[id] == nil {
				services = append(services, id)
			}
			changes[id] = append(changes[id], c)
		case state.SyncDaemon:
			if c.Before != nil && c.After != nil && !lvsforms(c.ID()) {
				out = append(out, conflict(c.Before, c.After, obs.Foreign))
			}
		}
	}
	for _, id := range services {
		more := ""
		if n := len(changes[id]) - 1; n != 0 {
			more = fmt.Sprintf(", and %d more", n)
		}
		out = append(out, fault.New(fault.Conflict, "%s: lvsform did not make it, and would change destinations of it (%s%s); %s; remove it there, or take it out of the inventory",
			id, changes[id][0], more, suspicion(obs.Foreign)))
	}
	return out
}

// orphans are the destinations that no journal holds, in a virtual service that
// is to be removed: the kernel would remove them with it.
func orphans(actions []Action, obs wire.Observed, recorded func(state.ID) bool) []*fault.Error {
	going := map[state.ServiceID]bool{}
	for _, a := range actions {
		if s, ok := a.Before.Item.(state.Service); ok && a.Op == state.Remove {
			going[s.ServiceID] = true
		}
	}
	if len(going) == 0 {
		return nil
	}
	var out []*fault.Error
	for _, d := range state.Of[state.Destination](obs.State) {
		if going[d.Service] && !recorded(state.IDOf(d)) {
			out = append(out, fault.New(fault.Conflict, "%s: lvsform did not make it, and it would go with its virtual service, which is about to be removed; remove it first (%s), or take it into the inventory and apply that first",
				state.Text(d), removal(d)))
		}
	}
	return out
}

// removal is the command that takes a destination away.
func removal(d state.Destination) string {
	service := d.Service.Address.String()
	switch {
	case d.Service.FWMark != 0:
		service = "-f " + strings.TrimPrefix(d.Service.String(), "fwmark ")
	case d.Service.Protocol == state.TCP:
		service = "-t " + service
	case d.Service.Protocol == state.UDP:
		service = "-u " + service
	default:
		service = "--sctp-service " + service
	}
	return fmt.Sprintf("ipvsadm -d %s -r %s", service, d.Address)
}

// suspicion says who seems to own a virtual service, by the signs on its host.
func suspicion(signs []state.Foreign) string {
	who := suspects(signs)
	if who == nil {
		return "nothing that runs on the host tells whose it is, so it may have been made by hand with ipvsadm"
	}
	return "it seems to belong to " + strings.Join(who, " or ")
}

// suspects are the signs of programs that make virtual services.
func suspects(signs []state.Foreign) []string {
	var out []string
	for _, s := range signs {
		if slices.Contains(balancers(), s.Owner) {
			out = append(out, s.Owner+" ("+s.What+")")
		}
	}
	return out
}

// balancers are the programs that make virtual services, and those of clusters
// in which such a program is.
func balancers() []string {
	return []string{
		"keepalived", "ldirectord", "kube-proxy", "kube-router", "k3s", "microk8s",
		"surealived", "seesaw", "piranha", "gorb", "heartbeat", "pacemakerd",
	}
}

// notManaged lists virtual services, destinations and addresses that are
// there, belong to no topology of lvsform's, and could be mistaken for its
// work, and the signs of other owners. All of it is left alone.
func notManaged(inv *inventory.Inventory, h *inventory.Host, wants []modes.Want, obs wire.Observed) []state.Foreign {
	known := knownIDs(h, wants, obs)
	owner := soleBalancer(obs.Foreign)
	var out []state.Foreign
	for _, i := range obs.State.Items() {
		if known[state.IDOf(i)] {
			continue
		}
		if i.Kind().Traits().Balancer {
			out = append(out, state.Foreign{What: state.Text(i), Owner: owner})
		}
		if a, ok := i.(state.Address); ok && concerns(inv, a.Prefix.Addr()) {
			out = append(out, state.Foreign{What: state.Text(i)})
		}
	}
	return append(out, obs.Foreign...)
}

// knownIDs are what the host must have, what topologies hold there, and the
// addresses of its NICs.
func knownIDs(h *inventory.Host, wants []modes.Want, obs wire.Observed) map[state.ID]bool {
	known := map[state.ID]bool{}
	for _, w := range wants {
		known[state.IDOf(w.Item)] = true
	}
	for _, e := range obs.Journal.Entries {
		known[e.ID()] = true
	}
	for id := range elsewhere(obs) {
		known[id] = true
	}
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			known[state.IDOf(state.Address{Link: n.Name, Prefix: a})] = true
		}
	}
	return known
}

// soleBalancer is the one program on a host that makes virtual services, or
// empty.
func soleBalancer(signs []state.Foreign) string {
	var who []string
	for _, s := range signs {
		if slices.Contains(balancers(), s.Owner) && !slices.Contains(who, s.Owner) {
			who = append(who, s.Owner)
		}
	}
	if len(who) != 1 {
		return ""
	}
	return who[0]
}

// concerns reports whether an address has to do with the topology: it is a VIP
// or lies in one of its networks.
func concerns(inv *inventory.Inventory, a netip.Addr) bool {
	for _, n := range inv.Networks {
		for _, p := range n.Prefixes {
			if p.Contains(a) {
				return true
			}
		}
	}
	for _, s := range inv.Services {
		if s.VIP == a {
			return true
		}
	}
	return false
}
