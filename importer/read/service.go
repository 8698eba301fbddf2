package read

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// reading is a service whose source has not been read to its end. What does not
// belong in the service it turns out to be is told by the line it came from.
type reading struct {
	Service
	onePacket, engine, netmask noted
}

// noted is a line of a source.
type noted struct {
	line int
	text string
}

type serviceKey struct {
	mark     uint32
	ipv6     bool
	vip      netip.Addr
	port     uint16
	protocol inventory.Protocol
}

func (s *Service) key() serviceKey { return serviceKey{s.FWMark, s.IPv6, s.VIP, s.Port, s.Protocol} }

// bits is the length of addresses of the service's family.
func (s *Service) bits() int {
	switch {
	case s.FWMark == 0:
		return s.VIP.BitLen()
	case s.IPv6:
		return netip.IPv6Unspecified().BitLen()
	default:
		return netip.IPv4Unspecified().BitLen()
	}
}

func (s *Service) String() string {
	switch {
	case s.FWMark == 0:
	case s.IPv6:
		return fmt.Sprintf("fwmark %d of IPv6", s.FWMark)
	default:
		return fmt.Sprintf("fwmark %d of IPv4", s.FWMark)
	}
	return fmt.Sprintf("%s %s", s.Protocol, netip.AddrPortFrom(s.VIP, s.Port))
}

// add checks a service that is read, takes away what its source would ignore,
// and keeps it.
func (t *source) add(d reading) bool {
	s := d.Service
	if first, there := t.services[s.key()]; there {
		return t.problem(s.Line, fmt.Sprintf("duplicate virtual service %s, first in %s", &s, t.ref(first, s.Line)), "want each once")
	}
	t.services[s.key()] = s.Line
	if t.servers += 1 + len(s.RealServers); t.full(0, s.Line) {
		return false
	}
	if s.VIP.IsLoopback() {
		t.left(s.Line, "virtual service "+s.String(), "an inventory has no services on loopback addresses: no other host reaches them")
		return false
	}
	t.check(&s, d)
	ok := true
	seen := map[netip.AddrPort]int{}
	kept := s.RealServers[:0:0]
	for _, r := range s.RealServers {
		if !t.checkServer(&s, &r) {
			ok = false
			continue
		}
		at := netip.AddrPortFrom(r.Address, r.Port)
		if first, there := seen[at]; there {
			ok = t.problem(r.Line, fmt.Sprintf("duplicate real server %s of %s, first in %s", at, &s, t.ref(first, r.Line)), "want each once")
			continue
		}
		seen[at] = r.Line
		if r.Address.IsLoopback() {
			t.left(r.Line, "real server "+at.String(), "a loopback address is the director itself; where that is the only director, write it as a real server by hand")
			continue
		}
		kept = append(kept, r)
	}
	had := len(s.RealServers)
	s.RealServers = kept
	switch {
	case !ok:
	case had == 0:
		t.left(s.Line, "virtual service "+s.String(), "it has no real servers")
	case len(kept) == 0:
		t.left(s.Line, "virtual service "+s.String(), "none of its real servers is carried over")
	default:
		t.found.Services = append(t.found.Services, s)
	}
	return ok
}

// full reports a source that makes too much, with so many real servers more.
func (t *source) full(more, line int) bool {
	return t.servers+more > maxServers &&
		!t.problem(line, fmt.Sprintf("more than %d services and real servers", maxServers), "import the file in parts")
}

// check takes away what has no effect in the service it is written in.
func (t *source) check(s *Service, d reading) {
	if s.OnePacket && s.FWMark == 0 && s.Protocol != inventory.UDP {
		t.left(d.onePacket.line, d.onePacket.text, fmt.Sprintf("one packet scheduling is for udp, and the service is %s", s.Protocol))
		s.OnePacket = false
	}
	p := &s.Persistence
	if p.Engine != "" && (p.Timeout == 0 || s.FWMark == 0 && s.Protocol != inventory.UDP) {
		// ip_vs_sip_fill_param finds a Call-ID in UDP only.
		t.left(d.engine.line, d.engine.text, "the engine has no effect: the service is not persistent, or not udp")
		p.Engine = ""
	}
	if p.Bits != 0 && p.Timeout == 0 {
		t.left(d.netmask.line, d.netmask.text, "the netmask has no effect: the service is not persistent")
		p.Bits = 0
	}
	if p.Bits == 0 {
		p.Bits = s.bits()
	}
}

// checkServer checks a real server against its service.
func (t *source) checkServer(s *Service, r *RealServer) bool {
	ok := true
	traits := modes.TraitsOf(r.Mode)
	if !traits.Tunnelled && r.Address.BitLen() != s.bits() {
		of := "the VIP " + s.VIP.String()
		if s.FWMark != 0 {
			of = s.String()
		}
		ok = t.problem(r.Line, fmt.Sprintf("real server %s is of another family than %s", r.Address, of), "only tunnels join the two")
	}
	if r.LowerThreshold > r.UpperThreshold { // ip_vs_add_dest refuses it, also for an upper one of 0
		ok = t.problem(r.Line, fmt.Sprintf("the lower threshold %d is more than the upper, %d", r.LowerThreshold, r.UpperThreshold), "want an upper threshold above it")
	}
	if r.Port == 0 && !traits.KeepsDestination && s.Port != 0 {
		ok = t.problem(r.Line, fmt.Sprintf("real server %s gets packets at port 0, where nothing listens", r.Address), "write its port")
	}
	// Packets keep their port in dr and tun, and in persistent services of
	// every port (ip_vs_sched_persist); ipvsadm(8) takes the service's port
	// there, whatever is written.
	if r.Port != s.Port && (traits.KeepsDestination || s.Port == 0 && s.Persistence.Timeout != 0) {
		if r.Port != 0 {
			why := fmt.Sprintf("packets keep their port in mode %s", r.Mode)
			switch {
			case s.FWMark != 0 && !traits.KeepsDestination:
				why = "a persistent service of a firewall mark does not change them"
			case s.FWMark == 0 && s.Port == 0:
				why = "a persistent service of every port does not change them"
			}
			t.left(r.Line, fmt.Sprintf("port %d of real server %s of %s", r.Port, r.Address, s), why)
		}
		r.Port = s.Port
	}
	return ok
}

// schedulers are those an inventory has.
func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"}
}

// defaultScheduler is that of ipvsadm(8), of keepalived (IPVS_DEF_SCHED in
// ipvswrapper.h) and of an inventory.
const defaultScheduler = "wlc"

// scheduler reads the name of a scheduler.
func (t *source) scheduler(line int, name, raw string) string {
	if name == "twos" { // Linux 6.2 and later
		t.left(line, raw, "an inventory does not have this scheduler; "+defaultScheduler+" stands in for it")
		return defaultScheduler
	}
	t.oneOf(line, "scheduler", name, schedulers())
	return name
}

// wordsAt notes words that all stand in one line.
func wordsAt(line int, words []string) []noted {
	all := make([]noted, len(words))
	for i, word := range words {
		all[i] = noted{line, word}
	}
	return all
}

// flags reads flags of a scheduler by their names in ipvsadm(8). Each is
// returned once, by the scheduler's own name where it has one.
func (t *source) flags(scheduler string, names []noted) []string {
	own := map[string][]string{"sh": {"sh-fallback", "sh-port"}, "mh": {"mh-fallback", "mh-port"}}
	var flags []string
	for _, at := range names {
		name := at.text
		of, _, _ := strings.Cut(name, "-")
		number := slices.Index(own[of], name)
		switch {
		case number >= 0 && of != scheduler:
			t.problem(at.line, fmt.Sprintf("%s is a flag of scheduler %s, and the scheduler here is %s", name, of, scheduler), "leave it out, or change the scheduler")
			continue
		case number < 0:
			number = slices.Index([]string{"flag-1", "flag-2", "flag-3"}, name)
		}
		if number < 0 {
			t.problem(at.line, fmt.Sprintf("unknown scheduler flag %q", name), "known: sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2, flag-3")
			continue
		}
		flag := fmt.Sprintf("flag-%d", number+1)
		if number < len(own[scheduler]) {
			flag = own[scheduler][number]
		}
		if !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	slices.Sort(flags)
	return flags
}

// tunnel is what a source says of a tunnel's encapsulation.
type tunnel struct {
	kind     string // ipip, gue or gre
	port     uint16
	checksum string // csum, nocsum, remcsum, or empty
}

// encapsulation checks it as ipvsadm(8) and ip_vs_add_dest do.
func (t *source) encapsulation(line int, raw string, u tunnel) (inventory.Encapsulation, bool) {
	e := inventory.Encapsulation{Type: u.kind, Port: u.port, Checksum: u.checksum == "csum"}
	switch {
	case !t.oneOf(line, "tunnel type", u.kind, []string{"ipip", "gue", "gre"}):
		return e, false
	case u.kind == "gue" && u.port == 0:
		return e, t.problem(line, "a gue tunnel without a port", "gue is carried over UDP: write the real server's port")
	case u.kind != "gue" && u.port != 0:
		return e, t.problem(line, "an "+u.kind+" tunnel has no port", "leave it out, or write the type gue")
	case u.kind == "ipip" && u.checksum != "" && u.checksum != "nocsum":
		return e, t.problem(line, "an ipip tunnel has no checksum", "leave it out, or write the type gre or gue")
	case u.kind == "gre" && u.checksum == "remcsum":
		return e, t.problem(line, "a gre tunnel has no remote checksum offload", "leave it out")
	case u.checksum == "remcsum":
		t.left(line, raw, "an inventory does not have remote checksum offload; the tunnel is carried over without checksum")
	}
	return e, true
}

// syncOption reads one of the daemon's numbers or its group.
func (t *source) syncOption(line int, d *inventory.Sync, name, value string) bool {
	var n uint64
	ok := true
	switch name {
	case "id":
		n, ok = t.number(line, "sync id", value, 0, 255)
		d.ID = uint8(n)
	case "maxlen":
		n, ok = t.number(line, "sync maxlen", value, 1, 65507)
		d.MaxLen = uint16(n)
	case "port":
		d.Port, ok = t.port(line, value, 1)
	case "ttl":
		n, ok = t.number(line, "ttl", value, 1, 255)
		d.TTL = uint8(n)
	case "group":
		a, err := netip.ParseAddr(value)
		if err != nil || !a.IsMulticast() || a.Zone() != "" {
			return t.problem(line, fmt.Sprintf("%q is not a multicast address", value), "want one such as 224.0.0.81 or ff02::51")
		}
		d.Group = a
	}
	return ok
}

// addSync keeps a daemon; the kernel runs one of each role.
func (t *source) addSync(line int, d inventory.Sync) bool {
	least, most := uint16(1), uint16(65507)
	if d.Group.Is6() {
		most = 65487
	}
	if d.Role == "backup" {
		least = 1024 // start_sync_thread in ip_vs_sync.c
	}
	all := &t.found.Director.Sync
	switch {
	case slices.ContainsFunc(*all, func(o inventory.Sync) bool { return o.Role == d.Role }):
		return t.problem(line, "a second "+d.Role, "the kernel runs at most one master and one backup")
	case d.MaxLen != 0 && (d.MaxLen < least || d.MaxLen > most):
		return t.problem(line, fmt.Sprintf("sync maxlen %d is out of range for a %s", d.MaxLen, d.Role), fmt.Sprintf("want %d to %d", least, most))
	}
	*all = append(*all, d)
	return true
}

// device reports a name that no device can have.
func (t *source) device(line int, name string) bool {
	return inventory.IsDeviceName(name) ||
		t.problem(line, fmt.Sprintf("%q is not a device name", name), "want one such as eth0")
}
