package modes

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// nextHop is where a host sends a packet.
type nextHop struct {
	device  string
	network *inventory.Network // of the device; nil: a tunnel
	router  netip.Addr         // zero: the address is on the segment
	route   *state.Route       // the wanted route that leads there; nil: a fact
}

// nextHop is where the host that the packet is at sends packets for an
// address. Beside the facts that egress knows it heeds what the host must
// have: the routes of nat and of tunnels.
func (w *walker) nextHop(to netip.Addr) (nextHop, bool) {
	var out nextHop
	bits := -1
	// Of two that are equally long the first is taken: a network of the
	// host's own, then what is wanted, then the facts.
	take := func(p netip.Prefix, n nextHop) {
		if p.Contains(to) && p.Bits() > bits {
			bits, out = p.Bits(), n
		}
	}
	for _, n := range w.at.NICs {
		for _, p := range n.Addresses {
			take(p, nextHop{device: n.Name, network: n.Network})
		}
	}
	for _, i := range w.known.routes[w.at.Name] {
		take(i.To, nextHop{device: i.Link, router: i.Via, network: networkOf(w.at, i.Link), route: &i})
	}
	for _, i := range w.known.peers[w.at.Name] {
		take(hostPrefix(i.Peer), nextHop{device: i.Link})
	}
	via := func(p netip.Prefix, router netip.Addr) {
		if n := w.at.NICToward(router); n != nil {
			take(p, nextHop{device: n.Name, network: n.Network, router: router})
		}
	}
	for _, r := range w.at.Routes {
		via(r.To, r.Via)
	}
	for _, g := range w.at.Gateways {
		via(anywhere(g), g)
	}
	return out, bits >= 0
}

// anywhere is the destination of the default route of an address's family.
func anywhere(like netip.Addr) netip.Prefix {
	if like.Is6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func routeName(to netip.Prefix) string {
	if to.Bits() == 0 {
		return "default route"
	}
	return "route to " + to.String()
}

func networkOf(h *inventory.Host, device string) *inventory.Network {
	for _, n := range h.NICs {
		if n.Name == device {
			return n.Network
		}
	}
	return nil
}

// holder is the host that answers for an address on a segment, and its device
// there. The real servers have the VIP too, and do not answer.
func (w *walker) holder(network *inventory.Network, a netip.Addr) (*inventory.Host, string) {
	if at, ok := w.known.nics[a]; ok && at.nic.Network == network {
		return at.host, at.nic.Name
	}
	for _, n := range w.director.NICs {
		if n.Network == network && w.has(w.director, a) {
			return w.director, n.Name
		}
	}
	return nil, ""
}

// behindRouter is the host that has an address, and the device on which what a
// router sends there arrives.
func (w *walker) behindRouter(a netip.Addr) (*inventory.Host, string) {
	if at, ok := w.known.nics[a]; ok {
		return at.host, at.nic.Name
	}
	if !w.has(w.director, a) {
		return nil, ""
	}
	if n := w.director.NICToward(a); n != nil {
		return w.director, n.Name
	}
	// Routed to the director: most likely by the way its own packets take.
	n, _ := w.director.Egress(w.source.Address)
	if n == nil {
		return nil, ""
	}
	return w.director, n.Name
}

// has reports whether a host takes packets for an address as its own. Of the
// service's directors it is the one of the walk that has the VIP.
func (w *walker) has(h *inventory.Host, a netip.Addr) bool {
	switch {
	case h.NICWith(a) != nil:
		return true
	case a == w.VIP && slices.Contains(w.Directors, h):
		return h == w.director
	default:
		return w.known.addresses[h.Name][a]
	}
}

func (w *walker) host(name string) *inventory.Host {
	for _, h := range w.inv.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// tunnelOn is the point-to-point tunnel whose device the host has.
func (w *walker) tunnelOn(device string) *inventory.Tunnel {
	for _, t := range w.inv.Tunnels {
		if t.Name == device && endOf(t, w.at) != nil {
			return t
		}
	}
	return nil
}

func endOf(t *inventory.Tunnel, h *inventory.Host) *inventory.TunnelEnd {
	for _, e := range t.Ends {
		if e.Host == h {
			return e
		}
	}
	return nil
}
