package importer

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// Inventory makes an inventory of what a text tells of its director. The error
// is Unknown where the director's own addresses are not all told. Where no
// virtual service can be carried over, the inventory has none.
func Inventory(f *read.Found, hints Hints) (*Result, error) {
	b := &builder{sketch: newSketch(hints.Topology), hints: hints}
	own := *f
	b.found = &own
	b.left = slices.Clone(f.Left)
	own.Services = b.markedServices()
	if len(own.Services) == 0 && len(b.unknown) == 0 {
		read.SortLeft(b.left)
		return &Result{Inventory: b.inv, Left: b.left}, nil
	}
	b.addNetworks()
	if hints.Lab {
		if hints.NIC == labNIC {
			b.ask("--nic %s: a lab has a NIC of this name on every host; say another name", labNIC)
		}
		b.labDirector()
	}
	b.addDirector()
	if hints.Lab {
		b.labReach()
	}
	b.checkReach()
	if len(b.unknown) != 0 {
		return nil, b.unknown
	}
	for _, s := range own.Services {
		b.addService(s)
	}
	b.inv.Networks = slices.DeleteFunc(b.inv.Networks, func(n *inventory.Network) bool {
		return !slices.ContainsFunc(b.inv.Hosts, func(h *inventory.Host) bool {
			return slices.ContainsFunc(h.NICs, func(nic *inventory.NIC) bool { return nic.Network == n })
		})
	})
	b.leaveVIPs()
	b.addSettings()
	if hints.Lab {
		b.addLab()
		if len(b.unknown) != 0 {
			return nil, b.unknown
		}
	}
	return b.finish(hints)
}

// markedServices is the services, those of firewall marks with the VIP, the
// ports and the protocol of the packets that have the mark. Without those, they
// are not carried over.
func (b *builder) markedServices() []read.Service {
	used := make([]bool, len(b.hints.Marks))
	var out []read.Service
	for _, s := range b.found.Services {
		i := slices.IndexFunc(b.hints.Marks, func(m Mark) bool { return m.Mark == s.FWMark && m.VIP.Is6() == s.IPv6 })
		switch {
		case s.FWMark == 0:
			out = append(out, s)
		case i < 0:
			b.leave(s.Line, "virtual service "+s.String(),
				"the source does not tell which packets have the firewall mark; say --fwmark MARK=VIP:PORT,PORT/PROTOCOL")
		default:
			used[i] = true
			s.VIP, s.Protocol = b.hints.Marks[i].VIP, b.hints.Marks[i].Protocol
			if s.Protocol != inventory.UDP && (s.OnePacket || s.Persistence.Engine != "") {
				b.leave(s.Line, "ops and persistence engine of "+s.String(), "they are for udp, and the packets with the mark are %s", s.Protocol)
				s.OnePacket, s.Persistence.Engine = false, ""
			}
			out = append(out, s)
		}
	}
	for i, m := range b.hints.Marks {
		if !used[i] {
			b.ask("--fwmark %d: the source has no virtual service of this mark and of the family of %s", m.Mark, m.VIP)
		}
	}
	return out
}

// portsOf is the ports of the packets that have the mark of a service.
func (b *builder) portsOf(s read.Service) []uint16 {
	for _, m := range b.hints.Marks {
		if m.Mark == s.FWMark && m.VIP == s.VIP {
			return m.Ports
		}
	}
	return nil
}

// builder makes an inventory of a Found.
type builder struct {
	*sketch
	hints    Hints
	director *inventory.Host
	unknown  Unknown
	taken    map[netip.Addr]bool // addresses of the source and the sketch, once there is a lab
	made     []netip.Addr        // addresses that the source does not tell
}

// addNetworks makes networks of the prefixes that are told: by the user, then
// with the VIPs.
func (b *builder) addNetworks() {
	told := slices.Clone(b.hints.Networks)
	for _, d := range b.hints.Directors {
		told = append(told, NamedPrefix{Prefix: d.Address.Masked()})
	}
	for _, v := range b.found.VIPs {
		told = append(told, NamedPrefix{Prefix: v.Prefix.Masked()})
	}
	for _, n := range told {
		if n.Prefix.IsValid() && !n.Prefix.IsSingleIP() && usable(n.Prefix.Addr()) && n.Prefix.Bits() > 0 && !b.overlaps(n.Prefix) {
			b.addNetwork(n.Prefix, n.Name)
		}
	}
}

// addDirector makes the director with its NICs.
func (b *builder) addDirector() {
	f := b.found.Director
	told := slices.DeleteFunc(slices.Clone(b.hints.Directors), func(d DirectorHint) bool { return !d.Address.IsValid() })
	if len(told) == 0 && usable(f.Address) {
		told = []DirectorHint{{Address: netip.PrefixFrom(f.Address, f.Address.BitLen())}}
	}
	if len(told) == 0 {
		return // asked for with what else is not known
	}
	name := b.directorName()
	h := b.addHost(cmp.Or(name, "director"))
	h.Roles = []inventory.Role{inventory.RoleDirector}
	if name == "" {
		b.assume(h, "role", "director: its name", "nothing tells the director's name; --director NAME=ADDRESS does")
	}
	b.director = h
	b.addNICs(told)
	for _, g := range b.hints.Gateways {
		if h.NICToward(g) == nil {
			b.ask("gateway %s is in no network of director %s; say --director %s=ADDRESS for its address there, or --network NAME=PREFIX", g, h.Name, h.Name)
		}
	}
	h.Gateways = b.hints.Gateways
	if b.inv.Name == "" {
		b.inv.Name = h.Name
	}
}

// directorName is the director's name; empty: nothing tells it.
func (b *builder) directorName() string {
	if all := b.hints.Directors; len(all) != 0 {
		return all[0].Name
	}
	return asHostName(b.found.Director.Name)
}

// addNICs gives the director its addresses: first those whose NIC is told, so
// that their order decides no name.
func (b *builder) addNICs(told []DirectorHint) {
	for _, d := range told {
		if a := d.Address.Addr(); b.network(a) == nil {
			b.assumeNetwork(a)
		}
	}
	var named, unnamed []DirectorHint
	for _, d := range told {
		if d.NIC == "" {
			d.NIC = b.toldNIC(d.Address.Addr())
		}
		if d.NIC != "" {
			named = append(named, d)
		} else {
			unnamed = append(unnamed, d)
		}
	}
	for _, d := range append(named, unnamed...) {
		b.addNIC(d)
	}
	for _, n := range b.director.NICs {
		if n.Name == "" {
			why := ""
			n.Name, why = b.assumedNIC()
			b.assume(n, "", fmt.Sprintf("%s: NIC %s", b.director.Name, n.Name), why)
		}
	}
}

// toldNIC is the NIC that the source tells of an address of the director: by a
// line of its own, or by a VIP in the same network.
func (b *builder) toldNIC(a netip.Addr) string {
	if f := b.found.Director; a == f.Address && isNIC(f.AddressNIC) {
		return f.AddressNIC
	}
	network := b.network(a)
	for _, v := range b.found.VIPs {
		if b.network(v.Prefix.Addr()) == network && isNIC(v.Device) {
			return v.Device
		}
	}
	return ""
}

// isNIC reports whether a device can be a NIC: one with a network of its own.
// Tunnel devices, dummies and lo take a VIP and have none.
func isNIC(device string) bool {
	switch strings.TrimRight(device, "0123456789") {
	case "dummy", "tunl", "gre", "gretap", "erspan", "sit", "ip_vti", "ip6tnl", "ip6gre", "ip6_vti":
		return false
	}
	return inventory.IsInterfaceName(device)
}

// addNIC gives the director an address: on its NIC in the address's network, on
// a NIC that has only the other family, or on one of its own. A NIC without a
// name is one that nothing tells.
func (b *builder) addNIC(d DirectorHint) {
	h, a := b.director, d.Address.Addr()
	network := b.network(a)
	same := func(n *inventory.NIC) bool { return d.NIC == "" || d.NIC == n.Name }
	for _, n := range h.NICs {
		if n.Network == network && same(n) {
			b.addAddress(n, a)
			return
		}
	}
	for _, n := range h.NICs {
		lacks := !slices.ContainsFunc(n.Network.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() })
		if lacks && same(n) && len(network.Prefixes) == 1 {
			// One segment with both families.
			n.Network.Prefixes = append(n.Network.Prefixes, network.Prefixes[0])
			b.inv.Networks = slices.DeleteFunc(b.inv.Networks, func(x *inventory.Network) bool { return x == network })
			b.addAddress(n, a)
			return
		}
	}
	n := &inventory.NIC{Name: d.NIC, Network: network}
	if d.NIC != "" && b.hasNIC(d.NIC) {
		if slices.Contains(b.hints.Directors, d) {
			b.ask("NIC %s of director %s has two networks, and an inventory has one for each NIC; say another NIC in --director %s=%s%%NIC, or --network NAME=PREFIX for the prefix that holds both",
				d.NIC, h.Name, h.Name, a)
		}
		n.Name = ""
	}
	b.addAddress(n, a)
	h.NICs = append(h.NICs, n)
}

// hasNIC reports whether a NIC of the director has the name.
func (b *builder) hasNIC(name string) bool {
	return slices.ContainsFunc(b.director.NICs, func(n *inventory.NIC) bool { return n.Name == name })
}

// assumedNIC names a NIC that nothing tells: as VRRP's interface where no other
// is called so, or as one is usually called.
func (b *builder) assumedNIC() (name, why string) {
	if vrrp := b.found.Director.NIC; isNIC(vrrp) && !b.hasNIC(vrrp) {
		return vrrp, "nothing tells that the address is on VRRP's interface; --director NAME=ADDRESS%NIC does"
	}
	name = b.hints.NIC
	for b.hasNIC(name) {
		name = next(name)
	}
	return name, "nothing tells the NIC's name; --director NAME=ADDRESS%NIC does"
}

// next is the name of a next device: eth1 after eth0.
func next(name string) string {
	stem := strings.TrimRight(name, "0123456789")
	n, _ := strconv.Atoi(name[len(stem):])
	return stem + strconv.Itoa(n+1)
}

// checkReach asks for everything that the director lacks to reach its real
// servers: an address in each of their networks, or a router.
func (b *builder) checkReach() {
	near := segments{sketch: b.sketch}   // need an address of the director beside them
	far := map[bool][]netip.Addr{}       // and those that a router can lead to, by IPv4
	towards := func(a netip.Addr) bool { // a network of the director's
		return b.director != nil && b.director.NICToward(a) != nil
	}
	routed := func(a netip.Addr) bool {
		return b.hints.Lab || slices.ContainsFunc(b.hints.Gateways, func(g netip.Addr) bool { return g.Is4() == a.Is4() })
	}
	seen := map[netip.Addr]bool{}
	var tunnelled []netip.Addr
	for _, s := range b.found.Services {
		for _, r := range s.RealServers {
			if !usable(r.Address) || towards(r.Address) {
				continue
			}
			if !modes.TraitsOf(r.Mode).NeedsSharedNetwork() {
				tunnelled = append(tunnelled, r.Address)
			} else if !seen[r.Address] {
				seen[r.Address] = true
				near.add(r.Address)
			}
		}
	}
	for _, a := range tunnelled {
		if !seen[a] && !near.hold(a) && !routed(a) {
			seen[a] = true
			far[a.Is4()] = append(far[a.Is4()], a)
		}
	}
	if b.director == nil {
		b.askDirector(near, far)
		return
	}
	name := b.director.Name
	for _, of := range near.all {
		b.ask("real server %s is in no network of director %s, and dr and nat need that; say --director %s=ADDRESS for its address there%s",
			of, name, name, b.orNetwork(of.prefix.Addr()))
	}
	for _, four := range []bool{true, false} {
		all := far[four]
		if len(all) == 0 {
			continue
		}
		also := b.orNetwork(all[0])
		if also == "" {
			also = fmt.Sprintf(", and --director %s=ADDRESS for the director's own address beside it", name)
		}
		b.ask("real server %s is in no network of director %s; say --gateway ADDRESS for the director's %s router%s",
			several(all, ""), name, family(four), also)
	}
}

// orNetwork offers a wider network to answer with, where the director has an
// address that may be in it.
func (b *builder) orNetwork(a netip.Addr) string {
	for _, n := range b.director.NICs {
		if slices.ContainsFunc(n.Addresses, func(own netip.Prefix) bool { return own.Addr().Is4() == a.Is4() }) {
			return ", or --network NAME=PREFIX for the prefix that holds both"
		}
	}
	return ""
}

// askDirector asks for the addresses of a director that has none yet, and for
// the routers that it may need.
func (b *builder) askDirector(near segments, far map[bool][]netip.Addr) {
	name := cmp.Or(b.directorName(), "NAME")
	for _, of := range near.all {
		b.ask("the source does not tell the director's own address in the network of real server %s; say --director %s=ADDRESS", of, name)
	}
	asked := map[bool]int{} // addresses, by IPv4
	for _, of := range near.all {
		asked[of.prefix.Addr().Is4()]++
	}
	for _, g := range b.hints.Gateways {
		if !near.hold(g) {
			b.ask("the source does not tell the director's own address in the network of gateway %s; say --director %s=ADDRESS", g, name)
			asked[g.Is4()]++
		}
	}
	for _, four := range []bool{true, false} {
		all := far[four]
		if len(all) == 0 {
			continue
		}
		if asked[four] == 0 {
			b.ask("the source does not tell the director's own %s address; say --director %s=ADDRESS", family(four), name)
			asked[four]++
		}
		b.ask("the source does not tell the way to real server %s; if it is in no network of the director, say --gateway ADDRESS for the director's %s router",
			several(all, ""), family(four))
	}
	switch {
	case len(asked) == 0:
		b.ask("the source does not tell the director's own address, on the NIC towards the real servers; say --director %s=ADDRESS", name)
	case asked[true] > 1 || asked[false] > 1:
		b.ask("some of these networks may be one; if so, say --network NAME=PREFIX for it, and one address of the director there")
	}
}

func (b *builder) ask(format string, args ...any) {
	b.unknown = append(b.unknown, fmt.Sprintf(format, args...))
}

// segments are addresses by the networks that they are in, as far as those are
// told, or else by the usual prefixes.
type segments struct {
	*sketch
	all   []*segment
	known map[netip.Prefix]*segment
}

type segment struct {
	prefix    netip.Prefix
	addresses []netip.Addr
}

// around is the prefix that an address is in.
func (s *segments) around(a netip.Addr) netip.Prefix {
	if n := s.network(a); n != nil {
		for _, told := range n.Prefixes {
			if told.Contains(a) {
				return told
			}
		}
	}
	return usualPrefix(a)
}

func (s *segments) add(a netip.Addr) {
	p := s.around(a)
	of := s.known[p]
	if of == nil {
		of = &segment{prefix: p}
		if s.known == nil {
			s.known = map[netip.Prefix]*segment{}
		}
		s.known[p] = of
		s.all = append(s.all, of)
	}
	of.addresses = append(of.addresses, a)
}

// hold reports whether an address is in one of the networks.
func (s *segments) hold(a netip.Addr) bool { return s.known[s.around(a)] != nil }

func (s *segment) String() string { return several(s.addresses, " in "+s.prefix.String()) }

// several names the first of some, and how many there are, and where.
func several(all []netip.Addr, where string) string {
	if len(all) == 1 {
		return all[0].String()
	}
	return fmt.Sprintf("%s (and %d more%s)", all[0], len(all)-1, where)
}

func family(four bool) string {
	if four {
		return "IPv4"
	}
	return "IPv6"
}

// unanswerable reports whether no reply could reach a client: with one_packet the
// director keeps no connection by which to translate it back.
func unanswerable(s *inventory.Service) bool {
	return s.OnePacket && anyServer(s, func(t modes.Traits) bool { return t.RepliesThroughDirector })
}

func (b *builder) addService(f read.Service) {
	s := &inventory.Service{
		Name: f.Name, VIP: f.VIP, Port: f.Port, Protocol: f.Protocol, FWMark: f.FWMark, Ports: b.portsOf(f),
		ARP: inventory.ARPSysctl, ReturnRoute: inventory.ReturnDefault,
		Scheduler: f.Scheduler, Flags: f.Flags, Persistence: f.Persistence, OnePacket: f.OnePacket,
		Directors: []*inventory.Host{b.director},
	}
	s.Name = cmp.Or(s.Name, unnamed(s))
	from := b.found.Leave(f.Line, "virtual service "+unnamed(s), "")
	for _, r := range f.RealServers {
		if server := b.realServer(s, r); server != nil {
			s.RealServers = append(s.RealServers, server)
		}
	}
	switch {
	case !usable(f.VIP):
		b.leave(f.Line, from.Text, "an inventory cannot have such a VIP")
		return
	case len(f.RealServers) == 0:
		b.leave(f.Line, from.Text, "it has no real servers")
		return
	case len(s.RealServers) == 0:
		b.leave(f.Line, from.Text, "none of its real servers is carried over")
		return
	}
	b.origins[s] = from
	chooseMode(s)
	b.placeVIP(s)
	if unanswerable(s) {
		s.Replies = inventory.RepliesNone
		b.assume(s, "replies", s.Name+": replies", "with one_packet the director could not translate replies back")
	} else if anyServer(s, modes.Traits.RoutesBack) {
		s.ReturnRoute = inventory.ReturnNone
		b.assume(s, "return_route", s.Name+": return_route", "the real servers' replies find back to the director already")
	}
	b.inv.Services = append(b.inv.Services, s)
}

func (b *builder) realServer(s *inventory.Service, f read.RealServer) *inventory.RealServer {
	what := "real server " + netip.AddrPortFrom(f.Address, f.Port).String()
	switch {
	case b.director.NICWith(f.Address) != nil:
		b.leave(f.Line, what, "it is the director itself; where that is the only director, write it as a real server by hand")
		return nil
	case !usable(f.Address) || slices.ContainsFunc(b.found.Services, func(s read.Service) bool { return s.VIP == f.Address }):
		b.leave(f.Line, what, "a real server of an inventory cannot have this address")
		return nil
	}
	r := &inventory.RealServer{
		Host: b.server(f.Address, b.hints.NIC), Port: f.Port,
		Weight: f.Weight, UpperThreshold: f.UpperThreshold, LowerThreshold: f.LowerThreshold,
		Mode: f.Mode, Encapsulation: f.Encapsulation,
	}
	if r.Encapsulation.Type == "" {
		r.Encapsulation.Type = "ipip"
	}
	b.origins[r] = b.found.Leave(f.Line, what+" of "+unnamed(s), "")
	return r
}

// placeVIP says on which device the director has a VIP, where that is not the
// NIC in its network.
func (b *builder) placeVIP(s *inventory.Service) {
	told := ""
	for _, v := range b.found.VIPs {
		if v.Prefix.Addr() == s.VIP {
			told = v.Device
		}
	}
	near := b.director.NICToward(s.VIP)
	switch {
	case b.director.NICWith(s.VIP) != nil:
	case near != nil && (told == "" || told == near.Name):
	case near == nil && told == "lo": // where it goes anyhow
	case told != "":
		s.VIPDevice = told
	default:
		s.VIPDevice = b.director.NICs[0].Name
		b.assume(s, "vip_device", s.Name+": vip_device",
			"the VIP is in no network of the director that is known; leave this line out if the VIP is routed to it")
	}
}

// leaveVIPs tells of the VIPs that no service has, and of what is not carried
// over of the others: one of the two, as they contradict each other.
func (b *builder) leaveVIPs() {
	for _, v := range b.found.VIPs {
		switch {
		case !slices.ContainsFunc(b.inv.Services, func(s *inventory.Service) bool { return s.VIP == v.Prefix.Addr() }):
			b.leave(v.Line, "virtual address "+v.Prefix.String(), "no virtual service that is carried over has it")
		case v.Rest != "":
			b.leave(v.Line, v.Rest, "an inventory has an address's length and device only; the address itself is carried over")
		}
	}
}

// addSettings takes what the director is told of IPVS beside its services.
func (b *builder) addSettings() {
	f, h := b.found.Director, b.director
	h.IPVS.Timeouts = f.Timeouts
	preset := inventory.SyncDefaults()
	for _, s := range f.Sync {
		if egressOf(h, s.Interface) == nil {
			b.leave(0, fmt.Sprintf("sync daemon %s on %s", s.Role, s.Interface),
				"the director's address on %s is not known; say --director %s=ADDRESS%%%s", s.Interface, h.Name, s.Interface)
			continue
		}
		s.Group, s.Port, s.TTL = cmp.Or(s.Group, preset.Group), cmp.Or(s.Port, preset.Port), cmp.Or(s.TTL, preset.TTL)
		h.IPVS.Sync = append(h.IPVS.Sync, &s)
	}
}

// asHostName makes a name of one label of any text; empty where nothing is left.
func asHostName(s string) string {
	label, _, _ := strings.Cut(s, ".")
	label = strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '-'
	}, label)
	const longest = 63
	return strings.Trim(label[:min(len(label), longest)], "-")
}
