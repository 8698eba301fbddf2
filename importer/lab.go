package importer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// A text tells of a director and its real servers. For a lab it lacks a client,
// the routers between the networks, and somebody who listens on the real
// servers. What is made up here is told as assumed.

const madeUp = "made up for the lab"

// labDirector makes up an address of a director of whom none is told: in the
// network of the first VIP.
func (b *builder) labDirector() {
	told := slices.ContainsFunc(b.hints.Directors, func(d DirectorHint) bool { return d.Address.IsValid() })
	if told || usable(b.found.Director.Address) {
		return
	}
	for _, s := range b.found.Services {
		if !usable(s.VIP) {
			continue
		}
		around := segments{sketch: b.sketch}
		around.add(s.VIP)
		if a := b.free(around.all[0].prefix); a.IsValid() {
			if b.network(a) == nil {
				n := b.makeNetwork(a)
				if b.network(s.VIP) == n {
					b.assumePrefix(n, s.VIP)
				} else {
					b.assume(n, "", "network "+n.Name, madeUp)
				}
			}
			b.hints.Directors = []DirectorHint{{Name: b.directorName(), Address: netip.PrefixFrom(a, a.BitLen())}}
			return
		}
	}
}

// labReach makes up addresses of the director in the networks of VIPs, as far as
// those are told, and of real servers that must have it beside them.
func (b *builder) labReach() {
	if b.director == nil {
		return
	}
	for _, s := range b.found.Services {
		if b.network(s.VIP) != nil && b.director.NICToward(s.VIP) == nil {
			b.labAddress(s.VIP)
		}
		for _, r := range s.RealServers {
			if usable(r.Address) && modes.TraitsOf(r.Mode).NeedsSharedNetwork() && b.director.NICToward(r.Address) == nil {
				b.labAddress(r.Address)
			}
		}
	}
}

// labAddress gives the director an address beside another, if there is one free.
func (b *builder) labAddress(beside netip.Addr) {
	n := b.network(beside)
	if n == nil {
		n = b.assumeNetwork(beside)
	}
	for _, p := range n.Prefixes {
		if !p.Contains(beside) {
			continue
		}
		if a := b.free(p); a.IsValid() {
			b.addNICs([]DirectorHint{{Address: netip.PrefixFrom(a, a.BitLen())}})
			return
		}
	}
}

// free is an address of a network that nothing of the source or the sketch has;
// invalid where there is none.
func (b *builder) free(p netip.Prefix) netip.Addr {
	if b.taken == nil {
		b.taken = map[netip.Addr]bool{}
		for _, s := range b.found.Services {
			b.taken[s.VIP] = true
			for _, r := range s.RealServers {
				b.taken[r.Address] = true
			}
		}
		for _, v := range b.found.VIPs {
			b.taken[v.Prefix.Addr()] = true
		}
		for _, d := range b.hints.Directors {
			b.taken[d.Address.Addr()] = true
		}
		for _, g := range b.hints.Gateways {
			b.taken[g] = true
		}
		b.taken[b.found.Director.Address] = true
	}
	for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
		// The first address of an IPv6 network is that of all its routers.
		if !b.taken[a] && !isEdge(a, p) && (a.Is4() || a != p.Masked().Addr() || p.IsSingleIP()) && usable(a) {
			b.taken[a] = true
			b.made = append(b.made, a)
			return a
		}
	}
	return netip.Addr{}
}

// addLab makes the sketch whole: a client behind a router, the ways there and
// back, and servers that answer.
func (b *builder) addLab() {
	if len(b.inv.Services) == 0 {
		return
	}
	b.leaveUndecided()
	b.avoidLab()
	for _, s := range b.inv.Services {
		if s.VIPDevice != "" && !modes.ComesWithModule(s.VIPDevice) && s.VIPDevice != "lo" && egressOf(b.director, s.VIPDevice) == nil {
			s.VIPDevice = b.director.NICs[0].Name
			b.assume(s, "vip_device", s.Name+": vip_device", madeUp)
		}
		b.speak(b.director, s.VIP)
		for _, r := range s.RealServers {
			b.speak(b.director, r.Host.NICs[0].Addresses[0].Addr()) // towards which its tunnel leads
			b.speak(r.Host, s.VIP)
		}
	}
	router := b.addRouter()
	b.addClient(router)
	for _, s := range b.inv.Services {
		b.routeVIP(router, s)
		for _, r := range s.RealServers {
			b.serve(s, r)
			b.wayBack(router, s, r)
		}
	}
	b.routeDirector(router)
	for _, a := range b.made {
		if h := b.owner(a); h != nil {
			b.assume(h.NICWith(a), "", fmt.Sprintf("%s: address %s", h.Name, a), madeUp)
		}
	}
}

// A lab has a host and NICs of its own, of these names.
const (
	labHost = "workstation"
	labNIC  = "mgmt0"
)

// avoidLab gives the director another name, and its NIC, where the lab itself
// has that one.
func (b *builder) avoidLab() {
	h := b.director
	if h.Name == labHost {
		h.Name = "director"
		b.assume(h, "role", "director: its name", madeUp)
	}
	for _, n := range h.NICs {
		if n.Name != labNIC {
			continue
		}
		n.Name, _ = b.assumedNIC()
		b.forget(n, "")
		b.assume(n, "", fmt.Sprintf("%s: NIC %s", h.Name, n.Name), madeUp)
		for _, s := range b.inv.Services {
			if s.VIPDevice == labNIC {
				s.VIPDevice = n.Name
			}
		}
		for _, s := range h.IPVS.Sync {
			if s.Interface == labNIC {
				s.Interface = n.Name
			}
		}
	}
}

// leaveUndecided leaves real servers out of services that they would have to
// answer another way than those before: replies to a client go either through
// the director or past it.
func (b *builder) leaveUndecided() {
	type replier struct {
		host *inventory.Host
		four bool
	}
	through := map[replier]*inventory.Service{}
	past := map[replier]*inventory.Service{}
	for _, s := range b.inv.Services {
		s.RealServers = slices.DeleteFunc(s.RealServers, func(r *inventory.RealServer) bool {
			of := replier{r.Host, s.VIP.Is4()}
			mine, others := past, through
			if modes.TraitsOf(r.Mode).RoutesBack() {
				mine, others = through, past
			}
			if first := others[of]; first != nil {
				from := b.origins[r]
				b.leave(from.Line, from.Text, "the replies of %s go through the director in one of nat and dr or tun, and past it in the other, and service %s has decided which; import the two apart", r.Host.Name, first.Name)
				return true
			}
			mine[of] = cmp.Or(mine[of], s)
			return false
		})
	}
	b.inv.Services = slices.DeleteFunc(b.inv.Services, func(s *inventory.Service) bool {
		if len(s.RealServers) == 0 {
			from := b.origins[s]
			b.leave(from.Line, from.Text, "none of its real servers is carried over")
		}
		return len(s.RealServers) == 0
	})
}

// speak gives a host an address of another's family, if there is one left.
func (b *builder) speak(h *inventory.Host, other netip.Addr) {
	for _, n := range h.NICs {
		if addressLike(n, other).IsValid() {
			return
		}
	}
	// The director keeps to the address that the source names.
	for _, s := range b.inv.Services {
		for _, r := range s.RealServers {
			if r.Host == h && !r.Address.IsValid() {
				r.Address = h.NICs[0].Addresses[0].Addr()
			}
		}
	}
	n := h.NICs[0]
	for _, p := range n.Network.Prefixes {
		if p.Addr().Is4() == other.Is4() {
			b.addAddress(n, b.free(p))
			return
		}
	}
	p := b.freePrefix(other.Is4())
	if !p.IsValid() {
		return
	}
	n.Network.Prefixes = append(n.Network.Prefixes, p)
	b.assume(n.Network, "", fmt.Sprintf("network %s: prefix %s", n.Network.Name, p), madeUp)
	b.addAddress(n, b.free(p))
}

// addressLike is a NIC's first address of another's family.
func addressLike(n *inventory.NIC, other netip.Addr) netip.Addr {
	for _, p := range n.Addresses {
		if p.Addr().Is4() == other.Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// labRanges are those that a lab's networks are made in: for benchmarks (RFC
// 2544), then such as topologies have, too (RFC 6598, RFC 1918), or unique local
// addresses (RFC 4193).
func labRanges(four bool) []netip.Prefix {
	if !four {
		return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 'l', 'v', 's', 'f', 'm'}), 48)}
	}
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19}), 16), netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10), netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8),
	}
}

// freePrefix is a network that has nothing of the sketch in it. Where there is
// none it is invalid, and another is asked for.
func (b *builder) freePrefix(four bool) netip.Prefix {
	for _, within := range labRanges(four) {
		for p := usualPrefix(within.Addr()); within.Contains(p.Addr()); p = nextPrefix(p) {
			inUse := b.overlaps(p)
			for a := range b.taken {
				if inUse {
					break
				}
				inUse = p.Contains(a)
			}
			if !inUse {
				return p
			}
		}
	}
	ranges := "198.18.0.0/15, 100.64.0.0/10 and 10.0.0.0/8"
	if !four {
		ranges = labRanges(four)[0].String()
	}
	why := fmt.Sprintf("no %s network is left for the lab: networks of the source have all of %s; say --network NAME=PREFIX with a longer prefix for one of them", family(four), ranges)
	if !slices.Contains(b.unknown, why) {
		b.ask("%s", why)
	}
	return netip.Prefix{}
}

// nextPrefix is the usual prefix after one.
func nextPrefix(p netip.Prefix) netip.Prefix {
	bytes := p.Addr().AsSlice()
	for i := p.Bits()/8 - 1; i >= 0; i-- {
		if bytes[i]++; bytes[i] != 0 {
			break
		}
	}
	a, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(a, p.Bits())
}

// addRouter makes the host between the networks. It is where the VIPs are, and
// where real servers are that answer without the director.
func (b *builder) addRouter() *inventory.Host {
	needs := map[*inventory.Network]bool{}
	front := b.director.NICs[0].Network
	for _, s := range b.inv.Services {
		if nic := b.director.NICToward(s.VIP); nic != nil {
			front = nic.Network
			needs[front] = true
		}
		for _, r := range s.RealServers {
			if t := modes.TraitsOf(r.Mode); !t.RoutesBack() {
				for _, n := range r.Host.NICs {
					needs[n.Network] = true
				}
			}
		}
	}
	if !slices.ContainsFunc(b.director.NICs, func(n *inventory.NIC) bool { return needs[n.Network] }) {
		needs[front] = true
	}
	h := b.addHost("router")
	h.Roles = []inventory.Role{inventory.RoleGateway}
	b.assume(h, "role", "host "+h.Name, madeUp)
	for _, n := range b.inv.Networks {
		if needs[n] || slices.ContainsFunc(b.hints.Gateways, func(g netip.Addr) bool { return b.network(g) == n }) {
			b.joinLab(h, n)
		}
	}
	return h
}

// joinLab gives a host a NIC in a network, with an address of every family.
func (b *builder) joinLab(h *inventory.Host, n *inventory.Network) {
	nic := &inventory.NIC{Name: fmt.Sprintf("eth%d", len(h.NICs)), Network: n}
	for _, p := range n.Prefixes {
		a := netip.Addr{}
		for _, g := range b.hints.Gateways {
			if p.Contains(g) && b.owner(g) == nil {
				a = g
			}
		}
		if !a.IsValid() {
			a = b.free(p)
		}
		b.addAddress(nic, a)
	}
	if len(nic.Addresses) != 0 {
		h.NICs = append(h.NICs, nic)
	}
}

// addClient makes a client in a network of its own, behind the router, if there
// is one left.
func (b *builder) addClient(router *inventory.Host) {
	n := b.inv.Networks[0]
	for i, four := range b.families() {
		p := b.freePrefix(four)
		if !p.IsValid() {
			return
		}
		if i == 0 {
			n = b.addNetwork(p, "clients")
			b.assume(n, "", "network "+n.Name, madeUp)
		} else {
			n.Prefixes = append(n.Prefixes, p)
		}
	}
	b.joinLab(router, n)
	h := b.addHost("client")
	h.Roles = []inventory.Role{inventory.RoleClient}
	b.assume(h, "role", "host "+h.Name, madeUp)
	b.joinLab(h, n)
	for _, p := range router.NICs[len(router.NICs)-1].Addresses {
		h.Gateways = append(h.Gateways, p.Addr())
	}
}

// families are those of the VIPs, as whether they are IPv4.
func (b *builder) families() []bool {
	var out []bool
	for _, s := range b.inv.Services {
		if four := s.VIP.Is4(); !slices.Contains(out, four) {
			out = append(out, four)
		}
	}
	return out
}

// beside is the address of another's family that a host has in a network of a
// neighbour.
func beside(h, neighbour *inventory.Host, other netip.Addr) netip.Addr {
	for _, n := range h.NICs {
		for _, o := range neighbour.NICs {
			if a := addressLike(n, other); n.Network == o.Network && a.IsValid() && addressLike(o, other).IsValid() {
				return a
			}
		}
	}
	return netip.Addr{}
}

// routeVIP leads the router to a VIP that is on no link of its own.
func (b *builder) routeVIP(router *inventory.Host, s *inventory.Service) {
	if nic := b.director.NICToward(s.VIP); nic != nil && slices.ContainsFunc(router.NICs, func(n *inventory.NIC) bool { return n.Network == nic.Network }) {
		return
	}
	to := netip.PrefixFrom(s.VIP, s.VIP.BitLen())
	via := beside(b.director, router, s.VIP)
	if !via.IsValid() || slices.ContainsFunc(router.Routes, func(r *inventory.Route) bool { return r.To == to }) {
		return
	}
	router.Routes = append(router.Routes, &inventory.Route{To: to, Via: via})
}

// routeDirector leads the director to the client, and to real servers in other
// networks.
func (b *builder) routeDirector(router *inventory.Host) {
	for _, like := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if via := beside(router, b.director, like); via.IsValid() && defaultRoute(b.director, via) {
			b.assume(b.director, "gateway", b.director.Name+": gateway", madeUp)
		}
	}
}

// defaultRoute gives a host a default route, and reports whether it had none of
// that family.
func defaultRoute(h *inventory.Host, via netip.Addr) bool {
	if slices.ContainsFunc(h.Gateways, func(g netip.Addr) bool { return g.Is4() == via.Is4() }) {
		return false
	}
	h.Gateways = append(h.Gateways, via)
	return true
}

// wayBack leads a real server to the client: through the director where it must
// see the replies, else past it.
func (b *builder) wayBack(router *inventory.Host, s *inventory.Service, r *inventory.RealServer) {
	if r.Host == b.director {
		return
	}
	by := router
	if modes.TraitsOf(r.Mode).RoutesBack() {
		by = b.director
	}
	if via := beside(by, r.Host, s.VIP); via.IsValid() && defaultRoute(r.Host, via) {
		b.assume(r.Host, "gateway", r.Host.Name+": gateway", madeUp)
	}
}

// labSSH is the port of the lab's own SSH servers.
const labSSH = 22

// serve has a real server answer on the ports that the director sends it
// requests for. A service of every port is answered on one of them.
func (b *builder) serve(s *inventory.Service, r *inventory.RealServer) {
	ports := []uint16{r.Port}
	switch {
	case s.FWMark != 0 && (r.Port == 0 || modes.TraitsOf(r.Mode).KeepsDestination):
		ports = s.Ports
	case modes.TraitsOf(r.Mode).KeepsDestination:
		ports = []uint16{s.Port}
	}
	at := &r.Host.Serve
	list := &at.HTTP // of TCP: it does not hang up before verify has tried full-size packets
	if s.Protocol == inventory.UDP {
		list = &at.UDP
	} else if s.Protocol != inventory.TCP {
		return
	}
	for _, port := range ports {
		if port == 0 {
			port = 80
		}
		if (port != labSSH || s.Protocol == inventory.UDP) && !slices.Contains(*list, port) {
			*list = append(*list, port)
		}
	}
	slices.Sort(*list)
	if len(*list) != 0 {
		b.assume(r.Host, "serve", r.Host.Name+": serve", madeUp)
	}
}
