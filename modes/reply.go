package modes

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
)

// directReply is what dr and tun demand of the way back: replies leave the
// real server with the VIP as their source and do not pass the director.
func (l leg) directReply() inventory.Problems {
	if !l.Answers() {
		return nil
	}
	var out inventory.Problems
	server := l.server.Host
	for _, c := range l.clients() {
		to, ok := l.clientAddress(c)
		if !ok {
			continue // it has no route to the VIP, which is its own problem
		}
		nic, router := server.Egress(to)
		switch {
		case nic == nil:
			out = append(out, l.problem(server.Path, "give "+server.Name+" a gateway or a route that leads to "+to.String(),
				"in %s the reply does not pass the director, and real server %s has no route to client %s (%s)", l.server.Mode, server.Name, c.Name, to))
		case router.IsValid() && l.director.NICWith(router) != nil:
			fix := "use a router other than the director"
			if by := l.beside(Traits.RoutesBack); by != "" {
				fix += ", and different real servers for the two, or fullnat for service " + by + ", whose replies come back from anywhere"
			}
			if l.VIP.Is6() { // the kernel takes a packet from its own address there
				out = append(out, l.problem(server.Path+".gateway", fix,
					"real server %s sends its replies to director %s, and in %s replies must not pass one", server.Name, l.director.Name, l.server.Mode))
				continue
			}
			out = append(out, l.problem(server.Path+".gateway", fix,
				"real server %s sends its replies to director %s, which drops them unless its accept_local is 1: their source, the VIP, is an address of its own", server.Name, l.director.Name))
		default:
			if by := l.turnedBack(to); by != "" {
				out = append(out, l.problem(l.server.Path, "use different real servers for the two, or fullnat for service "+by+", whose replies come back from anywhere",
					"service %s (nat) makes a director the way of %s to client %s, and in %s replies must not pass one", by, server.Name, c.Name, l.server.Mode))
			}
		}
	}
	return out
}

// beside names another service with the same real server, in a mode that has a
// trait, and with a VIP of the same family; empty: there is none. A way back that
// one of the two demands is the other's, too.
func (l leg) beside(has func(Traits) bool) string {
	for _, other := range l.at[l.server.Host] {
		if other.Service != l.Service && other.VIP.Is6() == l.VIP.Is6() && has(other.traits()) {
			return other.Name
		}
	}
	return ""
}

// turnedBack names a nat service whose return route takes the real server's
// replies to an address through a director.
func (l leg) turnedBack(to netip.Addr) string {
	if l.server.Host.NICToward(to) != nil {
		return "" // a NIC's own network is nearer than any route
	}
	for _, other := range l.at[l.server.Host] {
		if other.traits().RoutesBack() && slices.ContainsFunc(other.waysBack(), func(p netip.Prefix) bool { return p.Contains(to) }) {
			return other.Name
		}
	}
	return ""
}

// samePort is what dr and tun demand of ports: the packet is handed on as it is.
func (l leg) samePort() inventory.Problems {
	if l.server.Port == l.Port {
		return nil
	}
	return inventory.Problems{l.problem(l.server.Path, "use the service's port, redirect: on the real server, or a mode that maps ports (nat, fullnat)",
		"%s hands the packet on unchanged, so %s must listen on port %d, not %d", l.server.Mode, l.server.Host.Name, l.Port, l.server.Port)}
}
