package modes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// service is a virtual service in its inventory.
type service struct {
	*inventory.Service
	inv   *inventory.Inventory
	facts Facts
	// at are the legs of all services to a real server, in their order.
	at map[*inventory.Host][]leg
}

func services(inv *inventory.Inventory, facts Facts) []*service {
	out := make([]*service, len(inv.Services))
	at := map[*inventory.Host][]leg{}
	for i, s := range inv.Services {
		out[i] = &service{s, inv, facts, at}
		for _, l := range out[i].legs() {
			at[l.server.Host] = append(at[l.server.Host], l)
		}
	}
	return out
}

// legs are the ways from every director to every real server.
func (s *service) legs() []leg {
	var out []leg
	for _, d := range s.Directors {
		for _, r := range s.RealServers {
			out = append(out, leg{s, d, r})
		}
	}
	return out
}

func (s *service) problem(path, fix, format string, args ...any) inventory.Problem {
	return s.inv.Problem(path, fmt.Sprintf("service %s: ", s.Name)+fmt.Sprintf(format, args...), fix)
}

// demands are the rules that no mode is free of.
func (s *service) demands() inventory.Problems {
	var out inventory.Problems
	for _, r := range s.RealServers {
		if len(s.Directors) > 1 && slices.Contains(s.Directors, r.Host) {
			out = append(out, s.problem(r.Path, "use another host, or this director alone",
				"%s is one of several directors and a real server at once; it would schedule again what another director gives it, and two such would send packets in a circle", r.Host.Name))
		}
	}
	for _, c := range s.clients() {
		if !s.entry(c).IsValid() {
			out = append(out, s.problem(c.Path, "give "+c.Name+" a gateway or a route that leads to the VIP, or a NIC in its network",
				"client %s has no route to the VIP %s", c.Name, s.VIP))
		}
	}
	return out
}

// clients are the inventory's clients that use the service from outside: hosts
// with an address of its family that are not its director or real server.
func (s *service) clients() []*inventory.Host {
	var out []*inventory.Host
	for _, h := range s.inv.Hosts {
		if h.Has(inventory.RoleClient) && NoClient(s.Service, h) == "" {
			out = append(out, h)
		}
	}
	return out
}

// NoClient says why a host with the role client cannot use a service from outside;
// empty: it can.
func NoClient(s *inventory.Service, h *inventory.Host) string {
	switch {
	case slices.Contains(s.Directors, h):
		return "it is the service's director and would talk to itself"
	case slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return r.Host == h }):
		return "it is a real server of the service and would talk to itself"
	case !speaks(h, s.VIP.Is6()):
		return "it has no address of the VIP's family"
	default:
		return ""
	}
}

// ports are those on which the service is reached; 0 stands for every port.
func (s *service) ports() []uint16 {
	if s.FWMark != 0 {
		return s.Ports
	}
	return []uint16{s.Port}
}

// Entry is the address at which a client finds a service: the VIP, or what a
// gateway forwards to it when the VIP is not on the client's own segment. The
// zero value: the client does not reach it.
func Entry(inv *inventory.Inventory, s *inventory.Service, client *inventory.Host) netip.AddrPort {
	return (&service{Service: s, inv: inv}).entry(client)
}

func (s *service) entry(client *inventory.Host) netip.AddrPort {
	vip := netip.AddrPortFrom(s.VIP, s.ports()[0])
	if client.NICToward(s.VIP) != nil {
		return vip
	}
	for _, g := range s.inv.Hosts {
		for _, f := range g.Forwards {
			if f.Protocol == s.Protocol && f.To == vip {
				if nic, _ := client.Egress(f.Listen.Addr()); nic != nil {
					return f.Listen
				}
			}
		}
	}
	if nic, _ := client.Egress(s.VIP); nic != nil {
		return vip
	}
	return netip.AddrPort{}
}

// clientAddress is the address a client's packets for the service come from.
func (s *service) clientAddress(client *inventory.Host) (netip.Addr, bool) {
	to := s.entry(client)
	if !to.IsValid() {
		return netip.Addr{}, false
	}
	return client.SourceFor(to.Addr())
}

// id is the service's identity in the kernel.
func (s *service) id() state.ServiceID {
	if s.FWMark != 0 {
		return state.ServiceID{FWMark: s.FWMark, IPv6: s.VIP.Is6()}
	}
	return state.ServiceID{
		Protocol: state.Protocol(s.Protocol),
		Address:  netip.AddrPortFrom(s.VIP, s.Port),
	}
}

// virtualService is what the director's kernel is told of the service.
func (s *service) virtualService() []Want {
	out := []Want{
		{
			Item: state.Module{Name: "ip_vs"}, Role: inventory.RoleDirector,
			Reason: Reason{ReasonIPVS, "virtual services live in it"},
		},
		{
			Item: state.Module{Name: "ip_vs_" + s.Scheduler}, Role: inventory.RoleDirector,
			Reason: Reason{ReasonScheduler, "the scheduler"},
		},
	}
	if e := s.Persistence.Engine; e != "" {
		out = append(out, Want{
			Item: state.Module{Name: "ip_vs_pe_" + e}, Role: inventory.RoleDirector,
			Reason: Reason{ReasonPersistence, "the persistence engine"},
		})
	}
	return append(out, Want{
		Item: state.Service{
			ServiceID:       s.id(),
			Scheduler:       s.Scheduler,
			Flags:           strings.Join(s.Flags, ","),
			Persistence:     s.Persistence.Timeout,
			PersistenceBits: s.persistenceBits(),
			Engine:          s.Persistence.Engine,
			OnePacket:       s.OnePacket,
		},
		Role: inventory.RoleDirector, Reason: Reason{ReasonService, s.Name},
	})
}

func (s *service) persistenceBits() int {
	if s.Persistence.Bits != 0 {
		return s.Persistence.Bits
	}
	return s.VIP.BitLen()
}

// marks sets the firewall mark of a fwmark service on its packets.
func (s *service) marks() []Want {
	if s.FWMark == 0 {
		return nil
	}
	var out []Want
	for _, port := range s.Ports {
		out = append(out, Want{
			Item: firewall.Mark{VIP: s.VIP, Protocol: state.Protocol(s.Protocol), Port: port, Mark: s.FWMark}.Rule(),
			Role: inventory.RoleDirector, Reason: Reason{ReasonMark, "the mark by which IPVS knows the service"},
		})
	}
	return out
}

// destination is a real server as the director's kernel is told of it.
func (l leg) destination() Want {
	d := state.Destination{
		Service:        l.id(),
		Address:        netip.AddrPortFrom(l.rip(), l.server.Port),
		Forward:        l.traits().Forward,
		Weight:         l.server.Weight,
		UpperThreshold: l.server.UpperThreshold,
		LowerThreshold: l.server.LowerThreshold,
	}
	return Want{Item: d, Role: inventory.RoleDirector, Reason: Reason{ReasonDestination, l.server.Host.Name}}
}

// rip is the real server's address as the director uses it: the one the
// inventory names, or the one on a segment both share, or the first that the
// director has a route to, of the VIP's family if there is one.
func (l leg) rip() netip.Addr {
	if l.server.Address.IsValid() {
		return l.server.Address
	}
	for _, is6 := range []bool{l.VIP.Is6(), !l.VIP.Is6()} {
		if _, _, a := neighbourOf(l.director, l.server.Host, is6); a.IsValid() {
			return a
		}
		for _, n := range l.server.Host.NICs {
			if a, ok := address(n, is6); ok {
				if nic, _ := l.director.Egress(a); nic != nil {
					return a
				}
			}
		}
	}
	return netip.Addr{}
}

// dip is the director's address towards the real server.
func (l leg) dip() (netip.Addr, bool) {
	rip := l.rip()
	if !rip.IsValid() {
		return netip.Addr{}, false
	}
	return l.director.SourceFor(rip)
}

// directorVIP puts the VIP where clients look for it: on the device the
// inventory names, else on the director's NIC in the VIP's network, else on lo.
func (s *service) directorVIP(d *inventory.Host) []Want {
	if d.NICWith(s.VIP) != nil {
		return nil // the director's own address serves as VIP
	}
	link, reason := "lo", "clients are routed here for the VIP"
	if nic := d.NICToward(s.VIP); nic != nil {
		link, reason = nic.Name, "clients find the VIP here; announced on the segment"
	}
	var out []Want
	if s.VIPDevice != "" && s.VIPDevice != link {
		link, reason = s.VIPDevice, "clients find the VIP here (vip_device)"
		out = append(fallbackDevice(link, inventory.RoleDirector, Reason{ReasonVIP, "for the VIP (vip_device)"}), Want{
			Item: state.Up{Link: link}, Role: inventory.RoleDirector, Reason: Reason{ReasonVIP, "for the VIP (vip_device)"},
		})
	}
	return append(out, Want{Item: s.vipOn(link), Role: inventory.RoleDirector, Reason: Reason{ReasonVIP, reason}})
}

// vipOn is the VIP as an address of a device. An IPv6 VIP is deprecated, so
// that the host never picks it as the source of connections of its own; an
// IPv4 /32 is not picked while the NIC has an address of its own.
func (s *service) vipOn(link string) state.Address {
	return state.Address{Link: link, Prefix: hostPrefix(s.VIP), Deprecated: s.VIP.Is6()}
}

// hostPrefix is an address alone: /32 or /128. Anything shorter on lo would
// make the whole subnet local.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func family(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}
