package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// witness is one thing in two languages: lvsform's items, and the lines of
// another tool that say the same. Each case is read by the tool after lvsform
// has set it, and read by lvsform after the tool has.
type witness struct {
	name  string
	items []state.Item
	lines []string
}

// tool runs ipvsadm or ip on the calling thread's network namespace, which a
// child process inherits.
func tool(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func service(id state.ServiceID, change func(*state.Service)) state.Service {
	s := state.Service{ServiceID: id, Scheduler: "wlc", PersistenceBits: 32}
	if id.Is6() {
		s.PersistenceBits = 128
	}
	if change != nil {
		change(&s)
	}
	return s
}

func serviceAt(p state.Protocol, addr string) state.ServiceID {
	return state.ServiceID{Protocol: p, Address: netip.MustParseAddrPort(addr)}
}

// ipvsadmCases are in the words of `ipvsadm -Sn`.
func ipvsadmCases() []witness {
	tcp, tcp6 := serviceAt(state.TCP, "192.0.2.10:80"), serviceAt(state.TCP, "[2001:db8::10]:80")
	udp := serviceAt(state.UDP, "192.0.2.10:5060")
	var out []witness
	one := func(name string, s state.Service, line string) {
		out = append(out, witness{name, []state.Item{s}, []string{line}})
	}
	for _, scheduler := range []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"} {
		one("scheduler "+scheduler, service(tcp, func(s *state.Service) { s.Scheduler = scheduler }), "-A -t 192.0.2.10:80 -s "+scheduler)
	}
	for _, f := range []struct{ scheduler, flags, words string }{
		{"sh", "flag-1", "sh-fallback"}, {"sh", "flag-2", "sh-port"}, {"sh", "flag-1,flag-2", "sh-fallback,sh-port"},
		{"mh", "flag-1", "mh-fallback"}, {"mh", "flag-2", "mh-port"}, {"mh", "flag-1,flag-2", "mh-fallback,mh-port"},
		{"rr", "flag-3", "flag-3"}, {"wlc", "flag-1,flag-2,flag-3", "flag-1,flag-2,flag-3"},
	} {
		one("flags "+f.words, service(tcp, func(s *state.Service) { s.Scheduler, s.Flags = f.scheduler, f.flags }),
			"-A -t 192.0.2.10:80 -s "+f.scheduler+" -b "+f.words)
	}
	one("udp", service(udp, nil), "-A -u 192.0.2.10:5060 -s wlc")
	one("sctp", service(serviceAt(state.SCTP, "192.0.2.10:80"), nil), "-A --sctp-service 192.0.2.10:80 -s wlc")
	one("IPv6", service(tcp6, nil), "-A -t [2001:db8::10]:80 -s wlc")
	one("mark", service(state.ServiceID{FWMark: 7}, nil), "-A -f 7 -s wlc")
	one("IPv6 mark", service(state.ServiceID{FWMark: 7, IPv6: true}, nil), "-A -f 7 -6 -s wlc")
	one("one-packet", service(udp, func(s *state.Service) { s.OnePacket = true }), "-A -u 192.0.2.10:5060 -s wlc -o")
	one("persistence", service(tcp, func(s *state.Service) { s.Persistence = 300 }), "-A -t 192.0.2.10:80 -s wlc -p 300")
	one("any port", service(serviceAt(state.TCP, "192.0.2.10:0"), func(s *state.Service) { s.Persistence = 360 }), "-A -t 192.0.2.10:0 -s wlc -p 360")
	one("netmask", service(tcp, func(s *state.Service) { s.Persistence, s.PersistenceBits = 300, 24 }),
		"-A -t 192.0.2.10:80 -s wlc -p 300 -M 255.255.255.0")
	one("IPv6 netmask", service(tcp6, func(s *state.Service) { s.Persistence, s.PersistenceBits = 300, 64 }),
		"-A -t [2001:db8::10]:80 -s wlc -p 300 -M 64")
	one("engine", service(udp, func(s *state.Service) { s.Persistence, s.Engine = 60, "sip" }),
		"-A -u 192.0.2.10:5060 -s wlc -p 60 --pe sip")
	one("all at once", service(udp, func(s *state.Service) {
		s.Scheduler, s.Flags, s.Persistence, s.PersistenceBits, s.Engine = "sh", "flag-1,flag-2", 60, 16, "sip"
		s.OnePacket = true
	}), "-A -u 192.0.2.10:5060 -s sh -p 60 -M 255.255.0.0 --pe sip -o -b sh-fallback,sh-port")

	for _, d := range []struct {
		name, words string
		change      func(*state.Destination)
	}{
		{"nat", "-m -w 1", func(d *state.Destination) { d.Forward = state.ForwardNAT }},
		{"dr", "-g -w 1", func(d *state.Destination) { d.Forward = state.ForwardDR }},
		{"tun", "-i -w 1 --tun-type ipip", func(*state.Destination) {}},
		{"gre", "-i -w 1 --tun-type gre --tun-nocsum", func(d *state.Destination) { d.Tunnel.Type = "gre" }},
		{"gre with checksum", "-i -w 1 --tun-type gre --tun-csum", func(d *state.Destination) { d.Tunnel = state.Tunnel{Type: "gre", Checksum: true} }},
		{"gue", "-i -w 1 --tun-type gue --tun-port 5555 --tun-nocsum", func(d *state.Destination) { d.Tunnel = state.Tunnel{Type: "gue", Port: 5555} }},
		{"gue with checksum", "-i -w 1 --tun-type gue --tun-port 5555 --tun-csum", func(d *state.Destination) {
			d.Tunnel = state.Tunnel{Type: "gue", Port: 5555, Checksum: true}
		}},
		{"gue with remote checksum", "-i -w 1 --tun-type gue --tun-port 5555 --tun-remcsum", func(d *state.Destination) {
			d.Tunnel = state.Tunnel{Type: "gue", Port: 5555, RemoteChecksum: true}
		}},
		{"weight 0", "-g -w 0", func(d *state.Destination) { d.Forward, d.Weight = state.ForwardDR, 0 }},
		{"weight 65535", "-g -w 65535", func(d *state.Destination) { d.Forward, d.Weight = state.ForwardDR, 65535 }},
		{"thresholds", "-g -w 1 -x 100 -y 50", func(d *state.Destination) {
			d.Forward, d.UpperThreshold, d.LowerThreshold = state.ForwardDR, 100, 50
		}},
	} {
		for _, family := range []struct {
			id      state.ServiceID
			service string
			rip     string
		}{{tcp, "-t 192.0.2.10:80", "192.0.2.21:80"}, {tcp6, "-t [2001:db8::10]:80", "[2001:db8::21]:80"}} {
			item := state.Destination{Service: family.id, Address: netip.MustParseAddrPort(family.rip), Forward: state.ForwardTUN, Weight: 1}
			d.change(&item)
			out = append(out, witness{"destination " + d.name + " " + family.rip, []state.Item{service(family.id, nil), item}, []string{
				"-A " + family.service + " -s wlc", "-a " + family.service + " -r " + family.rip + " " + d.words}})
		}
	}
	inIPv6 := state.Destination{Service: tcp, Address: netip.MustParseAddrPort("[2001:db8::21]:80"), Forward: state.ForwardTUN, Weight: 1}
	return append(out, witness{"IPv4 in IPv6", []state.Item{service(tcp, nil), inIPv6}, []string{
		"-A -t 192.0.2.10:80 -s wlc", "-a -t 192.0.2.10:80 -r [2001:db8::21]:80 -i -w 1 --tun-type ipip"}})
}

// normalSave sorts what `ipvsadm -Sn` says into lines whose options are in
// order; the thresholds, which it leaves out, come from another listing.
func normalSave(lines []string) []string {
	var out []string
	for _, line := range lines {
		words := strings.Fields(line)
		var options []string
		for _, w := range words {
			if strings.HasPrefix(w, "-") || len(options) == 0 {
				options = append(options, w)
			} else {
				options[len(options)-1] += " " + w
			}
		}
		options = slices.DeleteFunc(options, func(o string) bool { return strings.HasPrefix(o, "-x ") || strings.HasPrefix(o, "-y ") })
		slices.Sort(options)
		out = append(out, strings.Join(options, " "))
	}
	slices.Sort(out)
	return out
}

func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"), func(l string) bool { return l == "" })
}

func observed(t *testing.T, k *Kernel, kinds ...state.Kind) []string {
	t.Helper()
	host, _, err := k.Observe(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range host.Items() {
		if slices.Contains(kinds, i.Kind()) {
			out = append(out, state.Text(i))
		}
	}
	return out
}

func texts(items []state.Item) []string {
	var out []string
	for _, i := range statetest.Host(items...).Items() {
		out = append(out, state.Text(i))
	}
	return out
}

func do(t *testing.T, k *Kernel, changes ...state.Change) {
	t.Helper()
	for _, c := range changes {
		if err := k.Do(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// What lvsform sets, ipvsadm reads, and the other way round.
func TestIpvsadmAsWitness(t *testing.T) {
	k := newNamespace(t)
	do(t, k, state.Change{After: state.Module{Name: "ip_vs"}})
	for _, c := range ipvsadmCases() {
		for _, i := range c.items {
			do(t, k, state.Change{After: i})
		}
		if diff := cmp.Diff(normalSave(c.lines), normalSave(lines(tool(t, "ipvsadm -Sn")))); diff != "" {
			t.Errorf("%s: set by lvsform (-want +read by ipvsadm):\n%s", c.name, diff)
		}
		if d, ok := c.items[len(c.items)-1].(state.Destination); ok {
			row := fmt.Sprintf("%s %d %d", d.Address, d.UpperThreshold, d.LowerThreshold)
			if text := strings.Join(strings.Fields(tool(t, "ipvsadm -Ln --thresholds")), " "); !strings.Contains(text, row) {
				t.Errorf("%s: set by lvsform, thresholds read by ipvsadm: %q, want %q in it", c.name, text, row)
			}
		}
		tool(t, "ipvsadm -C")
		for _, line := range c.lines {
			tool(t, "ipvsadm "+line)
		}
		if diff := cmp.Diff(texts(c.items), observed(t, k, state.KindService, state.KindDestination)); diff != "" {
			t.Errorf("%s: set by ipvsadm (-want +read by lvsform):\n%s", c.name, diff)
		}
		tool(t, "ipvsadm -C")
	}
}

// An update keeps what is not meant, on a service someone else made, too.
func TestUpdateKeepsTheEngine(t *testing.T) {
	k := newNamespace(t)
	do(t, k, state.Change{After: state.Module{Name: "ip_vs"}})
	tool(t, "ipvsadm -A -u 192.0.2.10:5060 -s rr -p 60 -M 255.255.0.0 --pe sip -o")
	host, _, err := k.Observe(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	before := state.Of[state.Service](host)[0]
	after := before
	after.Scheduler = "wlc"
	do(t, k, state.Change{Before: before, After: after})
	want := normalSave([]string{"-A -u 192.0.2.10:5060 -s wlc -p 60 -M 255.255.0.0 --pe sip -o"})
	if diff := cmp.Diff(want, normalSave(lines(tool(t, "ipvsadm -Sn")))); diff != "" {
		t.Error(diff)
	}
}

func TestIpvsadmTimeoutsAndDaemons(t *testing.T) {
	k := newNamespace(t)
	do(t, k, state.Change{After: state.Module{Name: "ip_vs"}}, state.Change{After: state.Timeouts{TCP: 7200, TCPFin: 60, UDP: 30}})
	if got, want := strings.TrimSpace(tool(t, "ipvsadm -Ln --timeout")), "Timeout (tcp tcpfin udp): 7200 60 30"; got != want {
		t.Errorf("timeouts set by lvsform, read by ipvsadm: %q, want %q", got, want)
	}
	tool(t, "ipvsadm --set 7201 61 31")
	if diff := cmp.Diff([]string{"timeouts tcp tcpfin udp 7201 61 31"}, observed(t, k, state.KindTimeouts)); diff != "" {
		t.Error(diff)
	}

	for _, c := range []struct {
		daemon state.SyncDaemon
		start  string // ipvsadm's options
		says   string // in its listing
	}{
		{state.SyncDaemon{Role: state.SyncMaster, ID: 1, MaxLen: 1400, Group: netip.MustParseAddr("224.0.0.82"), Port: 8849, TTL: 2},
			"--syncid 1 --sync-maxlen 1400 --mcast-group 224.0.0.82 --mcast-port 8849 --mcast-ttl 2",
			"master sync daemon (mcast=lvs0, syncid=1, maxlen=1400, group=224.0.0.82, port=8849, ttl=2)"},
		{state.SyncDaemon{Role: state.SyncBackup, ID: 0, MaxLen: 1452, Group: netip.MustParseAddr("ff02::81"), Port: 8848, TTL: 1},
			"--syncid 0 --mcast-group ff02::81",
			"backup sync daemon (mcast=lvs0, syncid=0, maxlen=1452, group=ff02::81, port=8848, ttl=1)"},
		// The kernel's defaults, in numbers.
		{state.SyncDaemon{Role: state.SyncMaster, ID: 0, MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1},
			"", "master sync daemon (mcast=lvs0, syncid=0, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"},
	} {
		c.daemon.Interface = kerneltest.Device
		do(t, k, state.Change{After: c.daemon})
		if got := strings.TrimSpace(tool(t, "ipvsadm -Ln --daemon")); got != c.says {
			t.Errorf("set by lvsform, read by ipvsadm: %q, want %q", got, c.says)
		}
		do(t, k, state.Change{Before: c.daemon})
		tool(t, "ipvsadm --start-daemon "+c.daemon.Role+" --mcast-interface lvs0 "+c.start)
		if diff := cmp.Diff(texts([]state.Item{c.daemon}), observed(t, k, state.KindSyncDaemon)); diff != "" {
			t.Errorf("set by ipvsadm (-want +read by lvsform):\n%s", diff)
		}
		do(t, k, state.Change{Before: c.daemon})
	}
}

// containsWords reports whether text has those words in a row, however spaced.
func containsWords(text, words string) bool {
	return strings.Contains(strings.Join(strings.Fields(text), " "), words)
}
