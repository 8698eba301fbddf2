package verify

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
)

// world answers for all hosts as a working topology would: lb gives
// connections to the real servers in turns.
type world struct {
	inv   *inventory.Inventory
	rows  []wire.Connection
	held  map[string]int          // open probes by client
	watch map[string][]netip.Addr // whom a host watches
	calls []string                // "host method" in their order, those made side by side left out
	// broken makes a call fail: "host method".
	broken string
}

func newWorld(inv *inventory.Inventory) *world {
	return &world{inv: inv, held: map[string]int{}, watch: map[string][]netip.Addr{}}
}

func (w *world) callers() map[string]wire.Caller {
	out := map[string]wire.Caller{}
	for _, h := range w.inv.Hosts {
		out[h.Name] = &worldHost{w, h}
	}
	return out
}

type worldHost struct {
	*world
	host *inventory.Host
}

var errBroken = errors.New("out of order")

func (h *worldHost) Call(_ context.Context, m wire.Method, req, resp any) error {
	if h.broken == h.host.Name+" "+string(m) {
		return errBroken
	}
	if m != wire.MethodMACs && m != wire.MethodSockets {
		h.calls = append(h.calls, h.host.Name+" "+string(m))
	}
	out, err := json.Marshal(h.answer(m, req))
	if err != nil {
		return err
	}
	return json.Unmarshal(out, resp)
}

func (h *worldHost) answer(m wire.Method, req any) any {
	own := h.host.NICs[0].Addresses[0].Addr()
	switch req := req.(type) {
	case wire.ProbeOpenRequest:
		var out wire.ProbeOpened
		servers := h.inv.Services[0].RealServers
		for range req.Count {
			n := len(h.rows)
			local := netip.AddrPortFrom(own, uint16(40000+n))
			rip := servers[n%len(servers)].Host.NICs[0].Addresses[0].Addr()
			h.rows = append(h.rows, wire.Connection{Client: local, Destination: netip.AddrPortFrom(rip, req.Address.Port()), State: "ESTABLISHED"})
			out.Probes = append(out.Probes, wire.Probe{Local: local})
		}
		h.held[h.host.Name] += req.Count
		return out
	case wire.ConnectionsRequest:
		var out wire.Connections
		for _, row := range h.rows {
			if slices.Contains(req.Clients, row.Client) {
				out.Found = append(out.Found, row)
			}
		}
		return out
	case wire.SocketsRequest:
		var out wire.Sockets
		for _, row := range h.rows {
			if row.Destination.Addr() == own && slices.Contains(req.Peers, row.Client.Port()) {
				s := h.inv.Services[0]
				out.Found = append(out.Found, wire.Socket{Local: netip.AddrPortFrom(s.VIP, s.Port), Remote: row.Client, State: "ESTABLISHED"})
			}
		}
		return out
	case wire.WatchRequest:
		h.watch[h.host.Name] = req.Clients
	case wire.WhoHasRequest:
		return wire.WhoHas{MACs: []string{lbMAC}}
	}
	switch m {
	case wire.MethodWatchStop:
		var out wire.Watched
		for _, row := range h.rows {
			if slices.Contains(h.watch[h.host.Name], row.Client.Addr()) {
				out.Flows = append(out.Flows, wire.Flow{Client: row.Client, Opening: 1, Requests: 2})
			}
		}
		delete(h.watch, h.host.Name)
		return out
	case wire.MethodProbeClose:
		h.held[h.host.Name] = 0
	case wire.MethodMACs:
		last := own.As4()[3]
		return wire.MACs{Devices: map[string]string{"eth0": "02:00:00:00:00:0" + string('0'+rune(last))}}
	}
	return wire.Nothing{}
}

func TestRun(t *testing.T) {
	inv := topology(t, rr)
	w := newWorld(inv)
	r, err := Run(t.Context(), inv, w.callers(), Options{Probes: 2})
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "run.json", append(out, '\n'))
	// The watch is on before the first probe, and the tables are read while
	// the probes are open.
	want := []string{
		"lb watch-start", "client probe-open", "lb connections", "lb watch-stop", "client probe-close",
		"lb watch-start", "remote probe-open", "lb connections", "lb watch-stop", "remote probe-close",
		"client who-has",
	}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("calls (-want +got)\n%s", diff)
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
		{"web1 sockets", []string{checkServerKnown}},
		{"lb watch-start", []string{checkBypass}},
		{"lb watch-stop", []string{checkBypass}},
		{"client who-has", []string{checkOneMAC}},
		{"lb macs", []string{checkOneMAC}},
		{"web1 macs", nil},
	} {
		t.Run(test.broken, func(t *testing.T) {
			inv := topology(t, rr)
			w := newWorld(inv)
			w.broken = test.broken
			r, err := Run(t.Context(), inv, w.callers(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var failed []string
			told := len(test.failed) == 0
			for _, c := range r.Services[0].Checks {
				if !c.Passed {
					failed = append(failed, c.Name)
					told = told || strings.Contains(c.Evidence, strings.Fields(test.broken)[0]+": ") && strings.Contains(c.Evidence, errBroken.Error())
				}
			}
			if diff := cmp.Diff(test.failed, failed); diff != "" {
				t.Errorf("failed checks (-want +got)\n%s", diff)
			}
			if r.Passed != (test.failed == nil) {
				t.Errorf("passed: %v", r.Passed)
			}
			if !told {
				t.Errorf("no check tells host and reason: %+v", r.Services[0].Checks)
			}
			for host, n := range w.held {
				if n != 0 && test.broken != host+" probe-close" {
					t.Errorf("%s still holds %d probes", host, n)
				}
			}
			for host := range w.watch {
				if test.broken != host+" watch-stop" {
					t.Errorf("%s still watches", host)
				}
			}
		})
	}
}

func TestRunWithoutAHost(t *testing.T) {
	inv := topology(t, rr)
	hosts := newWorld(inv).callers()
	delete(hosts, "web2")
	r, err := Run(t.Context(), inv, hosts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Services[0].Checks[1]; r.Passed || c.Passed || !strings.Contains(c.Evidence, "web2: look up sockets: not connected") {
		t.Errorf("passed: %v; %+v", r.Passed, c)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inv := topology(t, rr)
	if r, err := Run(ctx, inv, newWorld(inv).callers(), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", r, err)
	}
}

func TestClientsThatCannotProbe(t *testing.T) {
	inv := topology(t, rr)
	s := inv.Services[0]
	s.Directors = append(s.Directors, inv.Hosts[0])
	s.RealServers = append(s.RealServers, &inventory.RealServer{Host: inv.Hosts[1], Port: 80})
	clients, notes := clientsOf(inv, s)
	if len(clients) != 0 {
		t.Errorf("%d clients", len(clients))
	}
	want := []string{
		"no probe from client client: it is the service's director and would talk to itself",
		"no probe from client remote: it is a real server of the service and would talk to itself",
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
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
		"by family":              {service: `vip: "2001:db8::30", real_servers: [web1]`, want: []string{"client eth0 2001:db8::7"}},
		"VIP in no network":      {service: `vip: 203.0.113.30, real_servers: [web1]`},
	} {
		t.Run(name, func(t *testing.T) {
			inv := topology(t, test.service)
			inv.Hosts = slices.DeleteFunc(inv.Hosts, func(h *inventory.Host) bool { return slices.Contains(test.without, h.Name) })
			var got []string
			for _, a := range askersFor(inv, inv.Services[0]) {
				got = append(got, a.host.Name+" "+a.nic.Name+" "+a.source.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A request whose source was rewritten on the way is found by its port.
func TestSocketOfRewrittenSource(t *testing.T) {
	g := &gatherer{inv: topology(t, rr)}
	vip := netip.MustParseAddrPort("192.0.2.30:80")
	p := &probe{local: netip.MustParseAddrPort("192.0.2.7:40000"), row: &wire.Connection{}}
	own := wire.Socket{Local: vip, Remote: p.local}
	byDirector := wire.Socket{Local: vip, Remote: netip.MustParseAddrPort("192.0.2.3:40000")}
	stranger := wire.Socket{Local: vip, Remote: netip.MustParseAddrPort("203.0.113.9:40000")}
	otherPort := wire.Socket{Local: vip, Remote: netip.MustParseAddrPort("192.0.2.3:40001")}
	for name, test := range map[string]struct {
		sockets []wire.Socket
		want    *wire.Socket
	}{
		"as it was sent":       {[]wire.Socket{byDirector, own}, &own},
		"by a host we know":    {[]wire.Socket{stranger, byDirector}, &byDirector},
		"somebody else's":      {[]wire.Socket{stranger, otherPort}, nil},
		"no socket whatsoever": {nil, nil},
	} {
		if diff := cmp.Diff(test.want, g.socketOf(p, test.sockets), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
