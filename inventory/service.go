package inventory

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// modes are the forwarding modes that can be written. Each is a file of
// package modes.
func modes() []Mode { return []Mode{ModeDR} }

func protocols() []Protocol { return []Protocol{TCP, UDP, SCTP} }

// schedulers are those of the kernel (net/netfilter/ipvs), by their names in
// ipvsadm(8).
func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"}
}

func serviceOf(to **Service) form {
	s := &Service{Protocol: TCP, Scheduler: "wlc"}
	*to = s
	directors, realServers := false, false // read without a mistake
	return objectOf(object{
		name: "Service",
		fields: []field{
			{key: "name", form: nameOf(plainName(), &s.Name),
				doc: "The service's name in plans and verdicts; `PROTOCOL-VIP-PORT` when there is none."},
			{key: "vip", required: true, form: addressOf(&s.VIP),
				doc: "The address clients connect to. Of the hosts, only the service's directors may have it on a NIC."},
			{key: "port", required: true, form: portOf(&s.Port),
				doc: "The port clients connect to."},
			{key: "protocol", preset: TCP, form: choiceOf("protocol", protocols(), &s.Protocol),
				doc: "The transport protocol."},
			{key: "mode", required: true, form: choiceOf("forwarding mode", modes(), &s.Mode),
				doc: "The forwarding mode."},
			{key: "scheduler", preset: "wlc", form: choiceOf("scheduler", schedulers(), &s.Scheduler),
				doc: "How the director chooses a real server, as in ipvsadm(8)."},
			{key: "directors", required: true, form: directorsOf(&s.Directors).and(noted(&directors)),
				doc: "The hosts that get the VIP and the virtual service."},
			{key: "real_servers", required: true, form: realServersOf(s).and(noted(&realServers)),
				doc: "The hosts that serve it."},
		},
		hints: map[string]string{
			"address": "did you mean vip?", "destinations": "did you mean real_servers?",
			"weight": "weights stand in real_servers[]",
		},
	}).and(func(d *decoder, v value, _ bool) bool {
		s.Path = v.path
		if !d.addService(s, v) {
			return false
		}
		return d.checkVIP(s, directors)
	})
}

// noted keeps whether a value was read without a mistake.
func noted(to *bool) func(*decoder, value, bool) bool {
	return func(_ *decoder, _ value, ok bool) bool {
		*to = ok
		return true
	}
}

// addService reports what only one service can have.
func (d *decoder) addService(s *Service, v value) bool {
	ok := true
	if s.VIP.IsValid() && s.Port != 0 {
		id := netip.AddrPortFrom(s.VIP, s.Port)
		ok = d.onlyOne("virtual service", fmt.Sprintf("%s %s", s.Protocol, id), v.path+".vip")
		if ok && s.Name == "" {
			s.Name = fmt.Sprintf("%s-%s-%d", s.Protocol, s.VIP, s.Port)
		}
	}
	if s.Name != "" {
		ok = d.onlyOne("service name", s.Name, v.path+".name") && ok
	}
	return ok
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
func (d *decoder) checkVIP(s *Service, directors bool) bool {
	path := s.Path + ".vip"
	v := value{path: path, at: d.inv.At(path)}
	for _, n := range d.inv.Networks {
		for _, p := range n.Prefixes {
			if what, fix := refuseEdge(s.VIP, p); p.Contains(s.VIP) && what != "" {
				return d.problem(v, what, fix)
			}
		}
	}
	owner, owned := d.addresses[s.VIP]
	if !owned || !directors || slices.Contains(s.Directors, owner.host) {
		return true
	}
	return d.problem(v, fmt.Sprintf("%s is the address of host %s (%s)", s.VIP, owner.host.Name, owner.path),
		"want an address that no host has, or one of the service's directors")
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

func realServersOf(s *Service) form {
	return listOf("a list of hosts with the role real-server, or of mappings with host, port and weight",
		&s.RealServers, func(to **RealServer) form { return realServerOf(s, to) })
}

func realServerOf(s *Service, to **RealServer) form {
	r := &RealServer{Port: s.Port, Weight: 1}
	*to = r
	host := func() form { return hostRef(RoleRealServer, &r.Host) }
	return either("a host name, or a mapping with host, port and weight", host(), objectOf(object{
		name: "Real server",
		fields: []field{
			{key: "host", required: true, form: host(),
				doc: "The host."},
			{key: "port", form: portOf(&r.Port),
				doc: "The port it listens on; the service's when there is none."},
			{key: "weight", preset: 1, form: numberOf("a weight, 0 to 65535", 0, math.MaxUint16, &r.Weight),
				doc: "Its share of the connections; with 0 it gets no new ones."},
		},
		hints: map[string]string{"name": "did you mean host?"},
	})).and(func(d *decoder, v value, _ bool) bool {
		r.Path = v.path
		same := func(other *RealServer) bool { return other.Host == r.Host }
		if r.Host != nil && slices.ContainsFunc(s.RealServers, same) {
			return d.again(v, fmt.Sprintf("real server %s again", r.Host.Name), "want each host once")
		}
		return true
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
		case h == nil:
			return fmt.Sprintf("unknown host %q", name), d.suggestHost(name, role)
		case len(h.Roles) > 0 && !h.Has(role):
			return fmt.Sprintf("host %s does not have the role %s", name, role),
				fmt.Sprintf("write role: [%s, %s] in %s, or use another host", h.Roles[0], role, h.Path)
		default:
			*to = h
			return "", ""
		}
	})
}

func (d *decoder) suggestHost(name string, role Role) string {
	var fitting []string
	for _, h := range d.inv.Hosts {
		if h.Has(role) {
			fitting = append(fitting, h.Name)
		}
	}
	if fitting == nil {
		return fmt.Sprintf("no host has the role %s", role)
	}
	return suggest(name, fitting, "hosts with the role "+string(role))
}
