package importer

import (
	"math"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// liveService is a virtual service with the directors that have it.
type liveService struct {
	item         state.Service
	destinations []state.Destination
	directors    []*liveHost // the one that has the VIP first
	vip          netip.Addr
	protocol     inventory.Protocol
	ports        []uint16 // of a firewall mark
	inv          *inventory.Service
}

// findServices gathers the virtual services of all hosts. One that several
// hosts have alike is one service with several directors.
func (l *live) findServices() {
	for _, h := range l.hosts {
		of := map[state.ServiceID][]state.Destination{}
		for _, d := range state.Of[state.Destination](h.State) {
			of[d.Service] = append(of[d.Service], d)
		}
		for _, item := range state.Of[state.Service](h.State) {
			s := &liveService{item: item, destinations: of[item.ServiceID], directors: []*liveHost{h}}
			if why := s.name(h); why != "" {
				l.skip(h, item, "%s", why)
				continue
			}
			l.merge(s)
		}
	}
}

// name finds the VIP, and what else the inventory tells a service apart by; or
// says why it cannot.
func (s *liveService) name(h *liveHost) (why string) {
	id := s.item.ServiceID
	if id.FWMark == 0 {
		s.vip, s.protocol = id.Address.Addr(), inventory.Protocol(id.Protocol)
	}
	for _, r := range h.rules("mangle", "PREROUTING") {
		m, ok := firewall.ParseMark(r)
		if !ok || id.FWMark == 0 || m.Mark != id.FWMark || m.VIP.Is6() != id.IPv6 {
			continue
		}
		protocol := inventory.Protocol(m.Protocol)
		if s.vip.IsValid() && (s.vip != m.VIP || s.protocol != protocol) {
			return "more than one VIP or protocol gets the mark, and an inventory has one"
		}
		s.vip, s.protocol = m.VIP, protocol
		s.ports = append(s.ports, m.Port)
	}
	slices.Sort(s.ports)
	switch {
	case !s.vip.IsValid():
		return "no rule of lvsform's sets the mark, and other rules are not read"
	case !usable(s.vip):
		return "an inventory cannot have such a VIP"
	case s.item.PersistenceBits < 1 || s.item.Persistence == 0 && s.item.PersistenceBits != s.vip.BitLen():
		return "an inventory cannot have the netmask of its persistence"
	case len(s.destinations) == 0:
		return "it has no destinations, and a service of an inventory has real servers"
	}
	return ""
}

// merge adds a service, or the director to one that is there alike. Of two that
// are not alike it keeps the one whose host has the VIP.
func (l *live) merge(s *liveService) {
	h := s.directors[0]
	for i, other := range l.services {
		switch {
		case other.item.ServiceID != s.item.ServiceID || other.vip != s.vip:
		case other.item != s.item || !slices.Equal(other.destinations, s.destinations) || !slices.Equal(other.ports, s.ports):
			if without(h, s.vip) < without(other.directors[0], s.vip) {
				l.services[i], s, other = s, other, s
			}
			for _, h := range s.directors {
				l.skip(h, s.item, "%s has it too, and not alike", other.directors[0].Name)
			}
			return
		default:
			other.directors = append(other.directors, h)
			slices.SortStableFunc(other.directors, func(a, b *liveHost) int { return without(a, s.vip) - without(b, s.vip) })
			return
		}
	}
	l.services = append(l.services, s)
}

// without is 0 for a host that has an address and 1 for others.
func without(h *liveHost, a netip.Addr) int {
	if _, ok := addressOf(h.State, a); ok {
		return 0
	}
	return 1
}

func addressOf(host state.Host, a netip.Addr) (state.Address, bool) {
	for _, i := range state.Of[state.Address](host) {
		if i.Prefix.Addr() == a {
			return i, true
		}
	}
	return state.Address{}, false
}

func (l *live) vips() []netip.Addr {
	var out []netip.Addr
	for _, s := range l.services {
		out = append(out, s.vip)
	}
	return out
}

func (l *live) isVIP(a netip.Addr) bool { return slices.Contains(l.vips(), a) }

// directs reports whether a host is a director of a service with the VIP.
func (l *live) directs(h *liveHost, vip netip.Addr) bool {
	return slices.ContainsFunc(l.services, func(s *liveService) bool { return s.vip == vip && slices.Contains(s.directors, h) })
}

// addServices makes services of the inventory.
func (l *live) addServices() {
	for _, s := range l.services {
		s.directors = slices.DeleteFunc(s.directors, func(h *liveHost) bool { return h.inv == nil })
		if len(s.directors) == 0 {
			continue // the host is left, and its services with it
		}
		inv := &inventory.Service{
			VIP: s.vip, Protocol: s.protocol, FWMark: s.item.FWMark, Ports: s.ports,
			ARP: inventory.ARPSysctl, ReturnRoute: inventory.ReturnDefault,
			Scheduler: s.item.Scheduler, Flags: splitFlags(s.item.Flags), OnePacket: s.item.OnePacket,
			Persistence: inventory.Persistence{Timeout: s.item.Persistence, Bits: s.item.PersistenceBits, Engine: s.item.Engine},
		}
		if s.item.Persistence == 0 {
			inv.Persistence = inventory.Persistence{Bits: s.vip.BitLen()}
		}
		if s.item.FWMark == 0 {
			inv.Port = s.item.Address.Port()
		}
		inv.Name = unnamed(inv)
		for _, h := range s.directors {
			addRole(h.inv, inventory.RoleDirector)
			inv.Directors = append(inv.Directors, h.inv)
		}
		for _, d := range s.destinations {
			if r := l.realServer(s, inv, d); r != nil {
				inv.RealServers = append(inv.RealServers, r)
				l.origins[r] = read.Left{Text: s.directors[0].Name + ": " + state.Text(d)}
			}
		}
		if len(inv.RealServers) == 0 {
			l.skip(s.directors[0], s.item, "none of its destinations is carried over")
			continue
		}
		inv.VIPDevice = l.vipDevice(s)
		chooseMode(inv)
		if anyServer(inv, translatesSource) {
			for _, h := range s.directors {
				fitConntrack(h.inv)
			}
		}
		l.origins[inv] = read.Left{Text: s.directors[0].Name + ": " + state.Text(s.item)}
		s.inv = inv
		inv.LocalAddresses = s.localAddresses()
		if unanswerable(inv) {
			inv.Replies = inventory.RepliesNone
		}
		l.inv.Services = append(l.inv.Services, inv)
	}
}

// realServer makes a real server of a destination, or nil.
func (l *live) realServer(s *liveService, inv *inventory.Service, d state.Destination) *inventory.RealServer {
	h, a := s.directors[0], d.Address.Addr()
	own := slices.ContainsFunc(s.directors, func(h *liveHost) bool { return without(h, a) == 0 })
	switch {
	case own && len(s.directors) > 1:
		l.skip(h, d, "it is one of several directors itself, which an inventory does not have as its own real server")
		return nil
	case modes.With(d.Forward, modes.SourceClient) == "":
		l.skip(h, d, "an inventory has no such forwarding method")
		return nil
	case d.Tunnel.RemoteChecksum:
		l.skip(h, d, "an inventory has no remote checksum offload")
		return nil
	case d.Weight > math.MaxUint16 || d.UpperThreshold > math.MaxInt32 || d.LowerThreshold > d.UpperThreshold:
		l.skip(h, d, "its weight or thresholds are beyond what an inventory has")
		return nil
	case !usable(a) || l.isVIP(a):
		l.skip(h, d, "a real server of an inventory cannot have this address")
		return nil
	}
	r := &inventory.RealServer{
		Host: l.server(a, l.hints.NIC), Port: d.Address.Port(),
		Weight: d.Weight, UpperThreshold: d.UpperThreshold, LowerThreshold: d.LowerThreshold,
		Encapsulation: inventory.Encapsulation{Type: "ipip"},
	}
	if needsAddress(r.Host, a, s.vip.Is6()) {
		r.Address = a
	}
	source := modes.SourceClient
	if d.Forward == state.ForwardNAT && sources(s, h, a) != nil {
		source = modes.SourceDirector
	}
	r.Mode = modes.With(d.Forward, source)
	if d.Tunnel.Type != "" {
		r.Encapsulation = inventory.Encapsulation{Type: d.Tunnel.Type, Port: d.Tunnel.Port, Checksum: d.Tunnel.Checksum}
	}
	if live := l.of(r.Host); live != nil && modes.TraitsOf(r.Mode).KeepsDestination {
		r.Redirect = redirected(live, inv)
	}
	return r
}

// needsAddress reports whether a host has more addresses than one that could
// be meant.
func needsAddress(h *inventory.Host, a netip.Addr, is6 bool) bool {
	count := 0
	for _, n := range h.NICs {
		for _, p := range n.Addresses {
			if p.Addr().Is6() == is6 {
				count++
			}
		}
	}
	return count > 1 || a.Is6() != is6
}

// redirected is the port to which a real server redirects a service's, or 0.
func redirected(h *liveHost, s *inventory.Service) uint16 {
	for _, rule := range h.rules("nat", "PREROUTING") {
		r, ok := firewall.ParseRedirect(rule)
		if ok && r.VIP == s.VIP && r.Protocol == state.Protocol(s.Protocol) && (r.Port == s.Port && s.FWMark == 0 || slices.Contains(s.Ports, r.Port)) {
			return r.To
		}
	}
	return 0
}

// sources are the addresses that a real server sees connections come from; nil
// without source NAT.
func sources(s *liveService, director *liveHost, rip netip.Addr) []netip.Addr {
	for _, rule := range director.rules("nat", "POSTROUTING") {
		r, ok := firewall.ParseSourceNAT(rule)
		if !ok || r.VIP != s.vip {
			continue
		}
		port := s.item.Address.Port()
		if s.item.FWMark != 0 {
			port = s.ports[0]
		}
		nic, _ := director.inv.Egress(rip)
		if r.Port == port && (r.Server == rip || !r.Server.IsValid() && nic != nil && nic.Name == r.Device) {
			if addresses := pool(r.Sources); addresses != nil {
				return addresses
			}
		}
	}
	return nil
}

// vipDevice is where a director has the VIP, when that is not where lvsform
// puts it unasked.
func (l *live) vipDevice(s *liveService) string {
	h := s.directors[0]
	a, ok := addressOf(h.State, s.vip)
	if !ok || h.inv.NICWith(s.vip) != nil {
		return ""
	}
	usual := "lo"
	if n := h.inv.NICToward(s.vip); n != nil {
		usual = n.Name
	}
	if a.Link == usual {
		return ""
	}
	return a.Link
}

// chooseWays finds, for each service, the way back and the way to keep real
// servers quiet that are in force: those under which the hosts have everything
// they must have.
func (l *live) chooseWays() {
	for _, s := range l.services {
		if s.inv != nil {
			l.chooseReturn(s.inv)
			l.chooseARP(s.inv)
		}
	}
}

// lacking counts what hosts lack for one service; not ok: it breaks a rule.
func (l *live) lacking(s *inventory.Service, concerns func(modes.Want) bool) (missing, wanted int, ok bool) {
	alone := *l.inv
	alone.Services, alone.Tunnels = []*inventory.Service{s}, nil
	if len(modes.Check(&alone)) != 0 {
		return 0, 0, false
	}
	lacks, wanted := l.lacks(modes.Desire(&alone, l.facts()), concerns)
	return len(lacks), wanted, true
}

// localAddresses are fullnat's sources where they are not the director's own
// addresses towards the real servers.
func (s *liveService) localAddresses() []netip.Addr {
	h := s.directors[0]
	for _, r := range s.inv.RealServers {
		if !translatesSource(modes.TraitsOf(r.Mode)) {
			continue
		}
		a := rip(s.inv, r)
		own, _ := h.inv.SourceFor(a)
		if pool := sources(s, h, a); len(pool) != 1 || pool[0] != own {
			return pool
		}
	}
	return nil
}

// rip is a real server's address.
func rip(s *inventory.Service, r *inventory.RealServer) netip.Addr {
	if r.Address.IsValid() {
		return r.Address
	}
	for _, n := range r.Host.NICs {
		for _, p := range n.Addresses {
			if p.Addr().Is6() == s.VIP.Is6() {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

func (l *live) chooseReturn(s *inventory.Service) {
	if !anyServer(s, modes.Traits.RoutesBack) || !s.Answers() {
		return
	}
	isRoute := func(w modes.Want) bool { _, ok := w.Item.(state.Route); return ok }
	for _, way := range []inventory.ReturnRoute{inventory.ReturnDefault, inventory.ReturnClients} {
		s.ReturnRoute = way
		if missing, wanted, ok := l.lacking(s, isRoute); ok && missing == 0 && wanted > 0 {
			return
		}
	}
	s.ReturnRoute = inventory.ReturnNone
}

// chooseARP finds how real servers keep quiet. Rules and neighbours are for one
// VIP, settings for all: the former tell more.
func (l *live) chooseARP(s *inventory.Service) {
	quiet := func(w modes.Want) bool {
		switch i := w.Item.(type) {
		case state.FirewallRule:
			return i.Family == state.FirewallARP
		case state.Neighbour:
			return true
		case state.Sysctl:
			return isARPSetting(i.Name)
		}
		return false
	}
	try := func(way inventory.ARP) (missing, wanted int) {
		s.ARP = way
		missing, wanted, ok := l.lacking(s, quiet)
		if !ok {
			return math.MaxInt, 0
		}
		return missing, wanted
	}
	tables, rules := try(inventory.ARPTables)
	if tables == 0 && rules > 0 {
		return
	}
	if missing, wanted := try(inventory.ARPStatic); missing == 0 && wanted > 0 {
		return
	}
	settings, _ := try(inventory.ARPSysctl)
	// Without rules to set nobody asks the real servers, and there is only
	// what they say themselves.
	if settings > 0 && tables == 0 && rules == 0 {
		if missing, _ := try(inventory.ARPStatic); missing == 0 {
			return
		}
	}
	s.ARP = inventory.ARPSysctl
}

func isARPSetting(name string) bool {
	return slices.ContainsFunc([]string{".arp_ignore", ".arp_announce"}, func(suffix string) bool {
		return len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix
	})
}
