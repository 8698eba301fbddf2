package statetest

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// Versions returns a list for every kind that lvsform changes: items with one
// key, between every two of which a host may have to be changed.
func Versions() [][]state.Item {
	ip := netip.MustParseAddr
	web := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}
	tunnel := func(kind, local, remote string, more ...func(*state.TunnelLink)) state.Item {
		t := state.TunnelLink{Name: "tun0", Type: kind, TTL: 64}
		if local != "" {
			t.Local = ip(local)
		}
		if remote != "" {
			t.Remote = ip(remote)
		}
		for _, m := range more {
			m(&t)
		}
		return t
	}
	checksum := func(t *state.TunnelLink) { t.Checksum = true }
	inherit := func(t *state.TunnelLink) { t.TTL = 0 }
	route := func(r state.Route) state.Item {
		r.To = netip.MustParsePrefix("198.51.100.0/24")
		if r.Protocol == 0 {
			r.Protocol = state.RouteProtocol
		}
		return r
	}
	service := func(s state.Service) state.Item {
		s.ServiceID = web
		if s.PersistenceBits == 0 {
			s.PersistenceBits = 32
		}
		return s
	}
	destination := func(d state.Destination) state.Item {
		d.Service, d.Address = web, netip.MustParseAddrPort("192.0.2.9:80")
		return d
	}
	daemon := func(d state.SyncDaemon) state.Item {
		d.Role, d.Group = state.SyncMaster, ip("224.0.0.81")
		if d.Port == 1 {
			d.Port, d.Group = 8849, ip("224.0.0.82")
		} else {
			d.Port = 8848
		}
		return d
	}
	return [][]state.Item{
		{state.Module{Name: "ip_vs_rr"}},
		{state.FOUPort{Port: 5555}},
		{
			tunnel(state.TunnelIPIP, "192.0.2.3", "192.0.2.9"), tunnel(state.TunnelIPIP, "192.0.2.3", "192.0.2.8"), tunnel(state.TunnelIPIP, "192.0.2.3", ""),
			tunnel(state.TunnelIPIP, "", "192.0.2.9", inherit), tunnel(state.TunnelSIT, "192.0.2.3", "192.0.2.9"),
			tunnel(state.TunnelGRE, "192.0.2.3", "192.0.2.9"), tunnel(state.TunnelGRE, "192.0.2.3", "192.0.2.9", checksum), tunnel(state.TunnelGRE, "192.0.2.3", ""),
			tunnel(state.TunnelIP6TNL, "2001:db8::3", "2001:db8::9"), tunnel(state.TunnelIP6TNL, "2001:db8::3", ""),
			tunnel(state.TunnelIP6GRE, "2001:db8::3", "2001:db8::9"), tunnel(state.TunnelIP6GRE, "2001:db8::3", "2001:db8::9", checksum),
		},
		{state.Up{Link: "eth1"}},
		{
			state.Sysctl{Name: "net.ipv4.vs.conntrack", Setting: "0"}, state.Sysctl{Name: "net.ipv4.vs.conntrack", Setting: "1"},
		},
		{state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.0.2.30/32")}},
		{
			state.Address{Link: "lo", Prefix: netip.MustParsePrefix("2001:db8::30/128")},
			state.Address{Link: "lo", Prefix: netip.MustParsePrefix("2001:db8::30/128"), Deprecated: true},
		},
		{
			route(state.Route{Via: ip("192.0.2.1"), Link: "eth0"}), route(state.Route{Via: ip("192.0.2.2"), Link: "eth0"}), route(state.Route{Link: "eth0"}),
			route(state.Route{Link: "eth1"}), route(state.Route{Via: ip("192.0.2.1"), Link: "eth0", Source: ip("192.0.2.3"), Protocol: 4}),
		},
		{
			state.Neighbour{Link: "eth0", Address: ip("192.0.2.10"), MAC: "02:00:00:00:00:01"},
			state.Neighbour{Link: "eth0", Address: ip("192.0.2.10"), MAC: "02:00:00:00:00:02"},
		},
		{state.FirewallRule{Family: state.FirewallIPv4, Table: "nat", Chain: "POSTROUTING", Spec: "-j MASQUERADE"}},
		{
			state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}, state.Timeouts{TCP: 600, TCPFin: 60, UDP: 30},
		},
		{
			service(state.Service{Scheduler: "rr"}), service(state.Service{Scheduler: "sh", Flags: "flag-1"}), service(state.Service{Scheduler: "rr", Persistence: 300}),
			service(state.Service{Scheduler: "rr", Persistence: 300, PersistenceBits: 24}), service(state.Service{Scheduler: "rr", Persistence: 300, Engine: "sip"}),
			service(state.Service{Scheduler: "rr", OnePacket: true}),
		},
		{
			destination(state.Destination{Forward: state.ForwardDR, Weight: 1}), destination(state.Destination{Forward: state.ForwardDR}),
			destination(state.Destination{Forward: state.ForwardNAT, Weight: 1}), destination(state.Destination{Forward: state.ForwardTUN, Weight: 1}),
			destination(state.Destination{Forward: state.ForwardTUN, Weight: 1, Tunnel: state.Tunnel{Type: "gue", Port: 5555}}),
			destination(state.Destination{Forward: state.ForwardTUN, Weight: 1, Tunnel: state.Tunnel{Type: "gre", Checksum: true}}),
			destination(state.Destination{Forward: state.ForwardDR, Weight: 1, UpperThreshold: 100, LowerThreshold: 50}),
		},
		{
			daemon(state.SyncDaemon{Interface: "eth0", ID: 1, MaxLen: 1472, TTL: 1}), daemon(state.SyncDaemon{Interface: "eth1", ID: 2, MaxLen: 1400, TTL: 2}),
			daemon(state.SyncDaemon{Interface: "eth0", ID: 1, MaxLen: 1472, TTL: 1, Port: 1}),
		},
	}
}
