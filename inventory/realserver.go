package inventory

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

func realServersOf(s *Service) form {
	return listOf("a list of hosts with the role real-server, or of mappings with host, port, weight and more",
		&s.RealServers, func(to **RealServer) form { return realServerOf(s, to) })
}

func realServerOf(s *Service, to **RealServer) form {
	r := &RealServer{Port: s.Port, Weight: 1, Mode: s.Mode, Encapsulation: s.Encapsulation}
	*to = r
	host := func() form { return hostRef(RoleRealServer, &r.Host) }
	connections := func(to *uint32) form { return numberOf("connections, 0 to 2147483647", 0, math.MaxInt32, to) }
	mapping := func() form {
		return objectOf(object{
			name: "Real server",
			fields: []field{
				{key: "host", required: true, form: host(),
					doc: "The host."},
				{key: "address", form: ripOf(r),
					doc: "Its address for this service, on one of its NICs; the one nearest to the director when there is none."},
				{key: "port", form: portOf(&r.Port),
					doc: "The port it listens on; the service's when there is none."},
				{key: "weight", preset: 1, form: numberOf("a weight, 0 to 65535", 0, math.MaxUint16, &r.Weight),
					doc: "Its share of the connections; with 0 it gets no new ones."},
				{key: "upper_threshold", preset: 0, form: connections(&r.UpperThreshold),
					doc: "With so many connections it gets no new ones; 0 is no limit."},
				{key: "lower_threshold", preset: 0, form: connections(&r.LowerThreshold),
					doc: "Below so many it gets new ones again; 0 is three quarters of the upper threshold."},
				{key: "mode", form: choiceOf("forwarding mode", Modes(), &r.Mode),
					doc: "Its forwarding mode; the service's when there is none."},
				{key: "tunnel", form: encapsulationOf(&r.Encapsulation),
					doc: "How packets to it are encapsulated, in place of all that the service says of it. tun."},
				{key: "redirect", form: portOf(&r.Redirect),
					doc: "The port on which the server really listens: the host redirects the service's there. dr and tun."},
			},
			hints: map[string]string{"name": "did you mean host?"},
		})
	}
	return either("a host name, or a mapping with host, port, weight and more", host(), later("a mapping", mapping)).
		and(func(d *decoder, v value, ok bool) bool {
			r.Path = v.path
			if r.Host != nil && slices.ContainsFunc(s.RealServers, r.same) {
				return d.again(v, fmt.Sprintf("real server %s again", r.Host.Name), "want each host once, or each with a port or address of its own")
			}
			return !ok || d.checkRealServer(r)
		})
}

// same reports whether two real servers of a service are one destination to
// IPVS, or may be: the address of one that has none is not known here.
func (r *RealServer) same(other *RealServer) bool {
	return r.Host == other.Host && r.Port == other.Port &&
		(r.Address == other.Address || !r.Address.IsValid() || !other.Address.IsValid())
}

// ripOf reads the address of a real server whose host is known.
func ripOf(r *RealServer) form {
	return addressOf(&r.Address).and(func(d *decoder, v value, ok bool) bool {
		if !ok || r.Host == nil {
			return true
		}
		if what, fix := r.Host.refuseForeign(r.Address); what != "" {
			r.Address = netip.Addr{}
			return d.problem(v, what, fix)
		}
		return true
	})
}

func (d *decoder) checkRealServer(r *RealServer) bool {
	ok := d.checkRealServerModes(r)
	if r.LowerThreshold > r.UpperThreshold { // ip_vs_add_dest refuses it, also for an upper one of 0
		what := fmt.Sprintf("%d is more than upper_threshold, %d", r.LowerThreshold, r.UpperThreshold)
		ok = d.problemAt(r.Path+".lower_threshold", what, "want an upper threshold above it")
	}
	return ok
}
