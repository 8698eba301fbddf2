package verify

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

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
- {name: web, port: 80, mode: dr, directors: [lb], `+service+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

const rr = "vip: 192.0.2.30, scheduler: rr, real_servers: [web1, web2]"

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
	vip := netip.AddrPortFrom(s.VIP, s.Port)
	for i := range 4 {
		local := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), uint16(40000+i))
		r := s.RealServers[i%len(s.RealServers)]
		rip := netip.AddrPortFrom(r.Host.NICs[0].Addresses[0].Addr(), r.Port)
		ev.probes = append(ev.probes, probe{
			client: "client", local: local,
			director: "lb", row: &wire.Connection{Client: local, Destination: rip, State: "ESTABLISHED"},
			server: r, socket: &wire.Socket{Local: vip, Remote: local, State: "ESTABLISHED"},
			requests: 2,
		})
	}
	return ev
}

// failProbe makes a probe one that did not connect.
func failProbe(p *probe, why string, row, socket string) {
	p.failed = why
	if p.row.State = row; row == "" {
		p.row = nil
	}
	if p.socket.State = socket; socket == "" {
		p.socket = nil
	}
}

// Each case is a text in testdata: the whole verdict on evidence that is good
// but for what the case spoils.
func TestJudge(t *testing.T) {
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
		{"weight 0 used", "vip: 192.0.2.30, scheduler: sed, real_servers: [web1, {host: web2, weight: 0}]", func(*inventory.Service, *evidence) {}},
		{"no probe", rr, func(_ *inventory.Service, ev *evidence) {
			*ev = evidence{notes: []string{"no probe from client client: it is elsewhere"}}
		}},
		{"every step failed", rr, func(_ *inventory.Service, ev *evidence) {
			*ev = evidence{}
			for check, step := range map[string]string{
				checkReachability: "client: open connections", checkServerKnown: "lb: look up connections",
				checkBypass: "lb: watch for packets", checkOneMAC: "client: ask who has 192.0.2.30",
			} {
				ev.trouble(check, fmt.Errorf("%s: not connected", step))
			}
		}},
		{"watch failed", rr, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkBypass, fmt.Errorf("lb: watch for packets: operation not permitted"))
			for i := range ev.probes {
				ev.probes[i].requests, ev.probes[i].noWatch = 0, true
			}
		}},
		// What is not known must not be told as if it were.
		{"director cannot be asked", rr, func(_ *inventory.Service, ev *evidence) {
			for _, check := range []string{checkServerKnown, checkBypass, checkOneMAC} {
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
			last.failed, last.socket, last.server = "no answer within 3s", nil, nil
		}},
		{"real server cannot be asked", rr, func(_ *inventory.Service, ev *evidence) {
			ev.trouble(checkServerKnown, fmt.Errorf("web2: look up sockets: i/o timeout"))
			for _, i := range []int{1, 3} {
				ev.probes[i].socket, ev.probes[i].noSockets = nil, true
			}
			ev.probes[3].failed, ev.probes[3].row.State = "no answer within 3s", "SYN_RECV"
		}},
		{"udp", rr + ", protocol: udp", func(_ *inventory.Service, ev *evidence) { *ev = evidence{} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := topology(t, test.service).Services[0]
			ev := good(s)
			test.spoil(s, ev)
			r := newReport([]Service{judge(s, ev)})
			if want := test.name == "good" || test.name == "nobody to ask for the VIP" || test.name == "unfair turns while others connect"; r.Passed != want {
				t.Errorf("passed: %v", r.Passed)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, test.name, b.Bytes())
		})
	}
}

func TestReportOfNothing(t *testing.T) {
	r := newReport(nil)
	if r.Passed {
		t.Error("a report of no service passed")
	}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "nothing", b.Bytes())
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
				local: netip.MustParseAddrPort("192.0.2.7:1"), row: &wire.Connection{}, server: r,
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
		if c := judgeDistribution(s, ev); c.Passed != test.want {
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
