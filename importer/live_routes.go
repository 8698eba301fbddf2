package importer

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// findRoutes takes the routes that others have set and that lead anywhere in
// the topology. Those that lvsform has set belong to something that asks for
// them, if they belong to anything: addOwnRoutes takes the rest.
func (l *live) findRoutes() {
	for _, h := range l.hosts {
		if h.inv != nil {
			for _, r := range state.Of[state.Route](h.State) {
				if r.Protocol != state.RouteProtocol {
					l.addRoute(h, r)
				}
			}
		}
	}
}

// addOwnRoutes takes the routes of lvsform that nothing of the inventory asks
// for: as facts they are as good.
func (l *live) addOwnRoutes() {
	desired, ok := l.desire()
	for _, h := range l.hosts {
		if h.inv == nil || !ok {
			continue
		}
		for _, r := range state.Of[state.Route](h.State) {
			wanted := slices.ContainsFunc(desired[h.Name], func(w modes.Want) bool { return state.IDOf(w.Item) == state.IDOf(r) })
			if r.Protocol == state.RouteProtocol && !wanted {
				l.addRoute(h, r)
			}
		}
	}
}

// desire is what the inventory so far asks for, if it breaks no rule.
func (l *live) desire() (modes.Desired, bool) {
	inv := *l.inv
	if len(modes.Check(&inv)) != 0 {
		return nil, false
	}
	return modes.Desire(&inv, l.facts()), true
}

// addRoute takes one route as a fact. state.Of lists those to one place by
// their metric: the first is the one that counts.
func (l *live) addRoute(h *liveHost, r state.Route) {
	nic := egressOf(h.inv, r.Link)
	if nic == nil || !usable(r.Via) || h.inv.NICToward(r.Via) != nic || h.inv.NICWith(r.Via) != nil ||
		r.Via.Is4() != r.To.Addr().Is4() {
		return
	}
	if r.To.Bits() == 0 {
		if !slices.ContainsFunc(h.inv.Gateways, func(a netip.Addr) bool { return a.Is4() == r.Via.Is4() }) {
			h.inv.Gateways = append(h.inv.Gateways, r.Via)
		}
		return
	}
	own := slices.ContainsFunc(h.inv.NICs, func(n *inventory.NIC) bool {
		return slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Masked() == r.To })
	})
	again := slices.ContainsFunc(h.inv.Routes, func(f *inventory.Route) bool { return f.To == r.To })
	if !own && !again && usable(r.To.Addr()) && l.leadsSomewhere(r.To) {
		h.inv.Routes = append(h.inv.Routes, &inventory.Route{To: r.To, Via: r.Via})
	}
}

// egressOf is a host's NIC of the name, or nil.
func egressOf(h *inventory.Host, name string) *inventory.NIC {
	for _, n := range h.NICs {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// leadsSomewhere reports whether a route's destination has a network or a VIP
// of the topology in it. A router of the internet has a million others.
func (l *live) leadsSomewhere(to netip.Prefix) bool {
	return l.overlaps(to) || slices.ContainsFunc(l.vips(), to.Contains)
}

// addTunnels takes the tunnels whose two ends are there.
func (l *live) addTunnels() {
	for i, h := range l.hosts {
		for _, t := range state.Of[state.TunnelLink](h.State) {
			for _, other := range l.hosts[i+1:] {
				back, ok := other.State[state.IDOf(t)].(state.TunnelLink)
				if ok && h.inv != nil && other.inv != nil && t.Local.IsValid() && t.Local == back.Remote && t.Remote == back.Local {
					l.addTunnel(h, other, t, back)
				}
			}
		}
	}
}

func (l *live) addTunnel(h, other *liveHost, t, back state.TunnelLink) {
	from, to := l.tunnelEnd(h, t), l.tunnelEnd(other, back)
	kind := map[string]string{
		state.TunnelGRE: "gre", state.TunnelIP6GRE: "gre",
		state.TunnelIPIP: "ipip", state.TunnelSIT: "ipip", state.TunnelIP6TNL: "ipip",
	}[t.Type]
	refuse := func(why string) {
		l.skip(h, t, "%s", why)
		l.skip(other, back, "%s", why)
	}
	switch {
	case kind == "" || t.Type != back.Type || t.TTL != back.TTL || t.TTL == 0:
		refuse("its ends differ, or have no TTL of their own")
	case t.Checksum || back.Checksum:
		refuse("a tunnel of an inventory has no checksum")
	case from == nil || to == nil || from.peer != to.Address || to.peer != from.Address:
		refuse("its ends do not have one address each, with the other's as peer")
	case t.Type == state.TunnelSIT && from.Address.Is4() || t.Type == state.TunnelIPIP && from.Address.Is6():
		refuse("it does not carry the family of its addresses")
	case h.inv.NICWith(t.Local) == nil || other.inv.NICWith(back.Local) == nil:
		refuse("its outer addresses are on no NIC of the inventory")
	default:
		l.inv.Tunnels = append(l.inv.Tunnels, &inventory.Tunnel{
			Name: t.Name, Type: kind, TTL: t.TTL, Ends: [2]*inventory.TunnelEnd{&from.TunnelEnd, &to.TunnelEnd},
		})
	}
}

// foundEnd is an end of a tunnel with the peer it names.
type foundEnd struct {
	inventory.TunnelEnd
	peer netip.Addr
}

func (l *live) tunnelEnd(h *liveHost, t state.TunnelLink) *foundEnd {
	var out *foundEnd
	for _, a := range state.Of[state.Address](h.State) {
		if a.Link != t.Name || a.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		if out != nil || !a.Peer.IsValid() || !a.Prefix.IsSingleIP() {
			return nil
		}
		out = &foundEnd{inventory.TunnelEnd{Host: h.inv, Address: a.Prefix.Addr(), Outer: t.Local}, a.Peer}
	}
	if out == nil {
		return nil
	}
	for _, r := range state.Of[state.Route](h.State) {
		metric := uint32(0)
		if r.To.Addr().Is6() {
			metric = 1024 // what the kernel makes of none
		}
		ours := r.Protocol == state.RouteProtocol && !r.Source.IsValid() && r.Metric == metric
		if r.Link == t.Name && !r.Via.IsValid() && r.To.Bits() != 0 && ours {
			out.Routes = append(out.Routes, r.To)
		}
	}
	return out
}
