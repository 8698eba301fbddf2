package kerneltest

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Rules are firewall rules in the forms that the forwarding modes use. The
// first of a chain makes it, the last takes it away.
func rules() []state.FirewallRule {
	return []state.FirewallRule{
		// fullnat: to one local address, to a pool, for one protocol
		{Family: "ipv4", Table: "nat", Chain: "POSTROUTING", Spec: "-m ipvs --vaddr 192.0.2.10 --vport 80 -j SNAT --to-source 192.0.2.1"},
		{Family: "ipv4", Table: "nat", Chain: "POSTROUTING", Spec: "-m ipvs --vproto 6 --vaddr 192.0.2.10 --vport 80 -j SNAT --to-source 192.0.2.1-192.0.2.4"},
		{Family: "ipv6", Table: "nat", Chain: "POSTROUTING", Spec: "-m ipvs --vproto 17 --vaddr 2001:db8::10 --vport 80 -j SNAT --to-source 2001:db8::1"},
		{Family: "ipv6", Table: "nat", Chain: "POSTROUTING", Spec: "-m ipvs --vaddr 2001:db8::10 --vport 80 -j SNAT --to-source 2001:db8::1-2001:db8::4"},
		// tun and dr: another port on the real server
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"},
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -i tunl0 -p udp -m udp --dport 80 -j REDIRECT --to-ports 8080"},
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p sctp -m sctp --dport 80 -j REDIRECT --to-ports 8080"},
		{Family: "ipv6", Table: "nat", Chain: "PREROUTING", Spec: "-d 2001:db8::10/128 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080"},
		// gateway: port forwards
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 198.51.100.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.10:80"},
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 198.51.100.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 192.0.2.10:53"},
		{Family: "ipv4", Table: "nat", Chain: "PREROUTING", Spec: "-d 198.51.100.1/32 -p sctp -m sctp --dport 80 -j DNAT --to-destination 192.0.2.10:80"},
		{Family: "ipv6", Table: "nat", Chain: "PREROUTING", Spec: "-d 2001:db8::10/128 -p tcp -m tcp --dport 80 -j DNAT --to-destination [2001:db8::11]:80"},
		// tun: room for the tunnel's header
		{Family: "ipv4", Table: "mangle", Chain: "OUTPUT", Spec: "-s 192.0.2.10/32 -p tcp -m tcp --sport 80 --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440"},
		{Family: "ipv6", Table: "mangle", Chain: "OUTPUT", Spec: "-s 2001:db8::10/128 -p tcp -m tcp --sport 80 --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440"},
		// services by firewall mark
		{Family: "ipv4", Table: "mangle", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"},
		{Family: "ipv4", Table: "mangle", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p udp -m udp --dport 53 -j MARK --set-xmark 0x7/0xffffffff"},
		{Family: "ipv4", Table: "mangle", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p sctp -m sctp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"},
		{Family: "ipv4", Table: "mangle", Chain: "PREROUTING", Spec: "-d 192.0.2.10/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x7/0xffffffff"},
		{Family: "ipv6", Table: "mangle", Chain: "PREROUTING", Spec: "-d 2001:db8::10/128 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"},
		// dr: ARP kept quiet by arptables
		{Family: "arp", Table: "filter", Chain: "INPUT", Spec: "-d 192.0.2.10 -j DROP"},
		{Family: "arp", Table: "filter", Chain: "INPUT", Spec: "-i lvs0 -d 192.0.2.10 --opcode 1 -j DROP"},
		{Family: "arp", Table: "filter", Chain: "OUTPUT", Spec: "-s 192.0.2.10 -j mangle --mangle-ip-s 192.0.2.21"},
		{Family: "arp", Table: "filter", Chain: "OUTPUT", Spec: "-o lvs0 -s 192.0.2.11 -j mangle --mangle-ip-s 192.0.2.21"},
	}
}

func ruleSteps() []step {
	all := rules()
	out := []step{{name: "remove a rule before any", change: remove(all[0]), fails: unix.ENOENT}}
	for _, r := range all {
		out = append(out, step{name: "add rule", change: add(r)})
	}
	out = append(out,
		step{name: "add rule again", change: add(all[0]), fails: unix.EEXIST},
		step{name: "add rule again", change: add(all[len(all)-1]), fails: unix.EEXIST})
	for _, spec := range []string{
		"-d 192.0.2.10 -j DROP", // prints as /32
		"-j ACCEPT; reboot",
		"-t nat -j ACCEPT",
		"-F INPUT -j ACCEPT",
		"-d 192.0.2.10/32",
		"",
	} {
		r := state.FirewallRule{Family: state.FirewallIPv4, Table: "filter", Chain: "INPUT", Spec: spec}
		out = append(out, step{name: "wrong rule", change: add(r), failsSomehow: true})
	}
	for _, r := range []state.FirewallRule{
		{Family: "bridge", Table: "filter", Chain: "INPUT", Spec: "-j DROP"},
		{Family: state.FirewallIPv4, Table: "filters", Chain: "INPUT", Spec: "-j DROP"},
		{Family: state.FirewallIPv4, Table: "filter", Chain: "DOCKER", Spec: "-j DROP"},
	} {
		out = append(out, step{name: "rule in no chain", change: add(r), fails: unix.EINVAL})
	}
	out = append(out, step{name: "modify a rule", change: modify(all[0], all[0]), failsSomehow: true})
	for _, r := range all {
		out = append(out, step{name: "remove rule", change: remove(r)})
	}
	return append(out, step{name: "remove rule again", change: remove(all[0]), fails: unix.ENOENT})
}

func timeoutSteps() []step {
	kernels, ours := state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}, state.Timeouts{TCP: 7200, TCPFin: 60, UDP: 30}
	return []step{
		{name: "set timeouts", change: modify(kernels, ours)},
		{name: "set timeouts that came with the module", change: add(kernels)},
		{name: "timeout of 0", change: modify(kernels, state.Timeouts{TCP: 900, UDP: 300}), fails: unix.EINVAL},
		{name: "remove timeouts", change: remove(kernels), failsSomehow: true},
	}
}

func rr(id state.ServiceID) state.Service {
	s := state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32}
	if id.Is6() {
		s.PersistenceBits = 128
	}
	return s
}

func vip(p state.Protocol, addr string) state.ServiceID {
	return state.ServiceID{Protocol: p, Address: netip.MustParseAddrPort(addr)}
}

func serviceSteps() []step {
	persistent := rr(vip(state.TCP, "192.0.2.10:80"))
	persistent.Scheduler, persistent.Persistence, persistent.PersistenceBits = "sh", 300, 24
	persistent.Flags = "flag-1,flag-2"
	ops := rr(vip(state.UDP, "[2001:db8::10]:53"))
	ops.OnePacket = true
	sip := rr(vip(state.UDP, "192.0.2.10:5060"))
	sip.Persistence, sip.Engine = 60, "sip"
	longer := sip
	longer.Persistence, longer.Scheduler = 120, "wlc"
	plain := longer
	plain.Engine = ""
	narrow := rr(vip(state.TCP, "[2001:db8::10]:443"))
	narrow.Persistence, narrow.PersistenceBits = 10, 64
	any := rr(vip(state.TCP, "192.0.2.10:0"))
	anyPersistent := any
	anyPersistent.Persistence = 360
	wrongBits := rr(vip(state.TCP, "192.0.2.11:80"))
	wrongBits.PersistenceBits = 64
	wrongProtocol := rr(vip("icmp", "192.0.2.11:80"))
	wrongScheduler := rr(vip(state.TCP, "192.0.2.11:80"))
	wrongScheduler.Scheduler = "lvsform"
	bareEngine := rr(vip(state.UDP, "192.0.2.11:5060"))
	bareEngine.Engine = "sip"

	out := []step{
		{name: "add service", change: add(rr(persistent.ServiceID))},
		{name: "add it again", change: add(rr(persistent.ServiceID)), fails: unix.EEXIST},
		{name: "modify service", change: modify(rr(persistent.ServiceID), persistent)},
		{name: "add IPv6 service", change: add(rr(ops.ServiceID))},
		{name: "one-packet scheduling", change: modify(rr(ops.ServiceID), ops)},
		{name: "add service with engine", change: add(sip)},
		{name: "modify it, engine stays", change: modify(sip, longer)},
		{name: "take the engine away", change: modify(longer, plain)},
		{name: "give the engine back", change: modify(plain, sip)},
		{name: "remove service with engine", change: remove(sip)},
		{name: "add IPv6 service with netmask", change: add(narrow)},
		{name: "remove IPv6 service with netmask", change: remove(narrow)},
		{name: "add SCTP service", change: add(rr(vip(state.SCTP, "192.0.2.10:80")))},
		{name: "remove SCTP service", change: remove(rr(vip(state.SCTP, "192.0.2.10:80")))},
		{name: "any port without persistence", change: add(any), fails: unix.EINVAL},
		{name: "any port with persistence", change: add(anyPersistent)},
		{name: "remove service of any port", change: remove(anyPersistent)},
		{name: "modify a service that is not there", change: modify(anyPersistent, anyPersistent), fails: unix.ESRCH},
		{name: "IPv6 netmask on an IPv4 service", change: add(wrongBits), fails: unix.EINVAL},
		{name: "unknown protocol", change: add(wrongProtocol), failsSomehow: true},
		{name: "unknown scheduler", change: add(wrongScheduler), failsSomehow: true},
		{name: "engine without persistence", change: add(bareEngine), fails: unix.EINVAL},
	}
	for _, id := range []state.ServiceID{{FWMark: 7}, {FWMark: 7, IPv6: true}} {
		out = append(out, step{name: "add service by mark", change: add(rr(id))})
	}
	return append(out,
		step{name: "add service by mark again", change: add(rr(state.ServiceID{FWMark: 7})), fails: unix.EEXIST},
		step{name: "remove service by mark", change: remove(rr(state.ServiceID{FWMark: 7}))},
		step{name: "remove it again", change: remove(rr(state.ServiceID{FWMark: 7})), fails: unix.ESRCH},
		step{name: "remove IPv6 service by mark", change: remove(rr(state.ServiceID{FWMark: 7, IPv6: true}))},
		step{name: "remove service", change: remove(persistent)},
		step{name: "remove it again", change: remove(persistent), fails: unix.ESRCH},
		step{name: "remove IPv6 service", change: remove(ops)})
}

func dest(service state.ServiceID, addr string, weight uint32) state.Destination {
	return state.Destination{Service: service, Address: netip.MustParseAddrPort(addr), Forward: state.ForwardDR, Weight: weight}
}

func destinationSteps() []step {
	v4, v6 := vip(state.TCP, "192.0.2.10:80"), vip(state.UDP, "[2001:db8::10]:53")
	plain := dest(v4, "192.0.2.21:80", 1)
	heavy := plain
	heavy.Weight, heavy.UpperThreshold, heavy.LowerThreshold = 5, 100, 50
	ipip := dest(v4, "192.0.2.22:80", 1)
	ipip.Forward = state.ForwardTUN
	gue := ipip
	gue.Tunnel = state.Tunnel{Type: "gue", Port: 5555, Checksum: true}
	remote := gue
	remote.Tunnel = state.Tunnel{Type: "gue", Port: 5556, RemoteChecksum: true}
	gre := ipip
	gre.Tunnel = state.Tunnel{Type: "gre", Checksum: true}
	masq := dest(v4, "192.0.2.23:8080", 0)
	masq.Forward = state.ForwardNAT
	inIPv6 := dest(v4, "[2001:db8::22]:80", 1)
	inIPv6.Forward = state.ForwardTUN
	mixed := dest(v4, "[2001:db8::23]:80", 1)
	portless := gue
	portless.Tunnel.Port = 0
	tunnelled := plain
	tunnelled.Address, tunnelled.Tunnel = netip.MustParseAddrPort("192.0.2.24:80"), state.Tunnel{Type: "gre"}
	upsideDown := dest(v4, "192.0.2.25:80", 1)
	upsideDown.UpperThreshold, upsideDown.LowerThreshold = 50, 100
	unknown := dest(v4, "192.0.2.26:80", 1)
	unknown.Forward = "fullnat"
	marked := state.ServiceID{FWMark: 7}

	return []step{
		{name: "destination before its service", change: add(plain), fails: unix.ESRCH},
		{name: "add service", change: add(rr(v4))},
		{name: "add IPv6 service", change: add(rr(v6))},
		{name: "add destination", change: add(plain)},
		{name: "add it again", change: add(plain), fails: unix.EEXIST},
		{name: "modify destination", change: modify(plain, heavy)},
		{name: "modify it back", change: modify(heavy, plain)},
		{name: "modify a destination that is not there", change: modify(dest(v4, "192.0.2.99:80", 1), dest(v4, "192.0.2.99:80", 2)), fails: unix.ENOENT},
		{name: "add tunnel destination", change: add(gue)},
		{name: "change its encapsulation", change: modify(gue, ipip)},
		{name: "change it to gre", change: modify(ipip, gre)},
		{name: "change it to gue with remote checksum", change: modify(gre, remote)},
		{name: "change it back", change: modify(remote, ipip)},
		{name: "gue without a port", change: modify(ipip, portless), fails: unix.EINVAL},
		{name: "encapsulation without tunnel", change: add(tunnelled), fails: unix.EINVAL},
		{name: "unknown forwarding method", change: add(unknown), fails: unix.EINVAL},
		{name: "thresholds upside down", change: add(upsideDown), fails: unix.ERANGE},
		{name: "add NAT destination with weight 0", change: add(masq)},
		{name: "add IPv6 destination", change: add(dest(v6, "[2001:db8::21]:53", 1))},
		{name: "IPv6 real server of an IPv4 service, not tunnelled", change: add(mixed), fails: unix.EINVAL},
		{name: "IPv6 real server of an IPv4 service, tunnelled", change: add(inIPv6)},
		{name: "sync daemon beside it", change: add(master()), fails: unix.EINVAL},
		{name: "remove it", change: remove(inIPv6)},
		{name: "remove destination", change: remove(ipip)},
		{name: "remove it again", change: remove(ipip), fails: unix.ENOENT},
		{name: "add service by mark", change: add(rr(marked))},
		{name: "add destination to it", change: add(dest(marked, "192.0.2.21:0", 1))},
		{name: "remove service by mark with its destination", change: remove(rr(marked))},
		{name: "remove service with its destinations", change: remove(rr(v4))},
		{name: "remove IPv6 service", change: remove(rr(v6))},
	}
}

func master() state.SyncDaemon {
	return state.SyncDaemon{Role: state.SyncMaster, Interface: Device, ID: 1, MaxLen: 1472, Group: ip("224.0.0.81"), Port: 8848, TTL: 1}
}

func syncSteps() []step {
	other := state.SyncDaemon{Role: state.SyncMaster, Interface: Spare, ID: 2, MaxLen: 1400, Group: ip("224.0.0.82"), Port: 8849, TTL: 2}
	backup := other
	backup.Role, backup.ID, backup.Group = state.SyncBackup, 0, ip("ff02::81")
	unsaid := backup
	unsaid.MaxLen = 0
	unicast := backup
	unicast.Group = ip("192.0.2.1")
	nowhere := backup
	nowhere.Interface = "lvs9"
	return []step{
		{name: "start sync daemon", change: add(master())},
		{name: "start it again", change: add(master()), fails: unix.EEXIST},
		{name: "modify sync daemon", change: modify(master(), other)},
		{name: "modify it to what cannot be", change: modify(other, func() state.SyncDaemon { d := other; d.Interface = "lvs9"; return d }()), fails: unix.ENODEV},
		{name: "start backup beside it", change: add(backup)},
		{name: "stop backup", change: remove(backup)},
		{name: "stop it again", change: remove(backup), fails: unix.ESRCH},
		{name: "sync daemon with the kernel's choice of length", change: add(unsaid), fails: unix.EINVAL},
		{name: "sync daemon with a unicast group", change: add(unicast), fails: unix.EINVAL},
		{name: "sync daemon on a device that is not there", change: add(nowhere), fails: unix.ENODEV},
		{name: "modify a sync daemon that is not there", change: modify(backup, backup), fails: unix.ESRCH},
		{name: "stop sync daemon", change: remove(other)},
	}
}
