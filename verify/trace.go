package verify

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// requests finds the probes among what came in at the directors for the VIP. It
// must come before the connection table is read: an address that was rewritten
// before the director is the one that the table has.
func (t *trial) requests() {
	for _, d := range t.service.Directors {
		others, told := t.requestsAt(t.seen[d.Name])
		t.ev.others += others
		for i := range t.ev.probes {
			p := &t.ev.probes[i]
			p.noWatch = p.noWatch || t.blind[d] || !told && p.requests == 0
		}
	}
}

// requestsAt gives each probe the requests that one director saw, and returns how
// many connections were somebody else's, and whether all were told apart.
func (t *trial) requestsAt(seen []flow.Sighting) (others int, told bool) {
	told = true
	for _, s := range seen {
		if !s.To.IsValid() {
			told, others = false, others+s.Count
		}
		if s.To.Addr() != t.service.VIP || !slices.Contains(t.ports, s.To.Port()) || s.Tunnel != "" {
			continue
		}
		p := t.probeFrom(s.From)
		if p == nil {
			p = t.probeMarked(s.Mark)
		}
		switch {
		case p != nil:
			p.requests += s.Count
			if s.From != p.local {
				p.from = s.From
			}
			if s.Opening {
				p.mark = s.Mark
			}
		case s.Opening || t.service.Protocol == inventory.UDP:
			others += s.Count
		}
	}
	return others, told
}

// follow finds each probe among the packets that directors and real servers
// saw. It must come after the connection table, before the sockets.
func (t *trial) follow() {
	for i := range t.ev.probes {
		p := &t.ev.probes[i]
		for _, r := range t.service.RealServers {
			// A director sees every request, and not only what is for itself.
			anybodys := p.row == nil && !modes.TraitsFor(t.service, r).Local
			if anybodys || r == p.server {
				seen := t.seen[r.Host.Name]
				p.follow(r, seen)
				p.noArrival = p.noArrival || t.blind[r.Host] || p.arrived == nil && !toldApart(seen)
			}
		}
		t.keptByDirector(p)
		if p.row == nil && p.server != nil {
			p.server = serverOn(t.service, p.server.Host, p.cameFor)
		}
		for _, d := range t.service.Directors {
			if n := p.repliesAmong(t.seen[d.Name]); n != 0 {
				p.replies, p.repliedAt = p.replies+n, d.Name
			}
		}
	}
}

// takeArrivals settles what became of datagrams that nobody answers: each must
// have come to a real server, on which something listens for it.
func (t *trial) takeArrivals(listening map[string][]netip.AddrPort) {
	if t.service.Answers() {
		return
	}
	for i := range t.ev.probes {
		p := &t.ev.probes[i]
		p.silent = true
		switch {
		case p.failed != "":
		case p.arrived == nil && p.noArrival:
			p.unproven = true
		case p.arrived == nil:
			p.failed = "it did not arrive"
		case t.opts.StandIn: // then something does listen, or there is trouble
		default:
			there, asked := listening[p.server.Host.Name]
			if p.unproven = !asked; asked && !hears(there, t.service, p.server, p.vip.Port()) {
				p.failed = "it arrived where nothing listens"
			}
		}
	}
}

// keptByDirector is about a probe that no connection table has and that came to
// no other real server: the director may have kept it. It sees every request, so
// only an answer tells, or that no other real server can get one, and the director's
// own gets what came in as it is.
func (t *trial) keptByDirector(p *probe) {
	if p.row != nil || p.server != nil {
		return
	}
	for _, r := range t.service.RealServers {
		traits := modes.TraitsFor(t.service, r)
		proved := t.service.Answers() || t.service.OnePacket && traits.KeepsDestination && t.only(r)
		switch {
		case !traits.Local:
		case !proved:
			p.noArrival = true
		case p.failed == "":
			p.follow(r, t.seen[r.Host.Name])
		}
	}
}

// only reports whether no other real server of the service has a weight.
func (t *trial) only(r *inventory.RealServer) bool {
	return !slices.ContainsFunc(t.service.RealServers, func(other *inventory.RealServer) bool { return other != r && other.Weight != 0 })
}

// toldApart reports whether nothing that came in was merely counted.
func toldApart(seen []flow.Sighting) bool {
	return !slices.ContainsFunc(seen, func(s flow.Sighting) bool { return !s.To.IsValid() })
}

// follow finds the probe among the packets that one real server saw: by the
// client's address where nobody changed it, or else by its mark.
func (p *probe) follow(r *inventory.RealServer, seen []flow.Sighting) {
	if !p.local.IsValid() {
		return
	}
	for _, found := range []func(flow.Sighting) bool{
		func(s flow.Sighting) bool { return s.From == p.local },
		func(s flow.Sighting) bool { return p.mark != 0 && s.Mark == p.mark },
	} {
		if p.arrived != nil {
			return // others' datagrams may have the same mark
		}
		for _, s := range seen {
			if !s.To.IsValid() || !found(s) {
				continue
			}
			p.server = r
			if s.Tunnel != "" {
				p.wrapped = &s
			} else if p.arrived == nil || s.To == p.vip {
				p.arrived = &s
			}
		}
	}
}

// cameFor reports whether what came in is what a director sends to a real server:
// several of a service can be on one host.
func (p *probe) cameFor(r *inventory.RealServer) bool {
	if p.wrapped != nil && !hasAddress(r, p.wrapped.OuterTo) {
		return false
	}
	switch {
	case p.arrived == nil:
		return true
	case modes.TraitsOf(r.Mode).KeepsDestination:
		return p.arrived.To == p.vip
	default:
		return p.arrived.To.Port() == serverPort(r, p.vip.Port()) && hasAddress(r, p.arrived.To.Addr())
	}
}

// repliesAmong counts the replies to the probe that came in at a director: as
// the real server sends them without knowing of the director, or with its own
// address, which the director has to change back. Whatever has become of the
// client's address, the first of TCP has the probe's mark.
func (p *probe) repliesAmong(seen []flow.Sighting) (n int) {
	for _, s := range seen {
		client := s.To == p.local || s.To == p.from || p.arrived != nil && s.To == p.arrived.From
		own := s.From == p.vip || p.row != nil && s.From == p.row.Destination
		if s.To.IsValid() && own && (client || s.Opening && p.mark != 0 && s.Mark == p.mark) {
			n += s.Count
		}
	}
	return n
}

// matchSockets finds the probes among one real server's sockets, which it may
// have failed to list.
func (t *trial) matchSockets(h *inventory.Host, sockets []flow.Socket, failed bool) {
	for i := range t.ev.probes {
		p := &t.ev.probes[i]
		if p.row != nil && (p.server == nil || p.server.Host != h) {
			continue
		}
		p.noSockets = p.noSockets || failed
		found := t.socketOf(p, sockets)
		if found == nil {
			continue
		}
		p.socket = found
		if p.server == nil || p.server.Host != h {
			p.server = serverOn(t.service, h, func(r *inventory.RealServer) bool {
				return slices.Contains(arrivalAddresses(t.service, r, p.vip.Port()), found.Local)
			})
		}
	}
}

// socketOf finds a probe among a real server's sockets. Its peer is where the
// request was seen to come from, or the client, or else the same port of another
// host of the inventory, which has rewritten the source on the way and, as the
// kernel does when it can, kept the port. Older connections of the same port may
// be there, too: of several the likeliest is taken.
func (t *trial) socketOf(p *probe, sockets []flow.Socket) *flow.Socket {
	var best *flow.Socket
	var bestRank int
	for _, s := range sockets {
		rank := 0
		switch {
		case !p.local.IsValid() || endedByPeer(s.State):
			continue
		case p.arrived != nil && s.Remote == p.arrived.From:
			rank += 8
		case s.Remote == p.local, p.from.IsValid() && s.Remote == p.from:
			rank += 2
		case p.arrived != nil || p.row == nil || s.Remote.Port() != p.local.Port() || !t.known(s.Remote.Addr()):
			continue
		}
		if s.State == "ESTABLISHED" || s.State == "SYN_RECV" {
			rank += 4
		}
		if s.Local.Addr() == t.arrivalOf(p).Addr() {
			rank++
		}
		if best == nil || rank > bestRank {
			best, bestRank = &s, rank
		}
	}
	return best
}

// endedByPeer reports whether the other end of a connection has closed it. No
// client has closed a probe that is looked for, so such a socket is an older one's.
func endedByPeer(state string) bool {
	switch state {
	case "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK", "CLOSING", "CLOSE":
		return true
	}
	return false
}

// arrivalOf is what a real server should have the probe for.
func (t *trial) arrivalOf(p *probe) netip.AddrPort {
	switch {
	case p.arrived != nil:
		return p.arrived.To
	case p.row != nil && p.server != nil && !modes.TraitsOf(p.server.Mode).KeepsDestination:
		return p.row.Destination
	default:
		return p.vip
	}
}

// known reports whether an address is a host's of the inventory.
func (t *trial) known(a netip.Addr) bool {
	return slices.Contains(localAddresses(t.service), a) ||
		slices.ContainsFunc(t.inv.Hosts, func(h *inventory.Host) bool { return slices.Contains(addressesOf(h), a) })
}

// hears reports whether something listens on a real server for what comes for a
// port of the VIP.
func hears(listening []netip.AddrPort, s *inventory.Service, r *inventory.RealServer, vip uint16) bool {
	return slices.ContainsFunc(arrivalAddresses(s, r, vip), func(a netip.AddrPort) bool {
		return listens(listening, a.Addr(), a.Port())
	})
}

// listens reports whether a socket takes what comes for an address and port.
func listens(listening []netip.AddrPort, a netip.Addr, port uint16) bool {
	return slices.ContainsFunc(listening, func(l netip.AddrPort) bool {
		// One at [::] that takes IPv4, too, is listed for both.
		any := l.Addr().IsUnspecified() && l.Addr().Is6() == a.Is6()
		return l.Port() == port && (any || l.Addr() == a)
	})
}

// protocolOf is the service's, as the wire has it.
func protocolOf(s *inventory.Service) state.Protocol { return state.Protocol(s.Protocol) }
