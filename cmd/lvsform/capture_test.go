package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// TestWalksInLab captures what the examples do not have: port forwards, a
// pool of local addresses, a one-armed director, tunnels in the way.
func TestWalksInLab(t *testing.T) {
	if testing.Short() {
		t.Skip("boots labs; -short was given")
	}
	t.Parallel()
	for _, name := range []string{"nat-one-armed", "dr-port-forward", "tun-gue", "tun-ipv6", "fullnat-pool"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := start(t, "../../modes/testdata/walk/"+name+".yaml")
			l.run(t, 0, "lvsform", "apply", "--yes", "--no-verify")
			if err := l.seenAsExplained(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// sighting is a packet as one host saw it pass a device, in the words of both
// a capture and a walk: "lb eth1 Out, from lb eth1's, 192.0.2.3 > 198.51.100.4, 192.0.2.7 > 192.0.2.30:80".
type sighting string

func sight(host, device, way, mac, outer, inner string) sighting {
	s := host + " " + device + " " + way
	for _, part := range []string{"from " + mac, outer, inner} {
		if part != "" && part != "from " {
			s += ", " + part
		}
	}
	return sighting(s)
}

// claims are the sightings a way's hops promise.
func claims(hops []modes.Hop) []sighting {
	var out []sighting
	for i, h := range hops {
		outer, inner := "", fmt.Sprintf("%s > %s", h.Source, h.Destination)
		if h.Outer != nil {
			outer = fmt.Sprintf("%s > %s", h.Outer.Source, modes.Endpoint{Address: h.Outer.Destination, Port: h.Outer.Port})
			if h.Outer.Protocol == "gue" {
				inner = "" // tcpdump does not look into it
			}
		}
		switch {
		case h.To.Device == "": // a program, not a device
		case h.From.MAC == "" && i > 0 && hops[i-1].Outer != nil: // out of a tunnel
			out = append(out, sight(h.To.Host, h.To.Device, "In", "", outer, inner))
		case h.From.MAC == "":
			out = append(out, sight(h.To.Host, h.To.Device, "Out", "", outer, inner))
		default:
			// Only what is for the device's own MAC address comes In.
			out = append(out, sight(h.From.Host, h.From.Device, "Out", h.From.MAC, outer, inner),
				sight(h.To.Host, h.To.Device, "In", h.From.MAC, outer, inner))
		}
	}
	return out
}

// decoder turns what tcpdump prints into sightings.
type decoder struct {
	macs  map[string]string         // whose: "lb eth0's"
	ports map[netip.AddrPort]bool   // that walks name; all others are anybody's choice
	gue   map[netip.AddrPort]bool   // where GUE is taken off
	alias map[netip.Addr]netip.Addr // of a pool: the one that walks name
}

func newDecoder(inv *inventory.Inventory, walks []modes.Walk) *decoder {
	d := &decoder{map[string]string{}, map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}, map[netip.Addr]netip.Addr{}}
	for _, s := range inv.Services {
		for _, a := range s.LocalAddresses {
			d.alias[a] = s.LocalAddresses[0]
		}
	}
	for _, w := range walks {
		for _, h := range slices.Concat(w.Request, w.Reply) {
			for _, e := range []modes.Endpoint{h.Source, h.Destination} {
				d.ports[netip.AddrPortFrom(e.Address, e.Port)] = true
			}
			if h.Outer != nil && h.Outer.Port != 0 {
				d.gue[netip.AddrPortFrom(h.Outer.Destination, h.Outer.Port)] = true
			}
		}
	}
	return d
}

// decode returns the sightings in a host's capture. Packets without ports,
// such as ICMP, are none; nor is anything on the management network.
func (d *decoder) decode(host, capture string) map[sighting]bool {
	line := regexp.MustCompile(`^\S+ (\S+) +(\S+) +ifindex \d+ (?:([0-9a-f:]{17}) )?(.*)$`)
	pair := regexp.MustCompile(`(\S+) > (\S+): `)
	out := map[sighting]bool{}
	for text := range strings.Lines(capture) {
		m := line.FindStringSubmatch(strings.TrimSpace(text))
		if m == nil || m[1] == "lo" || m[1] == "mgmt0" {
			continue
		}
		pairs := pair.FindAllStringSubmatch(m[4], -1)
		if len(pairs) == 0 {
			continue
		}
		last := pairs[len(pairs)-1]
		from, ok1 := parseEndpoint(last[1])
		to, ok2 := parseEndpoint(last[2])
		if !ok1 || !ok2 {
			continue
		}
		outer, inner := "", fmt.Sprintf("%s > %s", d.endpoint(from), d.endpoint(to))
		switch {
		case len(pairs) > 1:
			outer = pairs[0][1] + " > " + pairs[0][2]
		case d.gue[to]:
			outer, inner = fmt.Sprintf("%s > %s", from.Addr(), to), ""
		}
		out[sight(host, m[1], m[2], d.macs[m[3]], outer, inner)] = true
	}
	return out
}

// parseEndpoint reads tcpdump's ADDRESS.PORT.
func parseEndpoint(s string) (netip.AddrPort, bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return netip.AddrPort{}, false
	}
	a, err := netip.ParseAddr(s[:i])
	port, err2 := strconv.ParseUint(s[i+1:], 10, 16)
	return netip.AddrPortFrom(a, uint16(port)), err == nil && err2 == nil
}

func (d *decoder) endpoint(a netip.AddrPort) modes.Endpoint {
	e := modes.Endpoint{Address: a.Addr()}
	if one, ok := d.alias[a.Addr()]; ok {
		e.Address = one
	}
	if d.ports[a] {
		e.Port = a.Port()
	}
	return e
}

// startCapture takes the headers only: tcpdump has memory for few whole packets.
// Multicast is no part of a walk: neighbour discovery, and sync daemons'.
const startCapture = `
ip -o link
cd /tmp
tcpdump -i any -n -e -q -l -s 256 --immediate-mode '(ip or ip6) and not ip multicast and not ip6 multicast' >capture 2>capture.err </dev/null &
echo $! >capture.pid
until grep -q ^listening capture.err; do kill -0 $! || { cat capture.err >&2; exit 1; }; sleep 0.05; done`

// endCapture sends a packet to the host itself: when tcpdump has printed that,
// it has printed everything before. It must have missed nothing.
const endCapture = `
cd /tmp
bash -c 'echo >/dev/udp/127.0.0.1/9'
until grep -q '> 127.0.0.1.9: ' capture; do sleep 0.05; done
kill -INT $(cat capture.pid)
while kill -0 $(cat capture.pid) 2>/dev/null; do sleep 0.05; done
cat capture
grep -q '^0 packets dropped by kernel' capture.err || { cat capture.err >&2; exit 1; }
rm capture capture.err capture.pid`

// seenAsExplained captures on every host while every client opens connections
// to every service. What was seen must be what the walks claim, and nothing
// else: so no reply has passed a director that a walk does not take it through.
func (l *lab) seenAsExplained(ctx context.Context) error {
	var walks []modes.Walk
	var traffic []func() error
	for _, s := range l.inv.Services {
		for _, c := range modes.Clients(l.inv, s) {
			for _, r := range s.RealServers {
				walks = append(walks, modes.Explain(l.inv, s, c, r))
			}
			traffic = append(traffic, func() error {
				_, err := onHost(ctx, l.Lab, c.Name, connections(s, modes.Entry(l.inv, s, c)))
				return err
			})
		}
	}
	if len(walks) == 0 {
		return nil
	}
	d := newDecoder(l.inv, walks)
	links, err := l.onEvery(ctx, startCapture)
	if err != nil {
		return err
	}
	for host, text := range links {
		for _, m := range regexp.MustCompile(`(?m)^\d+: ([^:@]+).* link/ether (\S+)`).FindAllStringSubmatch(text, -1) {
			d.macs[m[2]] = host + " " + m[1] + "'s"
		}
	}
	for _, send := range traffic {
		if err := send(); err != nil {
			return err
		}
	}
	captures, err := l.onEvery(ctx, endCapture)
	if err != nil {
		return err
	}
	seen := map[sighting]bool{}
	for host, text := range captures {
		maps.Copy(seen, d.decode(host, text))
	}
	return compareSightings(walks, seen)
}

// connections is a script that opens as many connections as it takes to have
// each real server chosen once.
func connections(s *inventory.Service, to netip.AddrPort) string {
	n := uint32(0)
	for _, r := range s.RealServers {
		n += r.Weight
	}
	use := ":"
	if s.Protocol == inventory.UDP {
		use = "echo >&3; read -n 1 -t 5 -u 3"
	}
	return fmt.Sprintf("bash -c 'for i in {1..%d}; do exec 3<>/dev/%s/%s/%d && %s || exit 1; exec 3>&-; done; sleep 0.2'",
		n, s.Protocol, to.Addr(), to.Port(), use)
}

func (l *lab) onEvery(ctx context.Context, script string) (map[string]string, error) {
	texts := make([]string, len(l.inv.Hosts))
	var g errgroup.Group
	for i, h := range l.inv.Hosts {
		g.Go(func() (err error) {
			texts[i], err = onHost(ctx, l.Lab, h.Name, script)
			return err
		})
	}
	err := g.Wait()
	out := map[string]string{}
	for i, h := range l.inv.Hosts {
		out[h.Name] = texts[i]
	}
	return out, err
}

func compareSightings(walks []modes.Walk, seen map[sighting]bool) error {
	var wrong []string
	claimed, taken := map[sighting]bool{}, map[string]bool{}
	for _, w := range walks {
		if w.Lost != "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s -> %s is lost: %s", w.Service, w.Client, w.RealServer, w.Lost))
		}
		request := claims(w.Request)
		all := append(slices.Clone(request), claims(w.Reply)...)
		// A persistent client has but one of the real servers.
		used := slices.ContainsFunc(request, func(s sighting) bool { return seen[s] && strings.HasPrefix(string(s), w.RealServer+" ") })
		taken[w.Service+" from "+w.Client] = taken[w.Service+" from "+w.Client] || used
		for _, s := range all {
			claimed[s] = true
			if used && !seen[s] {
				wrong = append(wrong, fmt.Sprintf("%s: %s -> %s: explained and not seen: %s", w.Service, w.Client, w.RealServer, s))
			}
		}
	}
	for s := range seen {
		if !claimed[s] {
			wrong = append(wrong, "seen and not explained: "+string(s))
		}
	}
	for way, ok := range taken {
		if !ok {
			wrong = append(wrong, "no real server of "+way+" was reached")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("the walks and the capture differ:\n%s", strings.Join(slices.Compact(wrong), "\n"))
}

func (l *lab) seenVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: seen-as-explained")
	}
	ctx, cancel := context.WithTimeout(context.Background(), storyLimit)
	defer cancel()
	ts.Check(l.seenAsExplained(ctx))
}

// What tcpdump prints of a request through GRE, and of one through GUE.
func TestCompareSightings(t *testing.T) {
	end := func(s string) modes.Endpoint {
		if a, err := netip.ParseAddrPort(s); err == nil {
			return modes.Endpoint{Address: a.Addr(), Port: a.Port()}
		}
		return modes.Endpoint{Address: netip.MustParseAddr(s)}
	}
	walk := func(protocol string, port uint16) modes.Walk {
		outer := &modes.Outer{Source: end("192.0.2.3").Address, Destination: end("192.0.2.4").Address, Protocol: protocol, Port: port}
		hop := modes.Hop{Source: end("2001:db8::7"), Destination: end("[2001:db8::30]:80")}
		wire, inside := hop, hop
		wire.Outer = outer
		wire.From, wire.To = modes.Station{Host: "lb", Device: "eth0", MAC: "lb eth0's"}, modes.Station{Host: "web1", Device: "eth1"}
		inside.From, inside.To = modes.Station{Host: "web1", Device: "eth1"}, modes.Station{Host: "web1", Device: "tunl0"}
		return modes.Walk{Service: "web", Client: "client", RealServer: "web1", Request: []modes.Hop{wire, inside}}
	}
	const (
		out    = "10:52:24.6 eth0  Out ifindex 2 02:00:00:00:00:01 "
		in     = "10:52:24.6 eth1  In  ifindex 2 02:00:00:00:00:01 "
		gre    = "192.0.2.3 > 192.0.2.4: GREv0, proto IPv6 (0x86dd), length 64: 2001:db8::7.39464 > 2001:db8::30.80: tcp 0\n"
		gue    = "192.0.2.3.34194 > 192.0.2.4.5555: UDP, length 64\n"
		inside = "10:52:24.6 tunl0 In  ifindex 4 2001:db8::7.39464 > 2001:db8::30.80: tcp 0\n"
	)
	for _, c := range []struct {
		name     string
		walk     modes.Walk
		lb, web1 string
		want     string
	}{
		{"gre", walk("gre", 0), out + gre, in + gre + inside, ""},
		{"gue", walk("gue", 5555), out + gue, in + gue + inside, ""},
		{"not seen", walk("gre", 0), "", in + gre + inside,
			"web: client -> web1: explained and not seen: lb eth0 Out, from lb eth0's, 192.0.2.3 > 192.0.2.4, 2001:db8::7 > [2001:db8::30]:80"},
		{"not explained", walk("gre", 0), out + gre + "10:52:24.6 eth0  In  ifindex 2 02:00:00:00:00:02 2001:db8::30.80 > 2001:db8::7.39464: tcp 0\n", in + gre + inside,
			"seen and not explained: lb eth0 In, from web1 eth1's, [2001:db8::30]:80 > 2001:db8::7"},
		{"another MAC", walk("gre", 0), out + gre, strings.ReplaceAll(in, ":01", ":02") + gre + inside,
			"seen and not explained: web1 eth1 In, from web1 eth1's, 192.0.2.3 > 192.0.2.4, 2001:db8::7 > [2001:db8::30]:80"},
		{"nothing", walk("gre", 0), "", "", "no real server of web from client was reached"},
	} {
		d := newDecoder(&inventory.Inventory{}, []modes.Walk{c.walk})
		d.macs = map[string]string{"02:00:00:00:00:01": "lb eth0's", "02:00:00:00:00:02": "web1 eth1's"}
		seen := d.decode("lb", c.lb)
		maps.Copy(seen, d.decode("web1", c.web1))
		got := ""
		if err := compareSightings([]modes.Walk{c.walk}, seen); err != nil {
			got = err.Error()
		}
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
