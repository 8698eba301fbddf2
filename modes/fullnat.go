package modes

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// fullnat rewrites both ends: the real server sees an address of the director
// and answers there, from wherever it is. On an unmodified kernel it is IPVS
// masquerading whose connections the firewall's source NAT takes too.
func fullnat() mode {
	return mode{
		traits: Traits{
			Forward:                state.ForwardNAT,
			Source:                 SourceDirector,
			RepliesThroughDirector: true,
		},
		demands:    fullnatDemands,
		director:   fullnatDirector,
		realServer: fullnatRealServer,
		walk:       fullnatWalk,
	}
}

// What it demands of the topology.

func fullnatDemands(l leg) inventory.Problems {
	rip := l.rip()
	if out := l.rewritable(rip); out != nil {
		return out
	}
	var out inventory.Problems
	if len(l.LocalAddresses) != 0 && len(l.Directors) > 1 {
		out = append(out, l.problem(l.Path+".local_addresses", "use one director, or leave local_addresses out: each director then uses an address of its own",
			"each of the %d directors would have the local_addresses, and a reply would find only one of them", len(l.Directors)))
	}
	if !contiguous(l.LocalAddresses) {
		out = append(out, l.problem(l.Path+".local_addresses", "use addresses that follow each other",
			"local_addresses has gaps, and source NAT takes a range"))
	}
	for _, a := range l.LocalAddresses {
		if other, by := l.elsewhere(a); other != nil {
			out = append(out, l.problem(l.Path+".local_addresses", "use an address that no other director has",
				"local address %s would be on director %s, and for service %s on %s; a reply would find only one of them", a, l.director.Name, by, other.Name))
		}
	}
	for _, a := range l.localAddresses() {
		if a.Is6() != l.VIP.Is6() {
			out = append(out, l.problem(l.Path+".local_addresses", "use "+family(l.VIP)+" addresses",
				"local address %s is not of the VIP's family", a))
			continue
		}
		if l.director.NICWith(a) == nil && l.director.NICToward(a) == nil {
			out = append(out, l.problem(l.Path+".local_addresses", "use addresses in a network of the director",
				"local address %s lies in no network of director %s, so no reply would find it", a, l.director.Name))
		}
		if nic, _ := l.server.Host.Egress(a); nic == nil && l.Answers() {
			out = append(out, l.problem(l.server.Host.Path, "give "+l.server.Host.Name+" a gateway or a route that leads to "+a.String(),
				"real server %s has no route back to %s, the address it sees the requests come from", l.server.Host.Name, a))
		}
	}
	return out
}

// elsewhere is a director that another service gives an address to, beside the leg's
// own, and that service's name; nil if there is none.
func (l leg) elsewhere(a netip.Addr) (director *inventory.Host, by string) {
	for _, s := range l.inv.Services {
		has := s.Directors // its local addresses are on all of them, its VIP is on the first
		if !slices.Contains(s.LocalAddresses, a) {
			has = has[:1]
			if s.VIP != a {
				continue
			}
		}
		for _, d := range has {
			if d != l.director && s != l.Service {
				return d, s.Name
			}
		}
	}
	return nil, ""
}

// conntrack has IPVS tell the firewall of its connections; it is one setting
// for both families.
func conntrack() state.Sysctl { return state.Sysctl{Name: "net.ipv4.vs.conntrack", Setting: "1"} }

// LocalAddresses are the sources that a real server of mode fullnat sees when a
// director of the service sends it requests: those of the director's own rule.
func LocalAddresses(s *inventory.Service, director *inventory.Host, server *inventory.RealServer) []netip.Addr {
	return leg{&service{Service: s}, director, server}.localAddresses()
}

// localAddresses are those the real server sees as the source.
func (l leg) localAddresses() []netip.Addr {
	if len(l.LocalAddresses) != 0 {
		return l.LocalAddresses
	}
	if dip, ok := l.dip(); ok {
		return []netip.Addr{dip}
	}
	return nil
}

// What each role must look like.

func fullnatDirector(l leg) []Want {
	out := []Want{{
		Item: conntrack(), Role: inventory.RoleDirector,
		Reason: Reason{ReasonConntrack, "lets the firewall see the connections of IPVS"},
	}}
	if l.Answers() {
		out = slices.Insert(out, 0, forwarding(l.VIP, inventory.RoleDirector, passesOn()))
	}
	for _, a := range l.LocalAddresses {
		if l.director.NICWith(a) == nil {
			if nic := l.director.NICToward(a); nic != nil {
				out = append(out, Want{
					Item: state.Address{Link: nic.Name, Prefix: hostPrefix(a), Deprecated: a.Is6()},
					Role: inventory.RoleDirector, Reason: Reason{ReasonLocalAddress, "a source for connections to the real servers"},
				})
			}
		}
	}
	for _, port := range l.ports() {
		out = append(out, Want{
			Item: l.sourceNAT(port).Rule(),
			Role: inventory.RoleDirector, Reason: Reason{ReasonSourceNAT, "the real servers see, and answer, the director"},
		})
	}
	return append(out, l.destination())
}

// sourceNAT is the rule for the service's connections that leave towards the real
// server: all of them through that NIC, or only this server's when others of
// the service behind the same NIC are in nat mode.
func (l leg) sourceNAT(port uint16) firewall.SourceNAT {
	nic, _ := l.director.Egress(l.rip())
	out := firewall.SourceNAT{Device: nic.Name, VIP: l.VIP, Port: port, Sources: addressRange(l.localAddresses())}
	if l.mixedBehind(nic) {
		out.Server = l.rip()
	}
	return out
}

// mixedBehind reports whether the service has real servers behind the same NIC
// of the director that must see the client's address.
func (l leg) mixedBehind(nic *inventory.NIC) bool {
	return slices.ContainsFunc(l.RealServers, func(r *inventory.RealServer) bool {
		other, _ := l.director.Egress(leg{l.service, l.director, r}.rip())
		return TraitsFor(l.Service, r).RoutesBack() && other == nic
	})
}

// contiguous reports whether addresses follow each other without a gap.
func contiguous(pool []netip.Addr) bool {
	sorted := slices.SortedFunc(slices.Values(pool), netip.Addr.Compare)
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Next() != sorted[i] {
			return false
		}
	}
	return true
}

// addressRange is how source NAT takes a pool. fullnatDemands sees to it that
// the pool has no gaps.
func addressRange(pool []netip.Addr) firewall.Range {
	return firewall.Range{First: slices.MinFunc(pool, netip.Addr.Compare), Last: slices.MaxFunc(pool, netip.Addr.Compare)}
}

// fullnatRealServer needs nothing: the requests come from a neighbour, or from
// an address it has a route to.
func fullnatRealServer(leg) []Want { return nil }

// sourcePorts is how many ports source NAT has for one address: it keeps to
// 1024 and above for connections that came from there (nf_nat_core.c).
const sourcePorts = 65536 - 1024

// Capacity is how many connections a fullnat service can hold at once to each
// real server address and port, and in all: the limit is the number of local
// addresses times their ports.
func Capacity(inv *inventory.Inventory, s *inventory.Service) (perServer, total int) {
	sv := &service{Service: s, inv: inv}
	for _, l := range sv.legs() {
		if l.traits().Source == SourceDirector && l.director == s.Directors[0] {
			perServer = len(l.localAddresses()) * sourcePorts
			total += perServer
		}
	}
	return perServer, total
}

// How a packet walks.

func fullnatWalk(w *walker) {
	rport, vport, client := w.rport(), w.destination, w.source
	local := w.localAddresses()
	if len(local) == 0 {
		w.lose("%s has no address towards %s", w.director.Name, w.server.Host.Name)
		return
	}
	w.by(w.director, fmt.Sprintf("puts %s in the place of %s", rport, vport), w.destinationItem())
	w.by(w.director, "shows the connection to its firewall", conntrack())
	sources := itemsOf(fullnatDirector(w.leg), state.KindAddress, state.KindFirewallRule)
	w.by(w.director, fmt.Sprintf("puts %s in the place of %s", addressRange(local), client), sources...)
	w.source, w.destination = Endpoint{Address: local[0]}, rport
	w.travel(w.server.Host)
	w.turn()
	w.toDirector()
	w.by(w.director, fmt.Sprintf("puts %s back in the place of %s", client, w.destination), sources...)
	w.by(w.director, fmt.Sprintf("puts %s back in the place of %s", vport, rport), w.destinationItem())
	w.source, w.destination = vport, client
	w.passOn()
	w.travel(w.client)
	w.arrive()
}
