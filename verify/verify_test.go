package verify

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/cmd/lvsform/schema/schematest"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
)

// topology is an inventory with a client, a director, a gateway beyond which
// another client is, and two real servers.
func topology(t *testing.T, service string) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse("lvsform.yaml", []byte(`
version: 1
name: verify
networks:
  lan: [192.0.2.0/24, "2001:db8::/64"]
  far: 198.51.100.0/24
hosts:
  client: {role: client,      nics: {eth0: {network: lan, addresses: [192.0.2.7, "2001:db8::7"]}}}
  remote: {role: client,      nics: {eth0: {network: far, address: 198.51.100.7}}, gateway: 198.51.100.1}
  gw:     {role: gateway,     nics: {eth0: {network: far, address: 198.51.100.1}, eth1: {network: lan, address: 192.0.2.1}}}
  lb:     {role: director,    nics: {eth0: {network: lan, addresses: [192.0.2.3, "2001:db8::3"]}}}
  web1:   {role: real-server, nics: {eth0: {network: lan, addresses: [192.0.2.4, "2001:db8::4"]}}, gateway: 192.0.2.1}
  web2:   {role: real-server, nics: {eth0: {network: lan, addresses: [192.0.2.5, "2001:db8::5"]}}, gateway: 192.0.2.1}
services:
- {name: web, directors: [lb], `+service+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// Services of each mode.
const (
	rr      = "vip: 192.0.2.30, port: 80, mode: dr, scheduler: rr, real_servers: [web1, web2]"
	nat     = "vip: 192.0.2.30, port: 80, mode: nat, scheduler: rr, real_servers: [{host: web1, port: 8080}, {host: web2, port: 8080}]"
	tun     = "vip: 192.0.2.30, port: 80, mode: tun, scheduler: rr, real_servers: [web1, {host: web2, tunnel: {type: gue, port: 5555}}]"
	fullnat = "vip: 192.0.2.30, port: 80, mode: fullnat, scheduler: rr, local_addresses: [192.0.2.40, 192.0.2.41], real_servers: [{host: web1, port: 8080}, {host: web2, port: 8080}]"
	// What Kubernetes calls a NodePort: the VIP is the director's own, and only, address.
	nodePort = "vip: 192.0.2.3, port: 30080, mode: fullnat, scheduler: rr, real_servers: [{host: web1, port: 8080}, {host: web2, port: 8080}]"
	syslog   = "vip: 192.0.2.53, port: 514, protocol: udp, replies: none, mode: dr, scheduler: rr, real_servers: [web1, web2]"
	mixed    = "vip: 192.0.2.30, port: 80, mode: dr, scheduler: rr, real_servers: [web1, {host: web2, mode: fullnat, port: 8080}]"
	dns      = "vip: 192.0.2.53, port: 53, protocol: udp, mode: dr, scheduler: rr, real_servers: [web1, web2]"
)

const (
	lbMAC   = "02:00:00:00:00:03"
	web1MAC = "02:00:00:00:00:04"
)

// good is the evidence of a service that works: four probes, in turns.
func good(s *inventory.Service) *evidence {
	ev := &evidence{
		answers: []answer{{"client", "eth0", []string{lbMAC}}},
		owners: map[string][]owner{
			lbMAC:   {{"lb", "eth0", true}},
			web1MAC: {{"web1", "eth0", false}},
		},
	}
	for _, a := range ownLocals(s) {
		ev.locals = append(ev.locals, localAnswer{a, ev.answers[0]})
	}
	vip := netip.AddrPortFrom(s.VIP, s.Port)
	for i := range 4 {
		local := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(40000+i))
		r := s.RealServers[i%len(s.RealServers)]
		rip := netip.AddrPortFrom(r.Host.NICs[0].Addresses[0].Addr(), r.Port)
		p := probe{
			client: "client", entry: vip, vip: vip, local: local,
			director: "lb", row: &flow.Connection{Client: local, Destination: rip, State: "ESTABLISHED"},
			server: r, requests: 2, took: 400 * time.Microsecond,
			full:  &wire.FullSize{Local: local, Octets: 1500, Acknowledged: true},
			reply: &fullReply{sent: wire.FullReplySent{Octets: 1500}, arrived: true},
		}
		from, to := local, vip
		switch r.Mode {
		case inventory.ModeNAT:
			to, p.replies = rip, 1
		case inventory.ModeFullNAT:
			from, to, p.replies = netip.AddrPortFrom(localAddresses(s)[0], local.Port()), rip, 1
		case inventory.ModeTUN:
			e := r.Encapsulation
			p.wrapped = &flow.Sighting{Tunnel: e.Type, OuterFrom: netip.MustParseAddr("192.0.2.3"), OuterTo: rip.Addr(), OuterPort: e.Port, From: from, To: to, Count: 1}
			if e.Type == "" {
				p.wrapped.Tunnel = "ipip"
			}
		}
		p.arrived = &flow.Sighting{From: from, To: to, Opening: true, Mark: uint32(i + 1), Count: 1}
		if s.Protocol == inventory.TCP {
			p.socket = &flow.Socket{Local: netip.AddrPortFrom(to.Addr(), listeningPort(r, s.Port)), Remote: from, State: "ESTABLISHED"}
		} else {
			p.row.State, p.full, p.reply = "UDP", nil, nil
		}
		if s.OnePacket {
			p.row, p.director = nil, ""
		}
		ev.once = s.OnePacket || !s.Answers()
		if p.silent = !s.Answers(); p.silent {
			p.replies = 0
		}
		ev.probes = append(ev.probes, p)
	}
	return ev
}

// failProbe makes a probe one that did not connect.
func failProbe(p *probe, why string, row, socket string) {
	p.failed, p.took = why, 0
	if p.row.State = row; row == "" {
		p.row = nil
	}
	if p.socket.State = socket; socket == "" {
		p.socket, p.arrived = nil, nil
	}
	p.replies, p.full, p.reply = 0, nil, nil
}

func pass(*inventory.Service, *evidence) {}

// static is what the senders to the VIP have in their neighbour tables.
func static(mac string, permanent bool) func(*inventory.Service, *evidence) {
	return func(_ *inventory.Service, ev *evidence) {
		ev.answers = nil
		right := wire.Neighbour{MAC: lbMAC, Permanent: true}
		ev.neighbours = []neighbour{{"client", "eth0", right}, {"gw", "eth1", right}}
		if mac != "" {
			ev.neighbours[0].Neighbour = wire.Neighbour{MAC: mac, Permanent: permanent}
		}
	}
}

// oneClientEach makes the probes of each real server those of one client.
func oneClientEach(s *inventory.Service, ev *evidence) {
	for i := range ev.probes {
		p := &ev.probes[i]
		if p.server == s.RealServers[1] {
			p.local = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.8"), p.local.Port())
			p.socket.Remote = p.local
		}
	}
}

// repliesStop is a run in which every reply comes to director lb, and no further.
func repliesStop(_ *inventory.Service, ev *evidence) {
	for i := range ev.probes {
		failProbe(&ev.probes[i], "no answer within 3s", "SYN_RECV", "SYN_RECV")
		ev.probes[i].replies, ev.probes[i].repliedAt = 4, "lb"
	}
}

// Each case is a text in testdata: the whole verdict on evidence that is good
// but for what the case spoils.
func TestJudge(t *testing.T) {
	// Those whose names do not begin with good.
	passing := []string{
		"nobody to ask for the VIP", "unfair turns while others connect",
		"hung up", "hung up after the packet of full size", "accept deferred", "path MTU discovery", "a repeat", "slow, which passes", "late, which passes", "persistence kept", "persistence from before",
	}
	for _, test := range []struct {
		name    string
		service string
		spoil   func(*inventory.Service, *evidence)
	}{
		{"good", rr, func(*inventory.Service, *evidence) {}},
		{"no reply from one real server", rr, func(_ *inventory.Service, ev *evidence) {
			failProbe(&ev.probes[0], "no answer within 3s", "SYN_RECV", "")
			failProbe(&ev.probes[2], "no answer within 3s", "SYN_RECV", "")
		}},
		{"reply lost", rr, func(_ *inventory.Service, ev *evidence) {
			failProbe(&ev.probes[1], "no answer within 3s", "SYN_RECV", "SYN_RECV")
		}},
		{"refused everywhere", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "connection refused", "SYN_RECV", "")
				ev.probes[i].requests = 1
			}
		}},
		{"nothing reaches the director", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "no route to host", "", "")
				ev.probes[i].server, ev.probes[i].requests = nil, 0
			}
		}},
		{"client has no route", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i] = probe{client: "client", failed: "network is unreachable"}
			}
		}},
		{"director has no service", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "connection refused", "", "")
				ev.probes[i].server = nil
			}
		}},
		{"around the director", rr, func(s *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].row, ev.probes[i].requests, ev.probes[i].server = nil, 0, s.RealServers[0]
			}
			ev.answers[0].macs = []string{lbMAC, web1MAC}
		}},
		{"real server without the connection", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[3].socket = nil
		}},
		{"given to a stranger", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].row.Destination = netip.MustParseAddrPort("192.0.2.66:80")
			ev.probes[1].server, ev.probes[1].socket = nil, nil
		}},
		{"source rewritten", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].socket.Remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), ev.probes[i].local.Port())
			}
		}},
		{"destination rewritten", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].socket.Local = netip.MustParseAddrPort("192.0.2.5:80")
		}},
		{"replies through the director", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].replies, ev.probes[3].replies = 1, 1
		}},
		{"nobody answers for the VIP", rr, func(_ *inventory.Service, ev *evidence) {
			ev.answers[0].macs = nil
		}},
		{"a stranger answers for the VIP", rr, func(_ *inventory.Service, ev *evidence) {
			ev.answers[0].macs = []string{"02:00:00:00:00:66"}
		}},
		{"nobody to ask for the VIP", rr, func(_ *inventory.Service, ev *evidence) {
			ev.answers, ev.owners = nil, nil
			ev.notes = []string{"one-mac-for-vip left out: for a reason"}
		}},
		{"unfair turns", rr, func(s *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].server = s.RealServers[0]
			}
		}},
		{"unfair turns while others connect", rr, func(s *inventory.Service, ev *evidence) {
			ev.probes[1].server, ev.others = s.RealServers[0], 2
		}},
		{"weight 0 used", "vip: 192.0.2.30, port: 80, mode: dr, scheduler: sed, real_servers: [web1, {host: web2, weight: 0}]", func(*inventory.Service, *evidence) {}},
		{"no probe", rr, func(_ *inventory.Service, ev *evidence) {
			*ev = evidence{notes: []string{"no probe from client client: it is elsewhere"}}
		}},
		{"every step failed", rr, func(_ *inventory.Service, ev *evidence) {
			*ev = evidence{}
			for check, step := range map[string]string{
				checkReachability: "client: open connections", checkServerKnown: "lb: look up connections",
				checkReplies: "lb: watch for packets", checkOneMAC: "client: ask who has 192.0.2.30",
			} {
				ev.trouble(check, fmt.Errorf("%s: not connected", step))
			}
		}},
		{"watch failed", rr, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkReplies, fmt.Errorf("lb: watch for packets: operation not permitted"))
			for i := range ev.probes {
				ev.probes[i].requests, ev.probes[i].noWatch = 0, true
			}
		}},
		{"unfair turns while nobody counted", rr, func(s *inventory.Service, ev *evidence) {
			ev.trouble(checkReplies, fmt.Errorf("lb: watch for packets: 58 packets went uncounted"))
			ev.probes[1].server = s.RealServers[0]
			for i := range ev.probes {
				ev.probes[i].requests, ev.probes[i].noWatch = 0, true
			}
		}},
		{"weight 0 used while nobody counted", "vip: 192.0.2.30, port: 80, mode: dr, scheduler: rr, real_servers: [web1, {host: web2, weight: 0}]", func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkReplies, fmt.Errorf("lb: watch for packets: 58 packets went uncounted"))
			for i := range ev.probes {
				ev.probes[i].requests, ev.probes[i].noWatch = 0, true
			}
		}},
		// What is not known must not be told as if it were.
		{"director cannot be asked", rr, func(_ *inventory.Service, ev *evidence) {
			for _, check := range []string{checkServerKnown, checkReplies, checkOneMAC} {
				ev.trouble(check, fmt.Errorf("lb: some step: i/o timeout"))
			}
			ev.ownersMissing = true
			delete(ev.owners, lbMAC)
			for i := range ev.probes {
				p := &ev.probes[i]
				p.row, p.requests, p.noTable, p.noWatch = nil, 0, true, true
			}
			ev.probes[2].failed = "no answer within 3s"
			last := &ev.probes[3]
			last.failed, last.socket, last.arrived, last.server = "no answer within 3s", nil, nil, nil
		}},
		{"real server cannot be asked", rr, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkServerKnown, fmt.Errorf("web2: look up sockets: i/o timeout"))
			for _, i := range []int{1, 3} {
				ev.probes[i].socket, ev.probes[i].noSockets = nil, true
			}
			ev.probes[3].failed, ev.probes[3].row.State = "no answer within 3s", "SYN_RECV"
		}},
		{"sctp", rr + ", protocol: sctp", func(_ *inventory.Service, ev *evidence) { *ev = evidence{} }},

		{"good nat", nat, pass},
		{"nat, replies past the director", nat, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "no answer within 3s", "SYN_RECV", "SYN_RECV")
			}
		}},
		// Forwarding is off, a firewall drops what is forwarded, or what it calls invalid.
		{"nat, replies stop at the director", nat, repliesStop},
		{"nat, refused everywhere", nat, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "connection refused", "SYN_RECV", "")
				ev.probes[i].replies, ev.probes[i].repliedAt = 1, "lb"
			}
		}},
		// A refusal is no reply that a director is watched for: it has no SYN, and that of
		// a datagram is ICMP.
		{"fullnat, refused everywhere", fullnat, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				arrived := ev.probes[i].arrived
				failProbe(&ev.probes[i], "connection refused", "SYN_RECV", "")
				ev.probes[i].arrived = arrived
			}
		}},
		{"fullnat, one real server refuses", fullnat, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{1, 3} {
				arrived := ev.probes[i].arrived
				failProbe(&ev.probes[i], "connection refused", "SYN_RECV", "")
				ev.probes[i].arrived = arrived
			}
		}},
		{"udp nat, refused everywhere", strings.Replace(dns, "mode: dr", "mode: nat", 1), func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].failed, ev.probes[i].replies = "connection refused", 0
			}
		}},
		{"fullnat, replies stop at the director", fullnat, repliesStop},
		{"replies stop at the director", rr, repliesStop},
		{"udp, replies stop at the director", dns, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].failed, ev.probes[i].replies, ev.probes[i].repliedAt = "no answer within 3s", 1, "lb"
			}
		}},
		{"nat, source rewritten", nat, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].socket.Remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), ev.probes[i].local.Port())
			}
		}},
		{"nat, port not mapped", nat, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].socket.Local = netip.MustParseAddrPort("192.0.2.4:80")
		}},
		{"nat, a reply past the director", nat, func(_ *inventory.Service, ev *evidence) { ev.probes[2].replies = 0 }},

		{"good tun", tun, pass},
		{"good tun with redirect", strings.Replace(tun, "[web1,", "[{host: web1, redirect: 8080},", 1), pass},
		{"tun, dropped behind the tunnel", tun, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{0, 2} {
				failProbe(&ev.probes[i], "no answer within 3s", "SYN_RECV", "")
			}
		}},
		{"tun, nothing arrives", tun, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				failProbe(&ev.probes[i], "no answer within 3s", "SYN_RECV", "")
				ev.probes[i].wrapped = nil
			}
		}},
		{"tun, wrong type", tun, func(_ *inventory.Service, ev *evidence) { ev.probes[0].wrapped.Tunnel = "gre" }},
		{"tun, wrong port", tun, func(_ *inventory.Service, ev *evidence) { ev.probes[1].wrapped.OuterPort = 6080 }},
		{"tun, not wrapped", tun, func(_ *inventory.Service, ev *evidence) { ev.probes[1].wrapped = nil }},
		{"tun, source rewritten before", tun, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				p := &ev.probes[i]
				p.from = netip.MustParseAddrPort("203.0.113.9:40000")
				p.socket.Remote, p.arrived.From, p.wrapped = p.from, p.from, nil
			}
		}},
		{"tun, to another address", tun, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].wrapped.OuterTo = netip.MustParseAddr("192.0.2.66")
		}},
		{"tun, full size does not fit", tun, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].full.Acknowledged, ev.probes[2].full.Acknowledged = false, false
		}},
		{"tun, the real servers cannot watch", tun, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkArrival, fmt.Errorf("web1: watch for packets: operation not permitted"))
			for i := range ev.probes {
				ev.probes[i].wrapped, ev.probes[i].arrived, ev.probes[i].noArrival = nil, nil, true
			}
		}},

		// A busy real server's watch counts what it cannot tell apart, and no step fails.
		{"tun, packets of one real server not told apart", tun, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{1, 3} {
				ev.probes[i].wrapped, ev.probes[i].arrived, ev.probes[i].noArrival, ev.probes[i].reply = nil, nil, true, nil
			}
		}},
		{"udp, packets not told apart", dns, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].arrived, ev.probes[i].noArrival = nil, true
			}
		}},
		{"udp, packets of one real server not told apart", dns, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{1, 3} {
				ev.probes[i].arrived, ev.probes[i].noArrival = nil, true
			}
		}},

		{"good fullnat", fullnat, pass},
		{"good fullnat, the VIP is an address of the director", nodePort, pass},
		{"fullnat, source of another NIC", strings.Replace(fullnat, "local_addresses: [192.0.2.40, 192.0.2.41], ", "", 1), func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].socket.Remote = netip.MustParseAddrPort("198.51.100.3:40000")
		}},
		{"fullnat, source not rewritten", fullnat, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				p := &ev.probes[i]
				arrived := *p.arrived
				failProbe(p, "no answer within 3s", "SYN_RECV", "")
				arrived.From = p.local
				p.arrived = &arrived
			}
		}},
		{"fullnat, a local address is gone", fullnat, func(_ *inventory.Service, ev *evidence) {
			ev.locals[1].macs = nil
		}},
		{"fullnat, a local address is another's", fullnat, func(_ *inventory.Service, ev *evidence) {
			ev.locals[0].macs = []string{lbMAC, web1MAC}
		}},
		{"fullnat, two directors have a local address", fullnat, func(s *inventory.Service, ev *evidence) {
			s.Directors = append(s.Directors, &inventory.Host{Name: "lb2"})
			ev.owners["02:00:00:00:00:09"] = []owner{{"lb2", "eth0", true}}
			ev.locals[0].macs = []string{lbMAC, "02:00:00:00:00:09"}
		}},
		{"good fullnat, two devices of the director answer", fullnat, func(s *inventory.Service, ev *evidence) {
			ev.owners["02:00:00:00:00:13"] = []owner{{"lb", "eth1", false}}
			ev.locals[0].macs = []string{lbMAC, "02:00:00:00:00:13"}
		}},
		{"fullnat, source of another host", fullnat, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].socket.Remote = netip.MustParseAddrPort("192.0.2.1:40000")
		}},

		{"good mixed", mixed, pass},
		{"good one server of two by source", strings.Replace(mixed, "rr", "sh", 1), func(s *inventory.Service, ev *evidence) {
			*ev = *good(s)
			ev.probes[1], ev.probes[3] = ev.probes[0], ev.probes[2]
		}},

		{"good udp", dns, pass},
		{"good one-packet", dns + ", one_packet: true", pass},
		{"one-packet, one real server is dead", dns + ", one_packet: true", func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{0, 2} {
				ev.probes[i].failed = "no answer within 3s"
			}
		}},
		{"one-packet, one real server is gone", dns + ", one_packet: true", func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{0, 2} {
				ev.probes[i].failed, ev.probes[i].server, ev.probes[i].arrived = "no answer within 3s", nil, nil
			}
		}},
		{"udp, nobody answers", dns, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].failed, ev.probes[i].repeats, ev.probes[i].took = "no answer within 3s", 2, 0
			}
		}},
		{"a repeat", strings.Replace(rr, "scheduler: rr", "scheduler: rr, loss: 25", 1), func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].repeats, ev.probes[1].took = 1, 1021*time.Millisecond
		}},
		{"a repeat among few", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].repeats, ev.probes[1].took = 1, 1021*time.Millisecond
		}},
		{"a repeat among few with a threshold", strings.Replace(rr, "[web1,", "[{host: web1, upper_threshold: 4},", 1), func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].repeats, ev.probes[1].took = 1, 1021*time.Millisecond
		}},
		{"many repeats", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes[:2] {
				ev.probes[i].repeats, ev.probes[i].took = i+1, time.Duration(3*i+1)*time.Second
			}
		}},
		{"no repeat is allowed", strings.Replace(rr, "scheduler: rr", "scheduler: rr, loss: 0", 1), func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].repeats, ev.probes[1].took = 1, 1021*time.Millisecond
		}},
		{"late, which passes", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].repeats, ev.probes[i].took, ev.probes[i].late = 1, 1203*time.Millisecond, true
			}
		}},
		{"late and lost", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].repeats, ev.probes[i].took, ev.probes[i].late = 1, 1203*time.Millisecond, i > 1
			}
		}},
		{"slow, which passes", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].took = 503 * time.Millisecond
			}
		}},
		{"udp, refused", dns, func(_ *inventory.Service, ev *evidence) { ev.probes[0].failed = "connection refused" }},
		{"udp, not seen at a real server", dns, func(_ *inventory.Service, ev *evidence) { ev.probes[0].arrived = nil }},

		{"the director saw too many packets", nat, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{1, 3} {
				ev.probes[i].requests, ev.probes[i].replies, ev.probes[i].noWatch = 0, 0, true
			}
		}},
		{"no replies, the director saw too many packets", syslog, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].requests, ev.probes[1].noWatch = 0, true
		}},

		{"good udp without replies", syslog, pass},
		{"good nat one-packet without replies", "vip: 192.0.2.53, port: 514, protocol: udp, mode: nat, one_packet: true, replies: none, scheduler: rr, real_servers: [web1, web2]", pass},
		{"no replies, one did not arrive", syslog, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].failed, ev.probes[0].arrived = "it did not arrive", nil
		}},
		{"no replies, nothing listens", syslog, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{1, 3} {
				ev.probes[i].failed = "it arrived where nothing listens"
			}
		}},
		{"no replies, one real server cannot be asked", syslog, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkArrival, fmt.Errorf("web2: watch for packets: i/o timeout"))
			ev.trouble(checkReachability, fmt.Errorf("web2: list listening sockets: i/o timeout"))
			for _, i := range []int{1, 3} {
				ev.probes[i].arrived, ev.probes[i].noArrival, ev.probes[i].unproven = nil, true, true
			}
		}},
		{"no replies, around the director", syslog, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].row, ev.probes[i].requests = nil, 0
			}
		}},

		{"hung up", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].full.Acknowledged, ev.probes[i].full.HungUp = false, true
				ev.probes[i].reply = nil
			}
		}},
		{"accept deferred", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[1].socket.State, ev.probes[1].full.Acknowledged = "SYN_RECV", false
		}},
		{"full size not sent", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].full, ev.probes[0].reply = nil, nil
			ev.probes[1].full.Failed, ev.probes[1].reply = "message too long", nil
		}},
		{"path MTU discovery", rr, func(_ *inventory.Service, ev *evidence) {
			for _, i := range []int{0, 2} {
				told := &wire.Told{Octets: 1400, By: netip.MustParseAddr("192.0.2.1")}
				ev.probes[i].full.Octets, ev.probes[i].full.Told = 1400, told
				ev.probes[i].reply.sent = wire.FullReplySent{Octets: 1400, Told: told}
			}
		}},
		{"large replies are lost", nat, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].reply.arrived, ev.probes[2].reply.arrived = false, false
			ev.probes[2].reply.sent.Told = &wire.Told{Octets: 1500, By: netip.MustParseAddr("192.0.2.1")}
		}},
		{"large replies, some not sent", rr, func(_ *inventory.Service, ev *evidence) {
			ev.probes[0].reply.sent, ev.probes[0].reply.arrived = wire.FullReplySent{Failed: "operation not permitted"}, false
			ev.probes[1].reply = nil
			ev.probes[2].reply.arrived, ev.probes[2].reply.hungUp = false, true
			ev.probes[3].reply.arrived, ev.probes[3].reply.busy = false, true
		}},

		{"large packets are lost until the real server hangs up", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				reply := ev.probes[i].reply
				reply.arrived = false
				reply.take(wire.DataInOf{})
				reply.take(wire.DataInOf{HungUp: true})
			}
			ev.probes[3].full.Acknowledged, ev.probes[3].full.HungUp, ev.probes[3].full.Lost = false, true, 1
		}},
		{"hung up after the packet of full size", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].socket.State, ev.probes[i].reply = "FIN_WAIT2", nil
			}
		}},
		{"whether large replies came is not known", rr, func(_ *inventory.Service, ev *evidence) {
			for i := range ev.probes {
				ev.probes[i].reply.arrived, ev.probes[i].reply.unknown = false, true
			}
		}},

		{"good arp static", rr + ", arp: static", static("", true)},
		{"arp static, not permanent", rr + ", arp: static", static(lbMAC, false)},
		{"arp static, another's", rr + ", arp: static", static(web1MAC, true)},
		{"arp static, no entry", rr + ", arp: static", func(s *inventory.Service, ev *evidence) {
			static("", true)(s, ev)
			ev.neighbours[1].MAC = ""
		}},

		{"persistence kept", rr + ", persistence: 300", oneClientEach},
		{"persistence broken", rr + ", persistence: 300", pass},
		{"persistence from before", rr + ", persistence: 300", func(s *inventory.Service, ev *evidence) {
			ev.templates = 2
			for i := range ev.probes {
				ev.probes[i] = ev.probes[0]
			}
		}},
		{"over the threshold", "vip: 192.0.2.30, port: 80, mode: dr, scheduler: rr, real_servers: [{host: web1, upper_threshold: 1}, web2]", pass},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := topology(t, test.service).Services[0]
			ev := good(s)
			test.spoil(s, ev)
			r := newReport([]Service{judge(s, ev)}, nil)
			if want := strings.HasPrefix(test.name, "good") || slices.Contains(passing, test.name); (r.Outcome == Passed) != want {
				t.Errorf("outcome: %v", r.Outcome)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b, 0); err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, b.String(), strings.NewReplacer(" ", "-", ",", "").Replace(test.name)+".golden")
			fitsTerminals(t, r, b.String())
			schematest.Value(t, "verdict", r)
		})
	}
}

// fitsTerminals holds a report for narrower terminals against the whole one: it
// says the same, and no line is too long.
func fitsTerminals(t *testing.T, r *Report, whole string) {
	t.Helper()
	for _, width := range []int{60, 80, 120} {
		var b bytes.Buffer
		if err := r.WriteText(&b, width); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Fields(b.String()), strings.Fields(whole); !slices.Equal(got, want) {
			t.Errorf("at %d columns it says %q, want %q", width, got, want)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
	}
}

// A probe that a host could not tell from others is unknown to the check that looks for
// it there, however many others it saw.
func TestUnseenIsUnknown(t *testing.T) {
	for _, test := range []struct {
		service string
		spoil   func(*probe)
		unknown string
	}{
		{dns, func(p *probe) { p.arrived, p.noArrival = nil, true }, checkServerKnown},
		{dns + ", one_packet: true", func(p *probe) { p.server, p.arrived, p.noArrival = nil, nil, true }, checkServerKnown},
		{rr, func(p *probe) { p.arrived, p.socket, p.noArrival = nil, nil, true }, checkServerKnown},
		{rr, func(p *probe) { p.arrived, p.reply, p.noArrival = nil, nil, true }, checkFullReplies},
		{tun, func(p *probe) { p.wrapped, p.arrived, p.noArrival = nil, nil, true }, checkTunnelled},
		{rr, func(p *probe) { p.requests, p.noWatch = 0, true }, checkBypass},
		{nat, func(p *probe) { p.requests, p.replies, p.noWatch = 0, 0, true }, checkThrough},
		{syslog, func(p *probe) { p.requests, p.noWatch = 0, true }, checkRequests},
	} {
		for set := 1; set < 1<<4; set++ {
			s := topology(t, test.service).Services[0]
			ev := good(s)
			for i := range ev.probes {
				if set&(1<<i) != 0 {
					test.spoil(&ev.probes[i])
				}
			}
			got := map[string]Check{}
			for _, c := range judge(s, ev).Checks {
				got[c.Name] = c
			}
			if c := got[test.unknown]; c.Outcome != Unknown {
				t.Errorf("%s without %04b: %s is %q: %s", test.service, set, test.unknown, c.Outcome, c.Evidence)
			}
		}
	}
}

func TestReportOfNothing(t *testing.T) {
	r := newReport(nil, nil)
	if r.Outcome != Unknown {
		t.Errorf("outcome of a report of no service: %s", r.Outcome)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b, 0); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, b.String(), "nothing.golden")
	schematest.Value(t, "verdict", r)
}

// turnsOf builds a service with the weights, and probes shared out as got.
func turnsOf(scheduler string, weights []uint32, got []int) (*inventory.Service, *evidence) {
	s := &inventory.Service{Scheduler: scheduler, VIP: netip.MustParseAddr("192.0.2.30"), Port: 80}
	ev := &evidence{}
	for i, w := range weights {
		r := &inventory.RealServer{Host: &inventory.Host{Name: fmt.Sprintf("web%d", i+1)}, Weight: w}
		s.RealServers = append(s.RealServers, r)
		if i >= len(got) {
			continue
		}
		for range got[i] {
			ev.probes = append(ev.probes, probe{
				local: netip.MustParseAddrPort("192.0.2.7:1"), row: &flow.Connection{}, server: r,
			})
		}
	}
	return s, ev
}

func TestDistribution(t *testing.T) {
	type weights = []uint32
	type got = []int
	for _, test := range []struct {
		scheduler string
		weights   weights
		got       got
		spoil     func(*evidence)
		want      bool
	}{
		{"rr", weights{1, 1}, got{2, 2}, nil, true},
		{"rr", weights{1, 1}, got{3, 2}, nil, true},
		{"rr", weights{1, 1}, got{3, 1}, nil, false},
		{"rr", weights{1, 1, 1}, got{1, 0, 0}, nil, true},
		{"rr", weights{5, 1}, got{2, 2}, nil, true}, // rr does not look at weights
		{"rr", weights{1, 0, 1}, got{2, 0, 2}, nil, true},
		{"rr", weights{1, 0, 1}, got{2, 1, 2}, nil, false},
		{"rr", weights{1, 1}, got{3, 1}, func(ev *evidence) { ev.others = 2 }, true},
		{"rr", weights{1, 1}, got{4, 0}, func(ev *evidence) { ev.others = 2 }, false},
		{"wrr", weights{3, 1}, got{6, 2}, nil, true},
		{"wrr", weights{6, 2}, got{3, 1}, nil, true},
		{"wrr", weights{3, 1}, got{4, 4}, nil, false},
		{"wrr", weights{3, 1}, got{5, 1}, nil, true},
		{"wrr", weights{3, 1}, got{4, 2}, nil, true},
		{"wrr", weights{3, 1}, got{6, 0}, nil, false},
		{"wrr", weights{3, 1}, got{3, 3}, nil, false},
		{"wlc", weights{1, 1}, got{3, 1}, nil, true},
		{"wlc", weights{1, 1}, got{4, 0}, nil, false},
		{"wlc", weights{1, 1, 1, 1, 1}, got{1, 1, 1, 1, 0}, nil, true}, // four cannot show it
		{"lc", weights{1, 0}, got{4, 0}, nil, true},
		{"lc", weights{1, 1}, got{4, 0}, func(ev *evidence) { ev.others = 1 }, true}, // which others' may explain
		{"lc", weights{1, 1}, got{4, 0}, func(ev *evidence) { ev.active = 1 }, true},
		{"lc", weights{1, 1}, got{4, 0}, func(ev *evidence) { ev.inactive = inactiveWeight - 1 }, false},
		{"lc", weights{1, 1}, got{4, 0}, func(ev *evidence) { ev.inactive = inactiveWeight }, true},
		{"sh", weights{1, 1}, got{4, 0}, nil, true},
		{"sh", weights{1, 1}, got{3, 1}, nil, false},
		{"mh", weights{1, 1}, got{3, 1}, func(ev *evidence) { ev.probes[3].local = netip.MustParseAddrPort("192.0.2.8:1") }, true},
		{"dh", weights{1, 1}, got{0, 4}, nil, true},
		{"dh", weights{1, 1}, got{3, 1}, func(ev *evidence) { ev.probes[3].local = netip.MustParseAddrPort("192.0.2.8:1") }, false},
		{"fo", weights{1, 5}, got{0, 4}, nil, true},
		{"fo", weights{1, 5}, got{4, 0}, nil, false},
		{"fo", weights{5, 5}, got{2, 2}, nil, false},
		{"sed", weights{1, 1}, got{4, 0}, nil, true},
		{"nq", weights{1, 0}, got{3, 1}, nil, false},
		{"rr", weights{1, 1}, got{0, 0}, nil, false},
	} {
		s, ev := turnsOf(test.scheduler, test.weights, test.got)
		if test.spoil != nil {
			test.spoil(ev)
		}
		want := Failed
		switch {
		case test.want:
			want = Passed
		case len(ev.probes) == 0:
			want = Unknown
		}
		if c := judgeDistribution(s, ev); c.Outcome != want {
			t.Errorf("%s with weights %v shared out %v: %+v", test.scheduler, test.weights, test.got, c)
		}
	}
}

func TestDefaultProbes(t *testing.T) {
	for _, test := range []struct {
		scheduler string
		weights   []uint32
		want      int
	}{
		{"rr", []uint32{1}, 4},
		{"rr", []uint32{1, 1, 1}, 6},
		{"rr", []uint32{1, 0, 0}, 4},
		{"wrr", []uint32{3, 1}, 8},
		{"wrr", []uint32{300, 100}, 8},
		{"wrr", []uint32{60, 1}, 64},
		{"wrr", []uint32{0, 0}, 4},
		{"wlc", []uint32{10, 1}, 4},
	} {
		s, _ := turnsOf(test.scheduler, test.weights, nil)
		if got := defaultProbes(s); got != test.want {
			t.Errorf("%s %v: %d probes, want %d", test.scheduler, test.weights, got, test.want)
		}
	}
}
