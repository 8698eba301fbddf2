package inventory

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// defaultLoss is the percentage of probes that may have to be sent again.
const defaultLoss = 5

func protocols() []Protocol { return []Protocol{TCP, UDP, SCTP} }

// serviceParts says which of a service's keys were read without a mistake; a
// key that is not there counts, when it has a default.
type serviceParts struct {
	port, mode, protocol, scheduler, directors, realServers bool
}

func serviceOf(to **Service) form {
	s := &Service{
		Protocol: TCP, Scheduler: "wlc",
		ARP: ARPSysctl, Encapsulation: Encapsulation{Type: "ipip"}, ReturnRoute: ReturnDefault,
		Replies: RepliesExpected,
		Loss:    defaultLoss,
	}
	*to = s
	fine := &serviceParts{protocol: true, scheduler: true}
	return objectOf(object{
		name: "Service",
		fields: []field{
			{key: "name", form: nameOf(plainName(), &s.Name),
				doc: "The service's name in plans and verdicts; `PROTOCOL-VIP-PORT` or `fwmark-FWMARK-VIP` when there is none."},
			{key: "vip", required: true, form: addressOf(&s.VIP),
				doc: "The address clients connect to. Of the hosts, only the service's directors may have it."},
			{key: "port", form: numberOf("a port, 1 to 65535, or 0", 0, math.MaxUint16, &s.Port).and(noted(&fine.port)),
				doc: "The port clients connect to; 0 is every port, with persistence only. There is either this key, or `fwmark` and `ports`."},
			{key: "fwmark", form: numberOf("a firewall mark, 1 to 4294967295", 1, math.MaxUint32, &s.FWMark),
				doc: "The firewall mark of the service. lvsform sets it on packets for `vip` and `ports`."},
			{key: "ports", form: portsOf(&s.Ports),
				doc: "The ports that make one service under a firewall mark."},
			{key: "protocol", preset: TCP, form: choiceOf("protocol", protocols(), &s.Protocol).and(noted(&fine.protocol)),
				doc: "The transport protocol."},
			{key: "vip_device", form: nameOf(deviceName(), &s.VIPDevice),
				doc: "The first director's device that gets the VIP; when there is none, the NIC in the VIP's network, or `lo`."},
			{key: "mode", required: true, form: choiceOf("forwarding mode", Modes(), &s.Mode).and(noted(&fine.mode)),
				doc: "The forwarding mode."},
			{key: "arp", preset: s.ARP, form: choiceOf("way to solve ARP", []ARP{ARPSysctl, ARPTables, ARPStatic}, &s.ARP),
				doc: "How real servers are kept from answering ARP for the VIP: sysctls or arptables rules there, or a permanent neighbour on clients and gateways. dr and tun."},
			{key: "tunnel", form: encapsulationOf(&s.Encapsulation),
				doc: "How packets are encapsulated. tun."},
			{key: "local_addresses", form: localAddressesOf(&s.LocalAddresses),
				doc: "The sources that real servers see; the director's own address when there are none. fullnat."},
			{key: "return_route", preset: s.ReturnRoute, form: choiceOf("return route", []ReturnRoute{ReturnDefault, ReturnClients, ReturnNone}, &s.ReturnRoute),
				doc: "How replies find back to the director: as the real servers' default gateway, by routes to the clients' networks, or by what is there already. nat."},
			{key: "scheduler", preset: "wlc", form: choiceOf("scheduler", schedulers(), &s.Scheduler).and(noted(&fine.scheduler)),
				doc: "How the director chooses a real server, as in ipvsadm(8)."},
			{key: "scheduler_flags", form: schedulerFlagsOf(s, fine),
				doc: "Flags of the scheduler: sh-fallback, sh-port, mh-fallback, mh-port; or flag-1, flag-2, flag-3."},
			{key: "persistence", form: persistenceOf(s),
				doc: "How long a client stays on its real server."},
			{key: "one_packet", preset: false, form: flagOf(&s.OnePacket),
				doc: "Whether every datagram is scheduled on its own. udp."},
			{key: "replies", preset: s.Replies, form: choiceOf("whether replies come", []Replies{RepliesExpected, RepliesNone}, &s.Replies),
				doc: "Whether real servers answer. With `none`, as for syslog and traps, a datagram's arrival is the proof, and there is no way back. udp."},
			{key: "loss", preset: defaultLoss, form: numberOf("a percentage, 0 to 100", 0, 100, &s.Loss),
				doc: "How many of the probes that connect, in percent, may have their request sent again. `lvsform verify` fails with more."},
			{key: "directors", required: true, form: directorsOf(&s.Directors).and(noted(&fine.directors)),
				doc: "The hosts that get the virtual service. The first one gets the VIP, too; a program such as keepalived can move it."},
			{key: "real_servers", required: true, form: realServersOf(s).and(noted(&fine.realServers)),
				doc: "The hosts that serve it."},
		},
		oneOf:    []string{"port", "ports"},
		together: []string{"fwmark", "ports"},
		hints: map[string]string{
			"address": "did you mean vip?", "destinations": "did you mean real_servers?",
			"weight": "weights stand in real_servers[]", "redirect": "write it in real_servers[]",
			"flags": "did you mean scheduler_flags?", "persistent": "did you mean persistence?",
		},
	}).and(func(d *decoder, v value, _ bool) bool {
		s.Path = v.path
		if s.Persistence.Bits == 0 && s.VIP.IsValid() {
			s.Persistence.Bits = s.VIP.BitLen()
		}
		ok := d.addService(s, fine)
		ok = d.checkVIP(s, fine) && ok
		ok = d.checkLocalAddresses(s, fine) && ok
		ok = d.checkPort(s, fine) && ok
		ok = d.checkUDP(s, fine) && ok
		return d.checkServiceModes(s, fine) && ok
	})
}

// noted keeps whether a value was read without a mistake.
func noted(to *bool) func(*decoder, value, bool) bool {
	return func(_ *decoder, _ value, ok bool) bool {
		*to = ok
		return true
	}
}

func portsOf(to *[]uint16) form {
	return listOf("a list of ports", to, func(port *uint16) form {
		return portOf(port).and(func(d *decoder, v value, ok bool) bool {
			if ok && slices.Contains(*to, *port) {
				return d.again(v, fmt.Sprintf("port %d again", *port), "want each port once")
			}
			return true
		})
	})
}

// addService reports what only one service can have.
func (d *decoder) addService(s *Service, fine *serviceParts) bool {
	ok := true
	name := ""
	if s.VIP.IsValid() && fine.port {
		ok = d.claim(s, s.Port, s.Path+".vip")
		name = fmt.Sprintf("%s-%s-%d", s.Protocol, s.VIP, s.Port)
	}
	if s.VIP.IsValid() && s.FWMark != 0 {
		family := "IPv6"
		if s.VIP.Is4() {
			family = "IPv4"
		}
		ok = d.onlyOne("virtual service", fmt.Sprintf("fwmark %d of %s", s.FWMark, family), s.Path+".fwmark")
		for i, port := range s.Ports {
			ok = d.claim(s, port, fmt.Sprintf("%s.ports[%d]", s.Path, i)) && ok
		}
		name = fmt.Sprintf("fwmark-%d-%s", s.FWMark, s.VIP)
	}
	if ok && s.Name == "" {
		s.Name = name
	}
	if s.Name != "" {
		ok = d.onlyOne("service name", s.Name, s.Path+".name") && ok
	}
	return ok
}

// claim reports a VIP and port that another service has, as its own or under
// its mark. IPVS looks for a mark first (ip_vs_service_find), so a service
// with one would leave the other nothing.
func (d *decoder) claim(s *Service, port uint16, path string) bool {
	what := fmt.Sprintf("virtual service %s %s", s.Protocol, netip.AddrPortFrom(s.VIP, port))
	first, there := d.unique[what]
	switch {
	case !there:
		d.unique[what] = path
		return true
	case s.FWMark != 0 || strings.Contains(first, ".ports["):
		return d.repeated(path, first, "duplicate "+what+": the firewall mark goes first")
	default:
		return d.repeated(path, first, "duplicate "+what)
	}
}

// onlyOne reports what another value has already.
func (d *decoder) onlyOne(noun, what, path string) bool {
	what = noun + " " + what
	if first, there := d.unique[what]; there {
		return d.repeated(path, first, "duplicate "+what)
	}
	d.unique[what] = path
	return true
}

// checkVIP reports a VIP that cannot be one.
func (d *decoder) checkVIP(s *Service, fine *serviceParts) bool {
	path := s.Path + ".vip"
	for _, n := range d.inv.Networks {
		for _, p := range n.Prefixes {
			if what, fix := refuseEdge(s.VIP, p); p.Contains(s.VIP) && what != "" {
				return d.problemAt(path, what, fix)
			}
		}
	}
	return !fine.directors || d.directorsOwn(s, s.VIP, path)
}

// directorsOwn reports an address that a host other than the service's
// directors has.
func (d *decoder) directorsOwn(s *Service, a netip.Addr, path string) bool {
	owner, owned := d.addresses[a]
	if !owned || slices.Contains(s.Directors, owner.host) {
		return true
	}
	return d.problemAt(path, fmt.Sprintf("%s is the address of host %s (%s)", a, owner.host.Name, owner.path),
		"want an address that no host has, or one of the service's directors")
}

func localAddressesOf(to *[]netip.Addr) form {
	return listOf("a list of addresses", to, func(a *netip.Addr) form {
		return addressOf(a).and(func(d *decoder, v value, ok bool) bool {
			if ok && slices.Contains(*to, *a) {
				return d.again(v, fmt.Sprintf("%s again", *a), "want each address once")
			}
			return true
		})
	})
}

func (d *decoder) checkLocalAddresses(s *Service, fine *serviceParts) bool {
	ok := true
	for i, a := range s.LocalAddresses {
		if fine.directors {
			ok = d.directorsOwn(s, a, fmt.Sprintf("%s.local_addresses[%d]", s.Path, i)) && ok
		}
	}
	return ok
}

// checkPort reports what goes with a service of one port only.
func (d *decoder) checkPort(s *Service, fine *serviceParts) bool {
	every, persistent := fine.port && s.Port == 0, d.written(s.Path+".persistence")
	if every && !persistent {
		return d.problemAt(s.Path+".port", "port 0 is every port, which IPVS has in persistent services only",
			"write persistence: 300, or the port")
	}
	if !persistent || !every && s.FWMark == 0 {
		return true
	}
	ok := true
	for _, r := range s.RealServers {
		// ip_vs_sched_persist: dport is the client's unless the service has a port.
		if r.Port != 0 {
			ok = d.problemAt(r.Path+".port", "a persistent service of several ports does not change them", "leave it out")
		}
	}
	return ok
}

// checkUDP reports what is there for UDP only.
func (d *decoder) checkUDP(s *Service, fine *serviceParts) bool {
	if !fine.protocol || s.Protocol == UDP {
		return true
	}
	ok := true
	refuse := func(key string) {
		what := fmt.Sprintf("is for udp only, and the service is %s", s.Protocol)
		ok = d.problemAt(s.Path+key, what, "leave it out, or write protocol: udp")
	}
	if s.OnePacket {
		refuse(".one_packet")
	}
	if !s.Answers() {
		refuse(".replies")
	}
	if s.Persistence.Engine != "" {
		refuse(".persistence.engine")
	}
	return ok
}

func directorsOf(to *[]*Host) form {
	return listOf("a list of hosts with the role director", to, func(h **Host) form {
		return hostRef(RoleDirector, h).and(func(d *decoder, v value, _ bool) bool {
			if *h != nil && slices.Contains(*to, *h) {
				return d.again(v, fmt.Sprintf("director %s again", (*h).Name), "want each host once")
			}
			return true
		})
	})
}

// hostRef reads the name of a host that has the role.
func hostRef(role Role, to **Host) form {
	return textOf("the name of a host with the role "+string(role), nil, func(d *decoder, _ value, name string) (what, fix string) {
		if d.hosts == nil {
			return "", "" // reported there
		}
		h := d.hosts[name]
		switch {
		case h == nil && d.inPattern(name):
			return "", "" // reported there
		case h == nil:
			return fmt.Sprintf("unknown host %q", name), d.suggestHost(name, role)
		case len(h.Roles) > 0 && !h.Has(role):
			return fmt.Sprintf("host %s does not have the role %s", name, role),
				fmt.Sprintf("write %s, or use another host", h.with(role))
		default:
			*to = h
			return "", ""
		}
	})
}

// inPattern reports whether the file has a host whose name is meant as a range or
// a pattern with this name in it. That is a mistake there, and none here.
func (d *decoder) inPattern(name string) bool {
	for key := range d.hosts {
		before, after, ok := cutPattern(key)
		if ok && len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after) {
			return true
		}
	}
	return false
}

// suggestHost says which host was meant; role may be empty.
func (d *decoder) suggestHost(name string, role Role) string {
	if _, _, ok := cutPattern(name); ok {
		return "there are no ranges and no patterns: write the names out, one by one"
	}
	var fitting []string
	for _, h := range d.inv.Hosts {
		if role == "" || h.Has(role) {
			fitting = append(fitting, h.Name)
		}
	}
	switch {
	case role == "":
		return suggest(name, fitting, "known hosts")
	case fitting == nil:
		return fmt.Sprintf("no host has the role %s", role)
	default:
		return suggest(name, fitting, "hosts with the role "+string(role))
	}
}
