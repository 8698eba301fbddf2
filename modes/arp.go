package modes

import (
	"slices"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// quiet keeps a real server that has the VIP from being found under it: the
// ARP problem of dr, and of tun in the VIP's own network. IPv6 has no such
// problem: the kernel answers neighbour solicitations only for addresses of
// the device they arrive on.
func (l leg) quiet() []Want {
	if l.VIP.Is6() {
		return nil
	}
	var out []Want
	switch l.ARP {
	case inventory.ARPTables:
		for _, n := range l.facing() {
			out = append(out, arpRules(l, n)...)
		}
	case inventory.ARPStatic:
		// Solved on the clients and gateways: staticNeighbour.
	default:
		for _, n := range l.facing() {
			out = append(out, arpSetting(n, "arp_ignore", noARPAnswer(), "1", "2"))
		}
		for _, n := range l.replying() {
			out = append(out, arpSetting(n, "arp_announce", noARPQuestion(), "2"))
		}
	}
	return out
}

func noARPAnswer() Reason {
	return Reason{ReasonNoARPAnswer, "keeps it from answering ARP for the VIP"}
}

func noARPQuestion() Reason {
	return Reason{ReasonNoARPQuestion, "keeps it from asking for its neighbours in the VIP's name"}
}

// arpSetting wants the first value on a device, and is met by any of the
// values there or on all devices: the kernel uses the larger of the two.
func arpSetting(n *inventory.NIC, setting string, reason Reason, values ...string) Want {
	own, all := state.ConfSysctl("ipv4", n.Name, setting), state.ConfSysctl("ipv4", "all", setting)
	w := Want{
		Item: state.Sysctl{Name: own, Setting: values[0]},
		Role: inventory.RoleRealServer, Reason: reason,
	}
	for _, v := range values {
		w.MetBy = append(w.MetBy, []state.Item{state.Sysctl{Name: all, Setting: v}}, []state.Item{state.Sysctl{Name: own, Setting: v}})
	}
	return w
}

// arpRules drop questions for the VIP and put the NIC's own address into the
// questions the server asks in the VIP's name.
func arpRules(l leg, n *inventory.NIC) []Want {
	own, _ := address(n, false)
	rule := func(r firewall.Rule, reason Reason) Want {
		return Want{Item: r.Rule(), Role: inventory.RoleRealServer, Reason: reason}
	}
	return []Want{
		rule(firewall.ARPDrop{Device: n.Name, VIP: l.VIP}, noARPAnswer()),
		rule(firewall.ARPRewrite{Device: n.Name, VIP: l.VIP, Own: own}, noARPQuestion()),
	}
}

// facing lists the real server's NICs on which somebody may ask for the VIP:
// those in its network. Where the VIP lies in no network nobody asks: routers
// send to the director's own address.
func (l leg) facing() []*inventory.NIC {
	if n := l.server.Host.NICToward(l.VIP); n != nil {
		return []*inventory.NIC{n}
	}
	return nil
}

// replying lists the NICs through which replies leave, whose source is the
// VIP, beside those that face it.
func (l leg) replying() []*inventory.NIC {
	out := l.facing()
	for _, c := range l.clients() {
		if to, ok := l.clientAddress(c); ok {
			if n, _ := l.server.Host.Egress(to); n != nil && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// staticNeighbour is the third way to solve the ARP problem: those who send to
// the VIP from its own segment know the director's MAC for good. It needs the
// facts, since the inventory names no MACs.
func (s *service) staticNeighbour(h *inventory.Host) []Want {
	if s.ARP != inventory.ARPStatic || s.VIP.Is6() {
		return nil
	}
	d := s.Directors[0]
	nic, from := d.NICToward(s.VIP), h.NICToward(s.VIP)
	if nic == nil || from == nil || slices.Contains(s.Directors, h) || !h.Has(inventory.RoleClient) && !h.Has(inventory.RoleGateway) {
		return nil
	}
	mac := s.facts[d.Name][nic.Name].MAC
	if mac == "" {
		return nil
	}
	role := inventory.RoleClient
	if h.Has(inventory.RoleGateway) {
		role = inventory.RoleGateway
	}
	return []Want{{
		Item: state.Neighbour{Link: from.Name, Address: s.VIP, MAC: mac}, Role: role,
		Reason: Reason{ReasonStaticNeighbour, "keeps it from learning another MAC address for the VIP"},
	}}
}
