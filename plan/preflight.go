package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// preflight checks on the live state what the inventory takes for granted. It
// returns every fault of the host, before anything is changed on any.
func preflight(h *inventory.Host, wants []modes.Want, obs wire.Observed) []string {
	var out []string
	for _, n := range h.NICs {
		link, ok := obs.State[state.IDOf(state.Link{Name: n.Name})].(state.Link)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("nic %s: there is no such device; there are %s", n.Name, devices(obs.State)))
			continue
		case !link.Up:
			out = append(out, fmt.Sprintf("nic %s: the device is down; bring it up: ip link set %s up", n.Name, n.Name))
		}
		if !h.ManageAddresses {
			out = append(out, addressFacts(n, obs.State)...)
		}
	}
	out = append(out, routeFacts(h, wants, obs)...)
	missing := map[state.ID]string{}
	for _, m := range obs.Missing {
		missing[m.ID] = m.Why
	}
	for _, w := range wants {
		if why, gone := missing[state.IDOf(w.Item)]; gone {
			out = append(out, fmt.Sprintf("%s (%s): %s", state.IDOf(w.Item), w.Reason, why))
		}
	}
	for i := range out {
		out[i] = "preflight: " + out[i]
	}
	return out
}

func addressFacts(n *inventory.NIC, host state.Host) []string {
	var there []string
	has := map[netip.Prefix]bool{}
	for _, a := range state.Of[state.Address](host) {
		if a.Link == n.Name {
			has[a.Prefix] = true
			there = append(there, a.Prefix.String())
		}
	}
	if len(there) == 0 {
		there = []string{"none"}
	}
	var out []string
	for _, want := range n.Addresses {
		if !has[want] {
			out = append(out, fmt.Sprintf("nic %s: does not have %s, which the inventory gives it (it has %s); correct the inventory, or let lvsform set it with manage_addresses: true",
				n.Name, want, strings.Join(there, ", ")))
		}
	}
	return out
}

// routeFacts checks the gateways and routes the inventory gives a host, unless
// lvsform itself sets another route to the same place, or has set one that is
// about to go.
func routeFacts(h *inventory.Host, wants []modes.Want, obs wire.Observed) []string {
	ours := map[state.ID]bool{}
	for _, w := range wants {
		ours[state.IDOf(w.Item)] = true
	}
	for _, e := range obs.Journal.Entries {
		ours[e.ID()] = true
	}
	via := map[netip.Prefix][]string{} // live next hops
	for _, r := range state.Of[state.Route](obs.State) {
		via[r.To] = append(via[r.To], r.Via.String())
	}
	var out []string
	check := func(what string, to netip.Prefix, hop netip.Addr) {
		managed := ours[state.IDOf(state.Route{To: to})] || ours[state.IDOf(state.Route{To: to, Metric: 1024})]
		if managed || slices.Contains(via[to], hop.String()) {
			return
		}
		there := "none"
		if len(via[to]) != 0 {
			there = "via " + strings.Join(via[to], ", ")
		}
		out = append(out, fmt.Sprintf("%s: the host has no such route (it has %s); correct the inventory or the host", what, there))
	}
	for _, g := range h.Gateways {
		check("gateway "+g.String(), netip.PrefixFrom(anyAddress(g), 0), g)
	}
	for _, r := range h.Routes {
		check(fmt.Sprintf("route %s via %s", r.To, r.Via), r.To, r.Via)
	}
	return out
}

func anyAddress(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func devices(host state.Host) string {
	var names []string
	for _, l := range state.Of[state.Link](host) {
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}

// conflict is about a virtual service on our VIP and port that lvsform did not
// make: whoever did would fight over it.
func conflict(is, want state.Item) string {
	return fmt.Sprintf("%s: is already there as %q, and lvsform did not make it (wanted %q); remove it from whatever made it, or make the inventory say the same",
		state.IDOf(is), is.Value(), want.Value())
}

// notManaged lists virtual services, destinations and addresses that are
// there, belong to no topology of lvsform's, and could be mistaken for its
// work. They are left alone.
func notManaged(inv *inventory.Inventory, h *inventory.Host, wants []modes.Want, obs wire.Observed) []string {
	known := map[state.ID]bool{}
	for _, w := range wants {
		known[state.IDOf(w.Item)] = true
	}
	for _, e := range obs.Journal.Entries {
		known[e.ID()] = true
	}
	for _, id := range obs.Others {
		known[id] = true
	}
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			known[state.IDOf(state.Address{Link: n.Name, Prefix: a})] = true
		}
	}
	var out []string
	for _, i := range obs.State.Items() {
		if known[state.IDOf(i)] {
			continue
		}
		switch i := i.(type) {
		case state.Service, state.Destination, state.SyncDaemon:
			out = append(out, state.Text(i))
		case state.Address:
			if concerns(inv, i.Prefix.Addr()) {
				out = append(out, state.Text(i))
			}
		}
	}
	return out
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
