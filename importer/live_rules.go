package importer

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// maxPool bounds the sources of a fullnat service.
const maxPool = 1024

// pool lists the addresses of a range, nil when there are more than maxPool.
func pool(r firewall.Range) []netip.Addr {
	var out []netip.Addr
	for a := r.First; a.IsValid() && len(out) < maxPool; a = a.Next() {
		out = append(out, a)
		if a == r.Last {
			return out
		}
	}
	return nil
}

// addGateways takes the port forwards of hosts, and gives the role to those
// that pass packets on between networks.
func (l *live) addGateways() {
	for _, h := range l.hosts {
		if h.inv == nil {
			continue
		}
		for _, r := range h.rules("nat", "PREROUTING") {
			if f, ok := firewall.ParseDNAT(r); ok {
				h.inv.Forwards = append(h.inv.Forwards, &inventory.PortForward{Listen: f.Listen, To: f.To, Protocol: inventory.Protocol(f.Protocol)})
			}
		}
		forwards := h.forwards(false) || h.forwards(true)
		if len(h.inv.Forwards) == 0 && (!forwards || !l.routesForOthers(h)) {
			continue
		}
		h.inv.Roles = append(h.inv.Roles, inventory.RoleGateway)
		// The role means every family the host speaks.
		for _, is6 := range []bool{false, true} {
			if forwards && !h.forwards(is6) {
				l.silence(h, is6)
			}
		}
	}
}

// routesForOthers reports whether a host is a router: others send by it, but
// for the real servers whose replies it must see as their director, or it
// joins networks and does nothing else.
func (l *live) routesForOthers(h *liveHost) bool {
	for _, other := range l.hosts {
		if other.inv == nil || other == h || l.repliesBy(other, h) {
			continue
		}
		hops := slices.Clone(other.inv.Gateways)
		for _, r := range other.inv.Routes {
			hops = append(hops, r.Via)
		}
		if slices.ContainsFunc(hops, func(a netip.Addr) bool { return h.inv.NICWith(a) != nil }) {
			return true
		}
	}
	return len(h.inv.NICs) > 1 && len(state.Of[state.Service](h.State)) == 0 && !l.serves(h)
}

// repliesBy reports whether a host is a real server of a director that
// masquerades.
func (l *live) repliesBy(server, director *liveHost) bool {
	return slices.ContainsFunc(state.Of[state.Destination](director.State), func(d state.Destination) bool {
		return d.Forward == state.ForwardNAT && server.inv.NICWith(d.Address.Addr()) != nil
	})
}

// serves reports whether a host is a real server of any director.
func (l *live) serves(h *liveHost) bool {
	return slices.ContainsFunc(l.hosts, func(d *liveHost) bool {
		return slices.ContainsFunc(state.Of[state.Destination](d.State), func(d state.Destination) bool {
			return h.inv.NICWith(d.Address.Addr()) != nil
		})
	})
}

// silence leaves out the addresses of a family that a router does not route.
func (l *live) silence(h *liveHost, is6 bool) {
	for _, n := range h.inv.NICs {
		n.Addresses = slices.DeleteFunc(n.Addresses, func(p netip.Prefix) bool {
			if p.Addr().Is6() != is6 {
				return false
			}
			l.skip(h, state.Address{Link: n.Name, Prefix: p}, "the host is a router, and does not pass this family on")
			return true
		})
	}
	h.inv.NICs = slices.DeleteFunc(h.inv.NICs, func(n *inventory.NIC) bool { return len(n.Addresses) == 0 })
	h.inv.Gateways = slices.DeleteFunc(h.inv.Gateways, func(a netip.Addr) bool { return a.Is6() == is6 })
	h.inv.Routes = slices.DeleteFunc(h.inv.Routes, func(r *inventory.Route) bool { return r.Via.Is6() == is6 })
}
