// Package statetest makes state for tests: hosts, and sample items of every kind for tests that
// walk all kinds.
package statetest

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// Items returns items of every kind, in the order of state.Compare. Every field
// is set in at least one of them, and a kernel could have each.
func Items() []state.Item {
	web := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.10:80")}
	mark := state.ServiceID{FWMark: 7, IPv6: true}
	return []state.Item{
		state.Module{Name: "ip_vs_rr"},
		state.FOUPort{Port: 5555},
		state.FOUPort{Port: 5555, IPv6: true},
		state.Link{Name: "eth0", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true},
		state.TunnelLink{Name: "tun0", Type: state.TunnelGRE, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2"), TTL: 64},
		state.Up{Link: "tunl0"},
		state.Sysctl{Name: state.ConfSysctl("ipv4", "eth0.100", "arp_ignore"), Setting: "1"},
		state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.0.2.10/32")},
		state.Address{Link: "tun0", Prefix: netip.MustParsePrefix("192.0.2.11/32"), Peer: netip.MustParseAddr("192.0.2.12")},
		state.Address{Link: "lo", Prefix: netip.MustParsePrefix("2001:db8::10/128"), Deprecated: true},
		state.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Link: "tun0", Source: netip.MustParseAddr("192.0.2.11"), Protocol: 4},
		state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.1"), Link: "eth0", Metric: 100, Protocol: state.RouteProtocol},
		state.Neighbour{Link: "eth0", Address: netip.MustParseAddr("192.0.2.10"), MAC: "02:00:00:00:00:01"},
		state.FirewallRule{Family: state.FirewallIPv4, Table: "nat", Chain: "POSTROUTING", Spec: "-j MASQUERADE"},
		state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300},
		state.Service{ServiceID: mark, Scheduler: "sh", Flags: "flag-1,flag-2", Persistence: 300, PersistenceBits: 64, Engine: "sip", OnePacket: true},
		state.Service{ServiceID: web, Scheduler: "rr", PersistenceBits: 32},
		state.Destination{Service: web, Address: netip.MustParseAddrPort("192.0.2.9:80"), Forward: state.ForwardDR, Weight: 1},
		state.Destination{
			Service: web, Address: netip.MustParseAddrPort("192.0.2.10:80"), Forward: state.ForwardTUN, Weight: 3,
			UpperThreshold: 100, LowerThreshold: 50,
			Tunnel: state.Tunnel{Type: "gue", Port: 5555, Checksum: true, RemoteChecksum: true},
		},
		state.SyncDaemon{Role: state.SyncMaster, Interface: "eth0", ID: 1, MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1},
	}
}

// Host returns a host state that holds the given items; of several with the
// same ID the last one stays.
func Host(items ...state.Item) state.Host {
	h := make(state.Host, len(items))
	for _, i := range items {
		h.Put(i)
	}
	return h
}
