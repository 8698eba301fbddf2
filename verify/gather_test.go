package verify

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
)

// world is a fleet of a working topology, and what its hosts are asked.
type world struct {
	*agenttest.Fleet
	hosts map[string]wire.Caller

	mu    sync.Mutex
	calls []string // "host method" in their order, those made side by side left out
	asked []string // "host method" of all, in no order
	open  []wire.ProbeOpenRequest
}

// newWorld starts the agents, which end with the test.
func newWorld(t *testing.T, inv *inventory.Inventory) *world {
	w := &world{Fleet: agenttest.New(inv, t.TempDir()), hosts: map[string]wire.Caller{}}
	hosts, closeAll := w.Connect()
	t.Cleanup(closeAll)
	for name, caller := range hosts {
		w.hosts[name] = &recorder{w, name, caller}
	}
	return w
}

// recorder writes down what a host is asked.
type recorder struct {
	*world
	host   string
	caller wire.Caller
}

func (r *recorder) Call(ctx context.Context, m wire.Method, req, resp any) error {
	r.record(m)
	if open, ok := req.(wire.ProbeOpenRequest); ok {
		r.open = append(r.open, open) // one after the other
	}
	return r.caller.Call(ctx, m, req, resp)
}

func (r *recorder) record(m wire.Method) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, r.host+" "+string(m))
	sideBySide := []wire.Method{wire.MethodMACs, wire.MethodSockets, wire.MethodFullSize, wire.MethodDataIn, wire.MethodProbeClose}
	if !slices.Contains(sideBySide, m) && !strings.HasPrefix(r.host, "web") {
		r.calls = append(r.calls, r.host+" "+string(m))
	}
}

func TestRun(t *testing.T) {
	inv := topology(t, rr)
	w := newWorld(t, inv)
	r, err := Run(t.Context(), inv, w.hosts, Options{Probes: 2})
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(out)+"\n", "run.json.golden")
	// The watch is on before the first probe, and the tables are read while
	// the probes are open.
	want := []string{
		"lb watch-start", "client probe-open", "remote probe-open", "lb watch-stop", "lb connections", "client who-has",
	}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("calls (-want +got)\n%s", diff)
	}
}

// A repeat that may come to another real server heals nothing.
func TestDatagramsThatAreSentOnce(t *testing.T) {
	for service, once := range map[string]bool{
		dns: false, dns + ", one_packet: true": true, dns + ", persistence: 300": false,
	} {
		for timeout, shorter := range map[uint32]bool{0: false, 1: true, 300: false} {
			inv := topology(t, service)
			if timeout != 0 {
				inv.Services[0].Directors[0].IPVS.Timeouts = &inventory.Timeouts{TCP: 900, TCPFin: 120, UDP: timeout}
			}
			w := newWorld(t, inv)
			if _, err := Run(t.Context(), inv, w.hosts, Options{Probes: 1}); err != nil {
				t.Fatal(err)
			}
			for _, got := range w.open {
				if got.Once != (once || shorter) {
					t.Errorf("%s with a UDP timeout of %d s: once: %v", service, timeout, got.Once)
				}
			}
		}
	}
}

// One lost packet among few probes is chance or not: more probes tell, unless
// somebody chose the number, or the service may have no room for them.
func TestMoreProbesAfterARepeat(t *testing.T) {
	const few = 2 // clients that send 4 each
	for name, test := range map[string]struct {
		service string
		repeats map[int]int // by the number of the probe
		probes  int         // as chosen
		want    int
		outcome Outcome
	}{
		"none":             {rr, nil, 0, few * 4, Passed},
		"one":              {rr, map[int]int{1: 1}, 0, 20, Passed},
		"two":              {rr, map[int]int{1: 1, 2: 1}, 0, 20, Failed},
		"one more later":   {rr, map[int]int{1: 1, 15: 2}, 0, 20, Failed},
		"chosen":           {rr, map[int]int{1: 1}, 3, few * 3, Unknown},
		"two of chosen":    {rr, map[int]int{1: 1, 2: 1}, 3, few * 3, Failed},
		"20 % may":         {rr + ", loss: 20", map[int]int{1: 1}, 0, few * 4, Passed},
		"10 % may":         {rr + ", loss: 10", map[int]int{1: 1}, 0, 10, Passed},
		"1 % may":          {rr + ", loss: 1", map[int]int{1: 1}, 0, 100, Passed},
		"none may":         {rr + ", loss: 0", map[int]int{1: 1}, 0, few * 4, Failed},
		"with a threshold": {strings.Replace(rr, "[web1,", "[{host: web1, upper_threshold: 9},", 1), map[int]int{1: 1}, 0, few * 4, Unknown},
	} {
		inv := topology(t, test.service)
		w := newWorld(t, inv)
		w.Traffic.Repeat(test.repeats)
		r, err := Run(t.Context(), inv, w.hosts, Options{Probes: test.probes})
		if err != nil {
			t.Fatal(err)
		}
		s := r.Services[0]
		if len(s.Probes) != test.want {
			t.Errorf("%s: %d probes, want %d", name, len(s.Probes), test.want)
		}
		if c := s.Checks[len(s.Checks)-1]; c.Name != checkLoss || c.Outcome != test.outcome || s.Outcome != test.outcome {
			t.Errorf("%s: %+v, and the service %s", name, c, s.Outcome)
		}
	}
}

// A host that fails at one step fails the checks that needed it, named, and
// nothing is left open or running.
func TestRunWithAFailure(t *testing.T) {
	for _, test := range []struct {
		broken string
		failed []string
	}{
		{"client probe-open", []string{checkReachability}},
		{"client probe-close", nil},
		{"lb connections", []string{checkServerKnown, checkDistribution}},
		{"client full-size", []string{checkFullSize, checkFullReplies}},
		{"web1 full-replies", []string{checkFullReplies}},
		{"client data-in", []string{checkFullReplies}},
		{"web1 watch-start", []string{checkFullReplies}},
		{"web1 sockets", []string{checkServerKnown, checkFullReplies}},
		{"lb watch-start", []string{checkBypass}},
		{"lb watch-stop", []string{checkBypass}},
		{"client who-has", []string{checkOneMAC}},
		{"lb macs", []string{checkOneMAC}},
		{"web1 macs", nil},
	} {
		t.Run(test.broken, func(t *testing.T) {
			inv := topology(t, rr)
			w := newWorld(t, inv)
			host, method, _ := strings.Cut(test.broken, " ")
			w.Traffic.Break(host, wire.Method(method))
			r, err := Run(t.Context(), inv, w.hosts, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			told := len(test.failed) == 0
			for _, c := range r.Services[0].Checks {
				if c.Outcome != Passed {
					failed = append(failed, c.Name)
					told = told || strings.Contains(c.Evidence, host+": ") && strings.Contains(c.Evidence, agenttest.ErrBroken.Error())
				}
			}
			if diff := cmp.Diff(test.failed, failed); diff != "" {
				t.Errorf("failed checks (-want +got)\n%s", diff)
			}
			want := Unknown // nothing is wrong with the traffic
			if test.failed == nil {
				want = Passed
			}
			if r.Outcome != want {
				t.Errorf("outcome %s, want %s: %+v", r.Outcome, want, r.Services[0].Checks)
			}
			if !told {
				t.Errorf("no check tells host and reason: %+v", r.Services[0].Checks)
			}
			for host, n := range w.Traffic.Held() {
				if test.broken != host+" probe-close" {
					t.Errorf("%s still holds %d probes", host, n)
				}
			}
			for _, host := range w.Traffic.Watching() {
				if test.broken != host+" watch-stop" {
					t.Errorf("%s still watches", host)
				}
			}
		})
	}
}

func TestRunWithoutAHost(t *testing.T) {
	inv := topology(t, rr)
	hosts := newWorld(t, inv).hosts
	delete(hosts, "web2")
	r, err := Run(t.Context(), inv, hosts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Services[0].Checks[1]; r.Outcome != Unknown || c.Outcome != Unknown || !strings.Contains(c.Evidence, "web2: look up sockets: not connected") {
		t.Errorf("outcome: %v; %+v", r.Outcome, c)
	}
}

// Of a fleet that nobody reaches nothing is known: no check claims anything, and
// the reason is the connection's.
func TestRunWithoutAnyHost(t *testing.T) {
	for _, service := range []string{rr, nat, tun, fullnat, dns} {
		inv := topology(t, service)
		hosts := map[string]wire.Caller{}
		for _, h := range inv.Hosts {
			hosts[h.Name] = unreachable{}
		}
		r, err := Run(t.Context(), inv, hosts, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Services[0].Checks {
			if c.Outcome != Unknown {
				t.Errorf("%s: %s %s: %s", service, c.Name, c.Outcome, c.Evidence)
			}
		}
		if r.Outcome != Unknown || r.Fault().Kind != fault.Connection {
			t.Errorf("%s: outcome %s, %v", service, r.Outcome, r.Fault())
		}
	}
}

// Every host can be asked, whatever addresses the topology has: a director whose
// only address is the VIP, for one.
func TestRunAsksWhatCanBeAnswered(t *testing.T) {
	for _, service := range []string{rr, nat, tun, fullnat, nodePort, mixed, dns} {
		inv := topology(t, service)
		if service == nodePort {
			lb := inv.Services[0].Directors[0]
			lb.NICs[0].Addresses = lb.NICs[0].Addresses[:1]
		}
		r, err := Run(t.Context(), inv, newWorld(t, inv).hosts, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Services[0].Checks {
			for _, m := range c.Missing {
				t.Errorf("%s: %s: %s", service, c.Name, m.Message)
			}
		}
	}
}

// Whichever hosts cannot be asked: traffic that works is never said to fail.
func TestRunWithoutSomeHosts(t *testing.T) {
	for _, service := range []string{
		rr, fullnat, dns, dns + ", one_packet: true", syslog, syslog + ", one_packet: true", rr + ", persistence: 300", rr + ", arp: static",
		strings.Replace(rr, "scheduler: rr", "scheduler: wlc", 1),
	} {
		inv := topology(t, service)
		w := newWorld(t, inv)
		w.Traffic.Listen("web1", netip.MustParseAddrPort("0.0.0.0:514"))
		w.Traffic.Listen("web2", netip.MustParseAddrPort("0.0.0.0:514"))
		var names []string
		for _, h := range inv.Hosts {
			names = append(names, h.Name)
		}
		for set := range 1 << len(names) {
			hosts := map[string]wire.Caller{}
			var without []string
			for i, name := range names {
				if hosts[name] = w.hosts[name]; set&(1<<i) != 0 {
					hosts[name] = unreachable{}
					without = append(without, name)
				}
			}
			r, err := Run(t.Context(), inv, hosts, Options{Probes: 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Services[0].Checks {
				// This world spreads the probes whatever the persistence, and has no fullnat.
				if c.Outcome == Failed && !strings.Contains(service, "persistence") && service != fullnat {
					t.Errorf("%s, without %v: %s: %s", service, without, c.Name, c.Evidence)
				}
				for i, m := range c.Missing {
					if slices.ContainsFunc(c.Missing[:i], func(before *fault.Error) bool { return before.Message == m.Message }) {
						t.Errorf("%s, without %v: %s: said twice: %s", service, without, c.Name, m.Message)
					}
				}
			}
			for _, n := range r.Services[0].Notes {
				if strings.HasPrefix(n, "no probe came to") {
					t.Errorf("%s, without %v: %s", service, without, n)
				}
			}
		}
	}
}

type unreachable struct{}

func (unreachable) Call(context.Context, wire.Method, any, any) error {
	return fault.New(fault.Connection, "connection refused")
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inv := topology(t, rr)
	if r, err := Run(ctx, inv, newWorld(t, inv).hosts, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestClientsThatCannotProbe(t *testing.T) {
	inv := topology(t, rr)
	s := inv.Services[0]
	s.Directors = append(s.Directors, inv.Hosts[0])
	s.RealServers = append(s.RealServers, &inventory.RealServer{Host: inv.Hosts[1], Port: 80})
	targets, notes := targetsOf(inv, s, []uint16{80})
	if len(targets) != 0 {
		t.Errorf("%d targets", len(targets))
	}
	want := []string{
		"no probe from client client: it is the service's director and would talk to itself",
		"no probe from client remote: it is a real server of the service and would talk to itself",
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, notes = targetsOf(inv, topology(t, `vip: "2001:db8::30", port: 80, mode: dr, real_servers: [web1]`).Services[0], []uint16{80})
	if diff := cmp.Diff([]string{"no probe from client remote: it has no address of the VIP's family"}, notes); diff != "" {
		t.Errorf("IPv6 (-want +got)\n%s", diff)
	}
}

// A client that is forwarded to the VIP sends its probes to where it is
// forwarded from.
func TestTargets(t *testing.T) {
	inv := topology(t, "vip: 192.0.2.30, fwmark: 7, ports: [80, 443], mode: dr, real_servers: [web1]")
	inv.Hosts[2].Forwards = []*inventory.PortForward{{
		Listen: netip.MustParseAddrPort("198.51.100.1:443"), To: netip.MustParseAddrPort("192.0.2.30:443"), Protocol: inventory.TCP,
	}}
	targets, _ := targetsOf(inv, inv.Services[0], inv.Services[0].Ports)
	var got []string
	for _, x := range targets {
		got = append(got, x.client.Name+" "+x.entry.String()+" "+x.vip.String())
	}
	want := []string{
		"client 192.0.2.30:80 192.0.2.30:80", "client 192.0.2.30:443 192.0.2.30:443",
		"remote 192.0.2.30:80 192.0.2.30:80", "remote 198.51.100.1:443 192.0.2.30:443",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A service of every port is probed on the lowest one on which all real
// servers listen.
func TestServiceOfEveryPort(t *testing.T) {
	s := topology(t, "vip: 192.0.2.30, port: 0, persistence: 300, mode: dr, real_servers: [web1, web2]").Services[0]
	at := func(list ...string) (out []netip.AddrPort) {
		for _, a := range list {
			out = append(out, netip.MustParseAddrPort(a))
		}
		return out
	}
	for name, test := range map[string]struct {
		web1, web2 []netip.AddrPort
		want       []uint16
	}{
		"both":              {at("0.0.0.0:22", "0.0.0.0:80"), at("[::]:80", "0.0.0.0:80", "127.0.0.1:22"), []uint16{80}},
		"IPv6 only":         {at("0.0.0.0:80"), at("[::]:80"), nil},
		"at the VIP":        {at("192.0.2.30:443"), at("0.0.0.0:443"), []uint16{443}},
		"no port of both":   {at("0.0.0.0:80"), at("0.0.0.0:81"), nil},
		"at another's port": {at("192.0.2.4:80"), at("192.0.2.5:80"), nil},
	} {
		got := servicePorts(s, map[string][]netip.AddrPort{"web1": test.web1, "web2": test.web2})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// Where nothing listens the agent does, only there, and only for the test.
func TestStandIn(t *testing.T) {
	inv := topology(t, rr)
	w := newWorld(t, inv)
	w.Traffic.Listen("web1", netip.MustParseAddrPort("0.0.0.0:80"))
	r, err := Run(t.Context(), inv, w.hosts, Options{StandIn: true})
	if err != nil || r.Outcome != Passed {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff([]string{"lvsform itself listened on web2 at 192.0.2.30:80, where nothing else did"}, r.Services[0].Notes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if slices.Contains(w.asked, "web1 stand-in") || !slices.Contains(w.asked, "web2 stand-in") {
		t.Errorf("asked: %v", w.asked)
	}
	if hosts := w.Traffic.StandingIn(); len(hosts) != 0 {
		t.Errorf("still standing in: %v", hosts)
	}
}

func TestAskers(t *testing.T) {
	for name, test := range map[string]struct {
		service string
		without []string // hosts that are not there
		want    []string
	}{
		"clients first":          {service: rr, want: []string{"client eth0 192.0.2.7"}},
		"gateways for far ones":  {service: rr, without: []string{"client"}, want: []string{"gw eth1 192.0.2.1"}},
		"real servers otherwise": {service: rr, without: []string{"client", "gw"}, want: []string{"web1 eth0 192.0.2.4", "web2 eth0 192.0.2.5"}},
		"by family":              {service: `vip: "2001:db8::30", port: 80, mode: dr, real_servers: [web1]`, want: []string{"client eth0 2001:db8::7"}},
		"VIP in no network":      {service: `vip: 203.0.113.30, port: 80, mode: dr, real_servers: [web1]`},
	} {
		t.Run(name, func(t *testing.T) {
			inv := topology(t, test.service)
			inv.Hosts = slices.DeleteFunc(inv.Hosts, func(h *inventory.Host) bool { return slices.Contains(test.without, h.Name) })
			var got []string
			for _, a := range askersFor(inv, inv.Services[0], inv.Services[0].VIP) {
				got = append(got, a.host.Name+" "+a.nic.Name+" "+a.source.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A request whose source was rewritten is found by where it was seen to come
// from, or else by its port.
func TestSocketOfRewrittenSource(t *testing.T) {
	inv := topology(t, rr)
	trial := &trial{gatherer: &gatherer{inv: inv}, service: inv.Services[0]}
	vip := netip.MustParseAddrPort("192.0.2.30:80")
	local := netip.MustParseAddrPort("192.0.2.7:40000")
	own := flow.Socket{Local: vip, Remote: local, State: "ESTABLISHED"}
	byDirector := flow.Socket{Local: vip, Remote: netip.MustParseAddrPort("192.0.2.3:40000"), State: "ESTABLISHED"}
	stranger := flow.Socket{Local: vip, Remote: netip.MustParseAddrPort("203.0.113.9:40000")}
	otherPort := flow.Socket{Local: vip, Remote: netip.MustParseAddrPort("192.0.2.3:40001")}
	rip := netip.MustParseAddrPort("192.0.2.4:80")
	ended := flow.Socket{Local: vip, Remote: local, State: "TIME_WAIT"}
	atRIP := flow.Socket{Local: rip, Remote: local, State: "TIME_WAIT"}
	hungUp := flow.Socket{Local: vip, Remote: local, State: "FIN_WAIT2"}
	elsewhere := flow.Socket{Local: rip, Remote: local, State: "ESTABLISHED"}
	seen := &flow.Sighting{From: otherPort.Remote, To: vip}
	for name, test := range map[string]struct {
		arrived *flow.Sighting
		sockets []flow.Socket
		want    *flow.Socket
	}{
		"as it was sent":        {nil, []flow.Socket{byDirector, own}, &own},
		"by a host we know":     {nil, []flow.Socket{stranger, byDirector}, &byDirector},
		"somebody else's":       {nil, []flow.Socket{stranger, otherPort}, nil},
		"no socket whatsoever":  {nil, nil, nil},
		"as it was seen":        {seen, []flow.Socket{stranger, byDirector, otherPort}, &otherPort},
		"seen, but not as that": {seen, []flow.Socket{stranger, byDirector}, nil},
		// Of a client port that was used before, the real server may still have
		// the older connection, to another address after a change of mode.
		"beside an older one":         {nil, []flow.Socket{ended, own}, &own},
		"beside an older one, nat":    {nil, []flow.Socket{atRIP, byDirector}, &byDirector},
		"an older one alone":          {nil, []flow.Socket{ended}, nil},
		"beside one that hung up":     {nil, []flow.Socket{hungUp, own}, &own},
		"beside one of another mode":  {nil, []flow.Socket{elsewhere, own}, &own},
		"as it was seen, not as sent": {seen, []flow.Socket{own, otherPort}, &otherPort},
	} {
		p := &probe{local: local, vip: vip, row: &flow.Connection{}, arrived: test.arrived}
		if diff := cmp.Diff(test.want, trial.socketOf(p, test.sockets), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// Whatever the director makes of its addresses, a connection is known by its
// mark, and its replies by where they come from and go to.
func TestFollow(t *testing.T) {
	inv := topology(t, mixed)
	s := inv.Services[0]
	at := netip.MustParseAddrPort
	local, vip, rip, behind := at("192.0.2.7:40000"), at("192.0.2.30:80"), at("192.0.2.5:8080"), at("192.0.2.3:1024")
	ev := &evidence{probes: []probe{{client: "client", vip: vip, local: local, row: &flow.Connection{Client: local, Destination: rip}, server: s.RealServers[1]}}}
	tr := &trial{gatherer: &gatherer{inv: inv}, service: s, ports: []uint16{80}, ev: ev, seen: map[string][]flow.Sighting{
		"lb": {
			{From: local, To: vip, Opening: true, Mark: 7, Count: 1},
			{From: local, To: vip, Count: 2},
			{From: at("192.0.2.7:1"), To: vip, Opening: true, Mark: 8, Count: 1},
			{To: vip, Opening: true, Count: 3},
			{From: rip, To: behind, Opening: true, Mark: 7, Count: 1},
			{From: rip, To: at("192.0.2.3:1025"), Opening: true, Mark: 9, Count: 1},
		},
		"web1": {{From: at("192.0.2.3:1026"), To: at("192.0.2.4:80"), Opening: true, Mark: 7, Count: 1}},
		"web2": {
			{From: at("192.0.2.3:1025"), To: rip, Opening: true, Mark: 9, Count: 1},
			{From: behind, To: rip, Opening: true, Mark: 7, Count: 1},
		},
	}}
	tr.requests()
	tr.follow()
	p := ev.probes[0]
	if p.requests != 3 || p.replies != 1 || ev.others != 4 {
		t.Errorf("%d requests, %d replies, %d of others", p.requests, p.replies, ev.others)
	}
	if p.arrived == nil || p.arrived.From != behind || p.server != s.RealServers[1] {
		t.Errorf("arrived: %+v", p.arrived)
	}
}

// A foreign MASQUERADE or SNAT on the way: the probe is found under whatever
// address and port it has got, and so are its replies.
func TestFollowRewrittenSource(t *testing.T) {
	at := netip.MustParseAddrPort
	const mark = 7
	local, stranger := at("198.51.100.7:40000"), at("203.0.113.9:40000")
	for name, test := range map[string]struct {
		service  string
		seen     map[string][]flow.Sighting
		row      netip.AddrPort // client in the connection table
		sockets  []flow.Socket  // of web1
		want     netip.AddrPort // source that the real server saw
		requests int
		replies  int
	}{
		"nat, by the director, with another port": {
			service: nat,
			seen: map[string][]flow.Sighting{
				"lb": {
					{From: local, To: at("192.0.2.30:80"), Opening: true, Mark: mark, Count: 1},
					{From: at("192.0.2.4:8080"), To: at("192.0.2.3:2000"), Opening: true, Mark: mark, Count: 1},
				},
				"web1": {{From: at("192.0.2.3:2000"), To: at("192.0.2.4:8080"), Opening: true, Mark: mark, Count: 1}},
			},
			row:     local,
			sockets: []flow.Socket{{Local: at("192.0.2.4:8080"), Remote: at("192.0.2.3:2000"), State: "ESTABLISHED"}},
			want:    at("192.0.2.3:2000"), requests: 1, replies: 1,
		},
		"nat, by a gateway before the director": {
			service: nat,
			seen: map[string][]flow.Sighting{
				"lb": {
					{From: at("192.0.2.1:3000"), To: at("192.0.2.30:80"), Opening: true, Mark: mark, Count: 1},
					{From: stranger, To: at("192.0.2.30:80"), Opening: true, Mark: 8, Count: 1},
					{From: at("192.0.2.4:8080"), To: at("192.0.2.1:3000"), Count: 2},
				},
				"web1": {{From: at("192.0.2.1:3000"), To: at("192.0.2.4:8080"), Opening: true, Mark: mark, Count: 1}},
			},
			row:     at("192.0.2.1:3000"),
			sockets: []flow.Socket{{Local: at("192.0.2.4:8080"), Remote: at("192.0.2.1:3000"), State: "ESTABLISHED"}},
			want:    at("192.0.2.1:3000"), requests: 1, replies: 2,
		},
		// The answer's payload is another, so it is known by its address.
		"udp nat, by the director, with another port": {
			service: "vip: 192.0.2.30, port: 80, protocol: udp, mode: nat, scheduler: rr, real_servers: [web1, web2]",
			seen: map[string][]flow.Sighting{
				"lb": {
					{From: local, To: at("192.0.2.30:80"), Mark: mark, Count: 1},
					{From: at("192.0.2.4:80"), To: at("192.0.2.3:2000"), Mark: 9, Count: 1},
				},
				"web1": {{From: stranger, To: at("192.0.2.4:80"), Mark: 8, Count: 1}, {From: at("192.0.2.3:2000"), To: at("192.0.2.4:80"), Mark: mark, Count: 1}},
			},
			row:  local,
			want: at("192.0.2.3:2000"), requests: 1, replies: 1,
		},
		"dr, by the director": {
			service: rr,
			seen: map[string][]flow.Sighting{
				"lb": {
					{From: local, To: at("192.0.2.30:80"), Opening: true, Mark: mark, Count: 1},
					{From: at("192.0.2.30:80"), To: at("192.0.2.3:40000"), Opening: true, Mark: mark, Count: 1},
				},
				"web1": {{From: at("192.0.2.3:40000"), To: at("192.0.2.30:80"), Opening: true, Mark: mark, Count: 1}},
			},
			row:  local,
			want: at("192.0.2.3:40000"), requests: 1, replies: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inv := topology(t, test.service)
			s := inv.Services[0]
			ev := &evidence{probes: []probe{{client: "remote", vip: at("192.0.2.30:80"), local: local, mark: mark, failed: "no answer within 3s"}}}
			tr := &trial{gatherer: &gatherer{inv: inv}, service: s, ports: []uint16{80}, ev: ev, seen: test.seen}
			tr.requests()
			p := tr.probeAt(test.row)
			if p == nil {
				t.Fatal("the connection table's row is no probe's")
			}
			p.director, p.server = "lb", s.RealServers[0]
			p.row = &flow.Connection{Client: test.row, Destination: netip.AddrPortFrom(at("192.0.2.4:1").Addr(), s.RealServers[0].Port), State: "SYN_RECV"}
			tr.follow()
			tr.matchSockets(s.RealServers[0].Host, test.sockets, false)
			from, _, ok := p.saw()
			if !ok || from != test.want || p.requests != test.requests || p.replies != test.replies || (p.socket != nil) != (test.sockets != nil) {
				t.Errorf("%+v, and the real server saw %v", p, from)
			}
			for _, c := range judge(s, ev).Checks {
				for _, untrue := range []string{"no reply came back", "does not have", "did not reach"} {
					if strings.Contains(c.Evidence, untrue) {
						t.Errorf("%s: %s", c.Name, c.Evidence)
					}
				}
			}
		})
	}
}

// Several real servers of a service can be on one host. Where no connection table
// tells which of them got a probe, where it came in does.
func TestSeveralRealServersOnOneHost(t *testing.T) {
	at := netip.MustParseAddrPort
	const two = "real_servers: [{host: web1, port: 5140}, {host: web1, port: 5141}]"
	local := at("192.0.2.7:40000")
	for name, test := range map[string]struct {
		service string
		seen    flow.Sighting // at web1
		wrapped *flow.Sighting
		socket  *flow.Socket
		want    int // of the real servers
	}{
		"one-packet, the first":  {"vip: 192.0.2.53, port: 514, protocol: udp, one_packet: true, replies: none, mode: nat, scheduler: rr, " + two, flow.Sighting{From: local, To: at("192.0.2.4:5140"), Count: 1}, nil, nil, 0},
		"one-packet, the second": {"vip: 192.0.2.53, port: 514, protocol: udp, one_packet: true, replies: none, mode: nat, scheduler: rr, " + two, flow.Sighting{From: local, To: at("192.0.2.4:5141"), Count: 1}, nil, nil, 1},
		"a socket alone":         {"vip: 192.0.2.53, port: 514, mode: nat, scheduler: rr, " + two, flow.Sighting{}, nil, &flow.Socket{Local: at("192.0.2.4:5141"), Remote: local, State: "ESTABLISHED"}, 1},
		"of another mode":        {"vip: 192.0.2.53, port: 514, mode: nat, scheduler: rr, real_servers: [{host: web1, port: 5140}, {host: web1, mode: dr}]", flow.Sighting{From: local, To: at("192.0.2.53:514"), Opening: true, Count: 1}, nil, nil, 1},
		"in a tunnel": {"vip: 192.0.2.53, port: 514, protocol: udp, one_packet: true, mode: tun, scheduler: rr, real_servers: [{host: web1, address: 192.0.2.4}, {host: web1, address: '2001:db8::4', tunnel: {type: gre}}]",
			flow.Sighting{From: local, To: at("192.0.2.53:514"), Count: 1}, &flow.Sighting{Tunnel: "gre", OuterTo: netip.MustParseAddr("2001:db8::4"), From: local, To: at("192.0.2.53:514"), Count: 1}, nil, 1},
	} {
		inv := topology(t, test.service)
		s := inv.Services[0]
		ev := &evidence{probes: []probe{{client: "client", vip: at("192.0.2.53:514"), local: local}}}
		tr := &trial{gatherer: &gatherer{inv: inv}, service: s, ports: []uint16{514}, ev: ev, seen: map[string][]flow.Sighting{"web1": {test.seen}}}
		if test.wrapped != nil {
			tr.seen["web1"] = append(tr.seen["web1"], *test.wrapped)
		}
		tr.follow()
		if test.socket != nil {
			tr.matchSockets(s.RealServers[0].Host, []flow.Socket{*test.socket}, false)
		}
		p := ev.probes[0]
		if p.server != s.RealServers[test.want] {
			t.Errorf("%s: it came to %+v", name, p.server)
		}
		for _, c := range judge(s, ev).Checks {
			if strings.HasPrefix(c.Name, "destination") && c.Outcome != Passed || c.Name == checkTunnelled && c.Outcome != Passed {
				t.Errorf("%s: %s %s: %s", name, c.Name, c.Outcome, c.Evidence)
			}
		}
	}
}

// Where a busy host could not tell all packets apart, nothing follows from a
// probe that was not seen.
func TestFollowAmongMoreThanCanBeToldApart(t *testing.T) {
	inv := topology(t, rr)
	s := inv.Services[0]
	at := netip.MustParseAddrPort
	first, second := at("192.0.2.7:40000"), at("192.0.2.7:40001")
	ev := &evidence{probes: []probe{
		{client: "client", vip: at("192.0.2.30:80"), local: first},
		{client: "client", vip: at("192.0.2.30:80"), local: second, failed: "no answer within 3s"},
	}}
	tr := &trial{gatherer: &gatherer{inv: inv}, service: s, ports: []uint16{80}, ev: ev, seen: map[string][]flow.Sighting{
		"lb":   {{From: first, To: at("192.0.2.30:80"), Opening: true, Count: 1}, {Count: 1000}},
		"web1": {{From: first, To: at("192.0.2.30:80"), Opening: true, Count: 1}, {Count: 1000}},
	}}
	tr.requests()
	tr.follow()
	if p := ev.probes[0]; p.noWatch || p.noArrival || p.requests != 1 {
		t.Errorf("a probe that was seen: %+v", p)
	}
	if p := ev.probes[1]; !p.noWatch || !p.noArrival {
		t.Errorf("a probe that was not seen: %+v", p)
	}
	if ev.others != 1000 {
		t.Errorf("%d connections of others", ev.others)
	}
}

// A director that is a real server, too, and cannot watch is missing for what
// looks at the real servers, not only for what looks at directors.
func TestDirectorThatIsRealServerCannotWatch(t *testing.T) {
	inv := topology(t, strings.Replace(dns, "real_servers: [web1, web2]", "real_servers: [web1]", 1))
	s := inv.Services[0]
	s.RealServers[0].Host = s.Directors[0]
	w := newWorld(t, inv)
	w.Traffic.Break("lb", wire.MethodWatchStart)
	r, err := Run(t.Context(), inv, w.hosts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Services[0].Checks[1]; c.Name != checkServerKnown || c.Outcome != Unknown || !strings.Contains(c.Evidence, "lb: watch for packets") {
		t.Errorf("%+v", c)
	}
}

// What a director keeps for itself comes in before it is changed: that tells nothing
// of what its program gets.
func TestDirectorThatIsRealServer(t *testing.T) {
	const service = "vip: 192.0.2.53, port: 53, real_servers: [{host: web1, port: 5353}], scheduler: rr, mode: nat"
	for protocol, test := range map[string]struct {
		socket  *flow.Socket
		outcome Outcome // of destination-is-real-server; empty: there is none
	}{
		"udp": {nil, ""},
		"tcp": {&flow.Socket{Local: netip.MustParseAddrPort("192.0.2.4:5353"), Remote: netip.MustParseAddrPort("192.0.2.7:40000"), State: "ESTABLISHED"}, Passed},
	} {
		for _, known := range []bool{true, false} {
			s := topology(t, service+", protocol: "+protocol).Services[0]
			ev := good(s)
			s.Directors = []*inventory.Host{s.RealServers[0].Host}
			ev.probes = ev.probes[:1]
			p := &ev.probes[0]
			p.arrived = &flow.Sighting{From: p.local, To: p.vip, Count: 1}
			want := test.outcome
			if p.socket = test.socket; !known {
				p.socket, p.noSockets = nil, true
				if want != "" {
					want = Unknown
				}
			}
			got := judge(s, ev)
			var outcome Outcome
			for _, c := range got.Checks {
				if c.Name == checkDestServer {
					outcome = c.Outcome
				}
			}
			if outcome != want || got.Probes[0].Destination.IsValid() != (p.socket != nil) {
				t.Errorf("%s, socket known %v: %s is %q, want %q; the real server saw %v", protocol, known, checkDestServer, outcome, want, got.Probes[0].Destination)
			}
		}
	}
}

// Datagrams that the director is the only one to get, and that nobody answers, have
// arrived when they have come in there.
func TestOnePacketThatTheDirectorKeeps(t *testing.T) {
	for name, test := range map[string]struct {
		mode, others string
		want         Outcome
	}{
		"alone":            {"dr", "", Passed},
		"others have none": {"dr", ", {host: web2, weight: 0}", Passed},
		"one of two":       {"dr", ", web2", Unknown},
		// Its program listens at another address than the one for which it comes in.
		"rewritten": {"nat", "", Unknown},
	} {
		inv := topology(t, "vip: 192.0.2.53, port: 514, protocol: udp, replies: none, one_packet: true, scheduler: rr, mode: "+test.mode+", real_servers: [web1"+test.others+"]")
		s := inv.Services[0]
		s.RealServers[0].Host = s.Directors[0]
		local, vip := netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("192.0.2.53:514")
		ev := &evidence{probes: []probe{{client: "client", vip: vip, local: local}}}
		tr := &trial{gatherer: &gatherer{inv: inv}, service: s, ports: []uint16{514}, ev: ev, seen: map[string][]flow.Sighting{"lb": {{From: local, To: vip, Count: 1}}}}
		tr.requests()
		tr.follow()
		tr.takeArrivals(map[string][]netip.AddrPort{"lb": {netip.MustParseAddrPort("0.0.0.0:514")}, "web2": nil})
		for _, c := range judge(s, ev).Checks[:2] {
			if c.Outcome != test.want {
				t.Errorf("%s: %s %s: %s", name, c.Name, c.Outcome, c.Evidence)
			}
		}
	}
}

// A watch for packets in tunnels has room for few addresses: those of hosts that may
// have changed a probe's source, and not those of a whole inventory.
func TestWhoMayRewriteBeforeTheTunnel(t *testing.T) {
	inv := topology(t, tun)
	s := inv.Services[0]
	far, gw, lb := inv.Hosts[1], inv.Hosts[2], inv.Hosts[3]
	elsewhere := *gw
	elsewhere.Name, elsewhere.NICs = "gw2", []*inventory.NIC{{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.1/24")}}}
	other := *lb
	other.Name, other.NICs = "lb9", []*inventory.NIC{{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/24")}}}
	inv.Hosts = append(inv.Hosts, &elsewhere, &other)
	for name, test := range map[string]struct {
		client *inventory.Host
		want   []*inventory.Host
	}{
		"beside the director":     {inv.Hosts[0], []*inventory.Host{lb}},
		"behind a gateway":        {far, []*inventory.Host{lb, gw}},
		"by a way nobody can say": {&inventory.Host{Name: "client", Roles: far.Roles, NICs: far.NICs}, []*inventory.Host{lb, gw, &elsewhere}},
	} {
		var want []netip.Addr
		for _, h := range test.want {
			want = append(want, familyOf(s.VIP, addressesOf(h))...)
		}
		tr := &trial{gatherer: &gatherer{inv: inv}, service: s, targets: []target{{client: test.client}}}
		if got := tr.rewritersBefore(s.RealServers[0]); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// What nobody answers is proved by its arrival at a real server, and by the program
// that listens there.
func TestRunWithoutReplies(t *testing.T) {
	listen := func(w *world, hosts ...string) {
		for _, h := range hosts {
			w.Traffic.Listen(h, netip.MustParseAddrPort("0.0.0.0:514"))
		}
	}
	for name, test := range map[string]struct {
		prepare func(*world)
		opts    Options
		want    Outcome
		tells   string
	}{
		"both listen": {func(w *world) { listen(w, "web1", "web2") }, Options{}, Passed, ""},
		"one listens": {func(w *world) { listen(w, "web1") }, Options{}, Failed, "from client: it arrived where nothing listens (it came to web2 from 192.0.2.7 for 192.0.2.53:514)"},
		"stand-in":    {func(*world) {}, Options{StandIn: true}, Passed, ""},
		"one cannot be asked who listens": {func(w *world) {
			listen(w, "web1", "web2")
			w.Traffic.Break("web2", wire.MethodListeners)
		}, Options{}, Unknown, "from client: whether it arrived is not known"},
		"one cannot watch": {func(w *world) {
			listen(w, "web1", "web2")
			w.Traffic.Break("web2", wire.MethodWatchStart)
		}, Options{}, Unknown, "from client: whether it arrived is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			inv := topology(t, syslog)
			w := newWorld(t, inv)
			test.prepare(w)
			r, err := Run(t.Context(), inv, w.hosts, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if c := r.Services[0].Checks[0]; r.Outcome != test.want || !strings.Contains(c.Evidence, test.tells) {
				t.Errorf("%s: %+v", r.Outcome, r.Services[0].Checks)
			}
		})
	}
}

// Tunnels are asked both ways and need no service.
func TestRunOfATunnel(t *testing.T) {
	inv := topology(t, rr)
	inv.Tunnels = []*inventory.Tunnel{{Name: "tun0", Type: "gre", Ends: [2]*inventory.TunnelEnd{
		{Host: inv.Hosts[0], Address: netip.MustParseAddr("198.51.100.1")}, {Host: inv.Hosts[3], Address: netip.MustParseAddr("198.51.100.2")},
	}}}
	inv.Services = nil
	w := newWorld(t, inv)
	r, err := Run(t.Context(), inv, w.hosts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lb watch-start", "client echo", "lb watch-stop", "client watch-start", "lb echo", "client watch-stop"}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("calls (-want +got)\n%s", diff)
	}
	// Nothing came in through a tunnel in this world.
	if r.Outcome == Passed || len(r.Tunnels) != 1 || r.Tunnels[0].Checks[0].Outcome != Passed || r.Tunnels[0].Checks[1].Outcome == Passed {
		t.Errorf("%+v", r)
	}
}
