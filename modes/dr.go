package modes

import (
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// dr is direct routing: the director only rewrites the frame's MAC, so the
// real server gets the packet as the client sent it, must have the VIP itself,
// and answers the client without the director.
func dr() mode {
	return mode{
		demands:    drDemands,
		director:   drDirector,
		realServer: drRealServer,
	}
}

// What it demands of the topology.

func drDemands(s *service) inventory.Problems {
	var out inventory.Problems
	if len(s.Directors) > 1 {
		out = append(out, s.problem(s.Path+".directors", "name one director",
			"has %d directors, and each would answer ARP for the VIP", len(s.Directors)))
	}
	for _, d := range s.Directors {
		for _, r := range s.RealServers {
			out = append(out, drDemandsOfServer(s, d, r)...)
		}
	}
	for _, c := range s.clients() {
		if nic, _ := egress(c, s.VIP); nic == nil {
			out = append(out, s.problem(c.Path, "give "+c.Name+" a gateway, or a NIC in the VIP's network",
				"client %s has no route to the VIP %s", c.Name, s.VIP))
		}
	}
	return out
}

func drDemandsOfServer(s *service, d *inventory.Host, r *inventory.RealServer) inventory.Problems {
	var out inventory.Problems
	if r.Host == d {
		return append(out, s.problem(r.Path, "use another host",
			"%s is its director and a real server at once; it would answer for itself", d.Name))
	}
	if r.Port != s.Port {
		out = append(out, s.problem(r.Path, "use the service's port, or a mode that maps ports",
			"dr hands the packet on unchanged, so %s must listen on port %d, not %d", r.Host.Name, s.Port, r.Port))
	}
	if _, nic, _ := neighbourOf(d, r.Host, s.VIP.Is6()); nic == nil {
		out = append(out, s.problem(r.Path, "give both a NIC with an "+family(s.VIP)+" address in one network, or use a mode that routes",
			"dr rewrites only the MAC address, so director %s and real server %s must share a segment; they share none", d.Name, r.Host.Name))
		return out
	}
	for _, c := range s.clients() {
		to, ok := clientAddress(c, s.VIP)
		if !ok {
			continue // it has no route to the VIP, which is its own problem
		}
		nic, router := egress(r.Host, to)
		switch {
		case nic == nil:
			out = append(out, s.problem(r.Host.Path, "give "+r.Host.Name+" a gateway that leads to "+to.String(),
				"in dr the reply does not pass the director, and real server %s has no route to client %s (%s)", r.Host.Name, c.Name, to))
		case router.IsValid() && ownerOf(d, router) != nil:
			out = append(out, s.problem(r.Host.Path+".gateway", "use a router other than the director",
				"the gateway of real server %s is director %s, which drops the replies: their source, the VIP, is an address of its own", r.Host.Name, d.Name))
		}
	}
	return out
}

// clientAddress is the address a client's packets for the VIP come from.
func clientAddress(c *inventory.Host, vip netip.Addr) (netip.Addr, bool) {
	nic, _ := egress(c, vip)
	if nic == nil {
		return netip.Addr{}, false
	}
	return address(nic, vip.Is6())
}

func family(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}

// What each role must look like.

func drDirector(s *service, d *inventory.Host) []Want {
	out := s.virtualService()
	for _, r := range s.RealServers {
		_, _, rip := neighbourOf(d, r.Host, s.VIP.Is6())
		out = append(out, Want{
			Item: state.Destination{
				Service: s.id(),
				Address: netip.AddrPortFrom(rip, r.Port),
				Forward: state.ForwardDR,
				Weight:  r.Weight,
			},
			Role: inventory.RoleDirector, Reason: r.Host.Name,
		})
	}
	return append(out, s.directorVIP(d)...)
}

func drRealServer(s *service, r *inventory.RealServer) []Want {
	var out []Want
	if s.VIP.Is4() {
		// IPv6 needs neither: the kernel answers neighbour solicitations only
		// for addresses of the device they arrive on.
		for _, n := range facing(s, r.Host) {
			out = append(out, arpSetting(n, "arp_ignore", "answers ARP for the VIP otherwise", "1", "2"))
		}
		for _, n := range replying(s, r.Host) {
			out = append(out, arpSetting(n, "arp_announce", "asks for its neighbours in the VIP's name otherwise", "2"))
		}
	}
	return append(out, Want{
		Item: s.vipOn("lo"), Role: inventory.RoleRealServer,
		Reason: "accepts packets for the VIP",
	})
}

// arpSetting wants the first value on a device, and is met by any of the
// values there or on all devices: the kernel uses the larger of the two.
func arpSetting(n *inventory.NIC, setting, reason string, values ...string) Want {
	own, all := state.ConfSysctl("ipv4", n.Name, setting), state.ConfSysctl("ipv4", "all", setting)
	w := Want{
		Item: state.Sysctl{Name: own, Setting: values[0]},
		Role: inventory.RoleRealServer, Reason: reason,
	}
	for _, v := range values {
		w.MetBy = append(w.MetBy, state.Sysctl{Name: all, Setting: v}, state.Sysctl{Name: own, Setting: v})
	}
	return w
}

// facing lists the NICs on which somebody may ask for the VIP: those in its
// network, or those shared with the director when the VIP lies in none.
func facing(s *service, h *inventory.Host) []*inventory.NIC {
	if n := onLink(h, s.VIP); n != nil {
		return []*inventory.NIC{n}
	}
	var out []*inventory.NIC
	for _, d := range s.Directors {
		if _, n, _ := neighbourOf(d, h, false); n != nil && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// replying lists the NICs through which replies leave, whose source is the
// VIP, beside those that face it.
func replying(s *service, h *inventory.Host) []*inventory.NIC {
	out := facing(s, h)
	for _, c := range s.clients() {
		if to, ok := clientAddress(c, s.VIP); ok {
			if n, _ := egress(h, to); n != nil && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}
