package plan

import (
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

// preflight checks on the live state what the inventory takes for granted. It
// returns every fault of the host, before anything is changed on any.
func preflight(inv *inventory.Inventory, h *inventory.Host, wants []modes.Want, obs wire.Observed) []*fault.Error {
	var out []*fault.Error
	say := func(kind fault.Kind, format string, args ...any) {
		out = append(out, fault.New(kind, "preflight: "+format, args...))
	}
	for _, n := range h.NICs {
		link, ok := obs.State[state.IDOf(state.Link{Name: n.Name})].(state.Link)
		switch {
		case !ok:
			say(fault.Conflict, "nic %s: there is no such device; there %s", n.Name, are(devices(obs.State)))
			continue
		case !link.Up:
			say(fault.Conflict, "nic %s: the device is down; bring it up: ip link set %s up", n.Name, n.Name)
		}
		if !h.ManageAddresses {
			for _, text := range addressFacts(n, obs.State) {
				say(fault.Conflict, "%s", text)
			}
		}
	}
	for _, text := range routeFacts(h, wants, obs) {
		say(fault.Conflict, "%s", text)
	}
	for _, text := range strayVIPs(inv, h, wants, obs) {
		say(fault.Conflict, "%s", text)
	}
	var needs []need
	for _, w := range wants {
		if w.Checked == nil {
			needs = append(needs, need{state.IDOf(w.Item), w.Reason.Text})
		} else if text := filtered(w, wants, obs); text != "" {
			say(fault.Conflict, "%s", text)
		}
	}
	return append(out, lacking(needs, obs)...)
}

// need is something that a host has to be able to have, and why.
type need struct {
	id     state.ID
	reason string
}

// lacking are the errors for what a host needs and cannot have. A program that
// is not there is one error, however many items are set with it.
func lacking(needs []need, obs wire.Observed) []*fault.Error {
	missing := map[state.ID]string{}
	for _, m := range obs.Missing {
		missing[m.ID] = m.Why
	}
	byWhy := map[string][]need{}
	for _, n := range needs {
		why, gone := missing[n.id]
		if gone && n.id.Kind.Traits().ByProgram {
			byWhy[why] = append(byWhy[why], n)
		}
	}
	var out []*fault.Error
	for _, n := range needs {
		why, gone := missing[n.id]
		if !gone {
			continue
		}
		more := ""
		if n.id.Kind.Traits().ByProgram {
			same := byWhy[why]
			if same[0] != n {
				continue
			}
			if len(same) > 1 {
				more = fmt.Sprintf(", and %d more", len(same)-1)
			}
		}
		out = append(out, fault.New(fault.Unsupported, "preflight: %s (%s)%s: %s", n.id, n.reason, more, why))
	}
	return out
}

// filtered says that the host would drop a packet for the way back to its
// source once the wants are met, and what would let it in; empty: it would not,
// as far as is known.
func filtered(checked modes.Want, wants []modes.Want, obs wire.Observed) string {
	host := obs.State
	device, source := checked.Checked.Device, checked.Checked.Source
	way, known := liveWay(obs, source)
	if !known || checked.Served(host) {
		return ""
	}
	own, all := state.ConfSysctl("ipv4", device, "rp_filter"), state.ConfSysctl("ipv4", "all", "rp_filter")
	effective := max(settingThen(own, wants, host), settingThen(all, wants, host))
	with := "rp_filter " + effective
	if now := max(settingNow(own, host), settingNow(all, host)); now > "0" {
		with = "rp_filter " + now
	} else {
		with += ", which lvsform sets,"
	}
	switch {
	case effective == "" || effective == "0": // as far as is known
		return ""
	case way == device || way != "" && effective != "1": // by a route that the inventory does not have
		return ""
	case way != "":
		return fmt.Sprintf("nic %s: packets from %s come in here, and the way back to it is %s; with rp_filter 1 the kernel drops them; set it to 2: sysctl -w %s=2",
			device, source, way, own)
	case settingNow(own, host) == "": // there is nothing to set before the device is there
		return fmt.Sprintf("nic %s: packets from %s come in here, and neither the inventory nor the host's main table has a route back to it; with %s the kernel drops them; give the host such a route",
			device, source, with)
	default:
		return fmt.Sprintf("nic %s: packets from %s come in here, and neither the inventory nor the host's main table has a route back to it; with %s the kernel drops them; give the host such a route, or set the filter to 0: sysctl -w %s=0 %s=0",
			device, source, with, all, own)
	}
}

// settingThen is the value of a sysctl once the wants are met; empty: not known.
func settingThen(name string, wants []modes.Want, host state.Host) string {
	for _, w := range wants {
		if s, ok := w.Item.(state.Sysctl); ok && s.Name == name && w.Checked == nil && !w.Served(host) {
			return s.Setting
		}
	}
	return settingNow(name, host)
}

func settingNow(name string, host state.Host) string {
	s, _ := host[state.IDOf(state.Sysctl{Name: name})].(state.Sysctl)
	return s.Setting
}

// liveWay is the device to which a host's addresses and routes lead for an
// address; empty: none does. It is not known where the way is a route that the
// observation has no words for.
func liveWay(obs wire.Observed, to netip.Addr) (way string, known bool) {
	host := obs.State
	bits, metric := -1, uint32(0)
	take := func(p netip.Prefix, m uint32, link string) {
		if p.Masked().Contains(to) && (p.Bits() > bits || p.Bits() == bits && m < metric) {
			way, bits, metric = link, p.Bits(), m
		}
	}
	for _, a := range state.Of[state.Address](host) {
		if a.Peer.IsValid() {
			take(netip.PrefixFrom(a.Peer, a.Prefix.Bits()), 0, a.Link)
		} else if a.Prefix.Addr() != to {
			take(a.Prefix, 0, a.Link)
		}
	}
	for _, r := range state.Of[state.Route](host) {
		take(r.To, r.Metric, r.Link)
	}
	known = true
	for _, r := range unsaidRoutes(obs) {
		if r.To.Contains(to) && (r.To.Bits() > bits || r.To.Bits() == bits && r.Metric <= metric) {
			known = false
		}
	}
	return way, known
}

// unsaidRoutes are the places of the host's routes that state.Route has no
// words for.
func unsaidRoutes(obs wire.Observed) []state.Route {
	var out []state.Route
	for _, m := range obs.Missing {
		if r, ok := state.RouteOf(m.ID); ok {
			out = append(out, r)
		}
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
// about to go. Where the host has one that the observation has no words for,
// they may be right.
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
	unsaid := unsaidRoutes(obs)
	var out []string
	check := func(what string, to netip.Prefix, hop netip.Addr) {
		managed := ours[state.IDOf(state.Route{To: to, Metric: state.RouteMetric(to)})]
		notKnown := slices.ContainsFunc(unsaid, func(r state.Route) bool { return r.To == to })
		if managed || notKnown || slices.Contains(via[to], hop.String()) {
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

// statesRoute reports whether the inventory says anything of where a route leads.
func statesRoute(h *inventory.Host, r state.Route) bool {
	return slices.ContainsFunc(h.Gateways, func(g netip.Addr) bool { return r.To == netip.PrefixFrom(anyAddress(g), 0) }) ||
		slices.ContainsFunc(h.Routes, func(x *inventory.Route) bool { return r.To == x.To })
}

func anyAddress(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func devices(host state.Host) []string {
	var names []string
	for _, l := range state.Of[state.Link](host) {
		names = append(names, l.Name)
	}
	return names
}
