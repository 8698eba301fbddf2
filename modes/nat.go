package modes

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// nat is masquerading: the director puts the real server's address and port in
// the place of the VIP's, and takes them out of the reply, which therefore has
// to pass it. The real server sees the client's address.
func nat() mode {
	return mode{
		traits: Traits{
			Forward:                state.ForwardNAT,
			Source:                 SourceClient,
			RepliesThroughDirector: true,
		},
		demands:    natDemands,
		director:   natDirector,
		realServer: natRealServer,
		walk:       natWalk,
	}
}

// What it demands of the topology.

func natDemands(l leg) inventory.Problems {
	server := l.server.Host
	rip := l.rip()
	if out := l.rewritable(rip); out != nil {
		return out
	}
	if !l.Answers() {
		return nil // no reply has to find back
	}
	if l.director.NICToward(rip) == nil {
		return inventory.Problems{l.problem(l.server.Path, "give both a NIC in one network, or use fullnat, whose replies come back from anywhere",
			"in nat the real server's replies must pass the director, so %s and %s must share a network; they share none", l.director.Name, server.Name)}
	}
	var out inventory.Problems
	for _, c := range l.clients() {
		from, ok := l.clientAddress(c)
		if !ok {
			continue // it has no route to the VIP, which is its own problem
		}
		if server.NICToward(from) != nil {
			out = append(out, l.problem(c.Path, "use fullnat, or a client outside of the real servers' network",
				"client %s (%s) is in the network of real server %s, which answers it directly; the client knows nothing of that address and drops the reply", c.Name, from, server.Name))
			continue
		}
		if l.ReturnRoute != inventory.ReturnNone {
			continue // lvsform sets the way back
		}
		if _, router := server.Egress(from); l.director.NICWith(router) == nil {
			fix := "give it a gateway or a route that is an address of " + l.director.Name + ", or return_route: default or clients"
			if past := l.beside(func(t Traits) bool { return !t.RepliesThroughDirector }); past != "" {
				fix = "use fullnat, whose replies come back from anywhere, or different real servers: the replies of service " + past + " there must not pass a director"
			}
			out = append(out, l.problem(server.Path, fix,
				"in nat the reply must pass director %s, and the route of real server %s to client %s (%s) does not lead there", l.director.Name, server.Name, c.Name, from))
		}
	}
	return out
}

// rewritable is what nat and fullnat demand: they rewrite addresses, there and
// back.
func (l leg) rewritable(rip netip.Addr) inventory.Problems {
	switch {
	case !rip.IsValid():
		return inventory.Problems{l.problem(l.server.Path, "give "+l.director.Name+" a gateway or a route to it, or both a NIC in one network",
			"director %s has no route to real server %s", l.director.Name, l.server.Host.Name)}
	case rip.Is6() != l.VIP.Is6():
		return inventory.Problems{l.problem(l.server.Path, "give it an "+family(l.VIP)+" address, or use tun, which carries either family in either",
			"%s keeps the address family, and real server %s is reached over %s only", l.server.Mode, l.server.Host.Name, family(rip))}
	case l.OnePacket && l.Answers():
		return inventory.Problems{l.problem(l.server.Path, "use dr or tun, or leave one_packet out, or write replies: none if they answer nothing",
			"with one_packet the director keeps no connection, so in %s it could not translate the replies of %s back", l.server.Mode, l.server.Host.Name)}
	case l.OnePacket && l.traits().Source == SourceDirector:
		return inventory.Problems{l.problem(l.server.Path, "use nat, dr or tun, or leave one_packet out",
			"with one_packet the director keeps no connection, and its source NAT rule finds packets to %s by that", l.server.Host.Name)}
	}
	return nil
}

// What each role must look like.

func natDirector(l leg) []Want {
	if !l.Answers() {
		return []Want{l.destination()} // IPVS itself sends requests on
	}
	out := []Want{forwarding(l.VIP, inventory.RoleDirector, passesOn())}
	out = append(out, l.noRedirects()...)
	return append(out, l.destination())
}

// noRedirects keep a one-armed director's real servers from learning a shorter
// way back.
func (l leg) noRedirects() []Want {
	if l.VIP.Is6() || !l.oneArmed() {
		return nil
	}
	var out []Want
	// The kernel sends redirects when either of the two says so.
	for _, device := range []string{"all", l.director.NICToward(l.rip()).Name} {
		out = append(out, Want{
			Item: state.Sysctl{Name: state.ConfSysctl("ipv4", device, "send_redirects"), Setting: "0"},
			Role: inventory.RoleDirector, Reason: Reason{ReasonNoRedirects, "keeps it from telling the real servers a shorter way back, past itself"},
		})
	}
	return out
}

// oneArmed reports whether the director reaches some client and the real
// server through the same NIC.
func (l leg) oneArmed() bool {
	inside := l.director.NICToward(l.rip())
	for _, c := range l.clients() {
		if from, ok := l.clientAddress(c); ok {
			if nic, _ := l.director.Egress(from); nic == inside {
				return true
			}
		}
	}
	return false
}

func natRealServer(l leg) []Want {
	dip, ok := l.dip()
	nic := l.server.Host.NICToward(dip)
	if !ok || nic == nil || !l.Answers() {
		return nil // natDemands has said so, or there is no way back
	}
	var out []Want
	if l.VIP.Is6() && l.oneArmed() {
		// IPv6 has no setting that keeps a router from sending redirects.
		out = append(out, Want{
			Item: state.Sysctl{Name: state.ConfSysctl("ipv6", nic.Name, "accept_redirects"), Setting: "0"},
			Role: inventory.RoleRealServer, Reason: Reason{ReasonNoRedirects, "keeps it from following the director's redirects, and answering past it"},
		})
	}
	for _, to := range l.waysBack() {
		out = append(out, returnRoute(to, dip, nic.Name, Reason{ReasonReturnRoute, "replies must pass director " + l.director.Name}))
	}
	return out
}

// waysBack are the destinations that the real server must route through the
// director.
func (l leg) waysBack() []netip.Prefix {
	switch l.ReturnRoute {
	case inventory.ReturnNone:
		return nil
	case inventory.ReturnClients:
		var out []netip.Prefix
		for _, c := range l.clients() {
			from, ok := l.clientAddress(c)
			if !ok {
				continue
			}
			for _, p := range c.NICToward(from).Addresses {
				if p.Contains(from) {
					out = append(out, p.Masked())
				}
			}
		}
		return out
	default:
		any := netip.IPv4Unspecified()
		if l.VIP.Is6() {
			any = netip.IPv6Unspecified()
		}
		return []netip.Prefix{netip.PrefixFrom(any, 0)}
	}
}

// returnRoute wants a route, whoever has set it.
func returnRoute(to netip.Prefix, via netip.Addr, link string, reason Reason) Want {
	r := state.Route{To: to, Via: via, Link: link, Metric: state.RouteMetric(to), Protocol: state.RouteProtocol}
	w := Want{Item: r, Role: inventory.RoleRealServer, Reason: reason}
	for _, p := range routeProtocols() {
		r.Protocol = p
		w.MetBy = append(w.MetBy, []state.Item{r})
	}
	return w
}

// routeProtocols are those by which others set routes, from rtnetlink.h: boot,
// static, ra, zebra, bird, dhcp, keepalived, and what iproute2 sets unasked.
func routeProtocols() []int { return []int{3, 4, 9, 11, 12, 16, 18} }

// How a packet walks.

func natWalk(w *walker) {
	server := w.server.Host
	rport, vport := w.rport(), w.destination
	w.by(w.director, fmt.Sprintf("puts %s in the place of %s", rport, vport), w.destinationItem())
	w.destination = rport
	w.travel(server)
	w.turn()
	w.byIfSet(server, "believes no redirect to a shorter way", itemsOf(natRealServer(w.leg), state.KindSysctl)...)
	w.toDirector()
	w.by(w.director, fmt.Sprintf("puts %s back in the place of %s", vport, rport), w.destinationItem())
	w.source = vport
	w.passOn()
	w.byIfSet(w.director, "tells nobody of a shorter way", itemsOf(w.noRedirects(), state.KindSysctl)...)
	w.travel(w.client)
	w.arrive()
}
