// Package modes knows the rules of every forwarding mode. From an inventory it
// computes what each host must look like, and why, and it refuses topologies
// in which packets could not arrive. It is pure: values in, values out.
//
// Each mode has a file of its own with the same parts in the same order: what
// it demands of the topology, and what each role must look like.
package modes

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Want is one item a host must have, and why.
type Want struct {
	Item   state.Item
	Role   inventory.Role // for which role of the host; empty: for the host itself
	Reason string         // why, in a few words, for the plan
	// MetBy lists other items that serve as well: when the host has any of
	// them, the want is met and nothing is changed. The kernel uses the larger
	// of net.ipv4.conf.all.arp_ignore and the device's own, for one.
	MetBy []state.Item
}

// Desired is what every host of a topology must have, by host name. Hosts that
// need nothing are there with an empty list.
type Desired map[string][]Want

// mode is what a forwarding mode is made of.
type mode struct {
	// demands returns what stands in the way of packets, as the inventory
	// tells it.
	demands func(*service) inventory.Problems
	// director and realServer return what a host of that role must have.
	director   func(*service, *inventory.Host) []Want
	realServer func(*service, *inventory.RealServer) []Want
}

func modeOf(m inventory.Mode) mode {
	switch m {
	case inventory.ModeDR:
		return dr()
	default:
		return unknown()
	}
}

// unknown stands for a mode the inventory accepts and this package has no file
// for, which is a bug: it lets nothing pass.
func unknown() mode {
	return mode{
		demands: func(s *service) inventory.Problems {
			return inventory.Problems{s.problem(s.Path+".mode", "", "lvsform has no rules for mode %s; this is a bug", s.Mode)}
		},
		director:   func(*service, *inventory.Host) []Want { return nil },
		realServer: func(*service, *inventory.RealServer) []Want { return nil },
	}
}

// service is a virtual service in its inventory.
type service struct {
	*inventory.Service
	inv *inventory.Inventory
}

// Check returns every static rule the inventory breaks, in the order of the
// services.
func Check(inv *inventory.Inventory) inventory.Problems {
	var out inventory.Problems
	for _, s := range inv.Services {
		sv := &service{s, inv}
		out = append(out, modeOf(s.Mode).demands(sv)...)
	}
	return out
}

// Desire computes what every host must have. The inventory must pass Check.
func Desire(inv *inventory.Inventory) Desired {
	out := Desired{}
	for _, h := range inv.Hosts {
		out[h.Name] = nicAddresses(h)
	}
	for _, s := range inv.Services {
		sv := &service{s, inv}
		m := modeOf(s.Mode)
		for _, d := range s.Directors {
			out.add(d, m.director(sv, d))
		}
		for _, r := range s.RealServers {
			out.add(r.Host, m.realServer(sv, r))
		}
	}
	return out
}

// add merges wants into a host's; of several for one item the first stays.
func (d Desired) add(h *inventory.Host, wants []Want) {
	for _, w := range wants {
		same := func(x Want) bool { return state.IDOf(x.Item) == state.IDOf(w.Item) }
		if !slices.ContainsFunc(d[h.Name], same) {
			d[h.Name] = append(d[h.Name], w)
		}
	}
}

// nicAddresses is what manage_addresses asks for.
func nicAddresses(h *inventory.Host) []Want {
	if !h.ManageAddresses {
		return nil
	}
	var out []Want
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			out = append(out, Want{
				Item:   state.Address{Link: n.Name, Prefix: a},
				Reason: "the NIC's own address (manage_addresses)",
			})
		}
	}
	return out
}

// id is the service's identity in the kernel.
func (s *service) id() state.ServiceID {
	return state.ServiceID{
		Protocol: state.Protocol(s.Protocol),
		Address:  netip.AddrPortFrom(s.VIP, s.Port),
	}
}

// hostPrefix is an address alone: /32 or /128. Anything shorter on lo would
// make the whole subnet local.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// virtualService is what the director's kernel is told of the service, the
// same in every mode but for the destinations.
func (s *service) virtualService() []Want {
	return []Want{
		{
			Item: state.Module{Name: "ip_vs"}, Role: inventory.RoleDirector,
			Reason: "virtual services live in it",
		},
		{
			Item: state.Module{Name: "ip_vs_" + s.Scheduler}, Role: inventory.RoleDirector,
			Reason: "the scheduler",
		},
		{
			Item: state.Service{
				ServiceID:       s.id(),
				Scheduler:       s.Scheduler,
				PersistenceBits: s.VIP.BitLen(),
			},
			Role: inventory.RoleDirector, Reason: s.Name,
		},
	}
}

// directorVIP puts the VIP where clients look for it: on the director's NIC in
// the VIP's network, or on lo when the VIP lies in none and is routed there.
func (s *service) directorVIP(d *inventory.Host) []Want {
	if nic := ownerOf(d, s.VIP); nic != nil {
		return nil // the director's own address serves as VIP
	}
	link, reason := "lo", "clients are routed here for the VIP"
	if nic := onLink(d, s.VIP); nic != nil {
		link, reason = nic.Name, "clients find the VIP here; announced on the segment"
	}
	return []Want{{Item: s.vipOn(link), Role: inventory.RoleDirector, Reason: reason}}
}

// vipOn is the VIP as an address of a device. An IPv6 VIP is deprecated, so
// that the host never picks it as the source of connections of its own; an
// IPv4 /32 is not picked while the NIC has an address of its own.
func (s *service) vipOn(link string) state.Address {
	return state.Address{Link: link, Prefix: hostPrefix(s.VIP), Deprecated: s.VIP.Is6()}
}

// clients are the inventory's clients that use the service from outside: hosts
// with an address of its family that are not its director or real server.
func (s *service) clients() []*inventory.Host {
	var out []*inventory.Host
	for _, h := range s.inv.Hosts {
		carries := slices.Contains(s.Directors, h) ||
			slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return r.Host == h })
		if h.Has(inventory.RoleClient) && !carries && speaks(h, s.VIP.Is6()) {
			out = append(out, h)
		}
	}
	return out
}

func (s *service) problem(path, fix, format string, args ...any) inventory.Problem {
	return s.inv.Problem(path, fmt.Sprintf("service %s: ", s.Name)+fmt.Sprintf(format, args...), fix)
}
