package importer_test

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/state"
)

// rewritten checks that an inventory that is written and read is the same.
func rewritten(t tb, inv *inventory.Inventory) {
	text, err := importer.Write(inv, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := inventory.Parse(inv.File, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(inv, again, cmpopts.IgnoreUnexported(inventory.Inventory{}), cmpopts.IgnoreFields(inventory.Inventory{}, "Source"),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})); diff != "" {
		t.Fatalf("-read +written and read:\n%s\n%s", diff, text)
	}
}

func TestWrite(t *testing.T) {
	files, err := filepath.Glob("../inventory/testdata/valid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inventories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			inv, err := inventorytest.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			rewritten(t, inv)
		})
	}
	for name, inv := range examples(t) {
		t.Run(name, func(t *testing.T) { rewritten(t, inv) })
	}
}

func TestLawOfWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rewritten(t, parse(t, modestest.Inventory().Draw(t, "inventory"))) })
}

// A comment stays a comment, whatever a source had in it.
func TestWriteComments(t *testing.T) {
	inv := examples(t)["udp-dns"]
	text, err := importer.Write(inv, []string{"one\nname: two", "bell \a, \u2028 and \xff"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inventory.Parse("x", text); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// dump is what ipvsadm -Sn prints of a director that has everything it must.
func dump(wants []modes.Want) string {
	var b strings.Builder
	id := func(s state.ServiceID) string {
		return map[state.Protocol]string{state.TCP: "-t ", state.UDP: "-u "}[s.Protocol] + s.Address.String()
	}
	for _, w := range wants {
		s, ok := w.Item.(state.Service)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "-A %s -s %s", id(s.ServiceID), s.Scheduler)
		if s.Persistence != 0 {
			fmt.Fprintf(&b, " -p %d", s.Persistence)
		}
		if s.OnePacket {
			b.WriteString(" -o")
		}
		b.WriteString("\n")
		for _, w := range wants {
			d, ok := w.Item.(state.Destination)
			if !ok || d.Service != s.ServiceID {
				continue
			}
			how := map[state.Forward]string{state.ForwardNAT: "-m", state.ForwardDR: "-g", state.ForwardTUN: "-i"}[d.Forward]
			fmt.Fprintf(&b, "-a %s -r %s %s -w %d", id(s.ServiceID), d.Address, how, d.Weight)
			if d.UpperThreshold != 0 {
				fmt.Fprintf(&b, " -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
			}
			if d.Tunnel.Type != "" {
				b.WriteString(" --tun-type " + d.Tunnel.Type)
			}
			if d.Tunnel.Port != 0 {
				fmt.Fprintf(&b, " --tun-port %d", d.Tunnel.Port)
			}
			if d.Tunnel.Checksum {
				b.WriteString(" --tun-csum")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// keepalived and the kernel take one_packet with nat, where no reply can come back.
func TestOnePacketWithNAT(t *testing.T) {
	found, err := read.IPVSAdm("dump", []byte("-A -u 192.0.2.30:514 -s rr -o\n-a -u 192.0.2.30:514 -r 198.51.100.4:514 -m -w 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	hints := importer.Hints{Source: "dump", File: "imported.yaml", NIC: "eth0"}
	for _, a := range []string{"192.0.2.3/24", "198.51.100.3/24"} {
		hints.Directors = append(hints.Directors, importer.DirectorHint{Name: "lb", Address: netip.MustParsePrefix(a)})
	}
	r, err := importer.Inventory(found, hints)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems)+len(r.Left) != 0 || !strings.Contains(string(r.Text), "one_packet: true\n    replies: none # assumed") {
		t.Errorf("%v\n%v\n%s", r.Problems, r.Left, r.Text)
	}
}

// What ipvsadm tells of a director is what the imported inventory asks of it.
func TestLawOfDumps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wants := modes.Desire(parse(t, modestest.Inventory().Draw(t, "inventory")), nil)["lb"]
		text := dump(wants)
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		hints := importer.Hints{Source: "dump", File: "imported.yaml", NIC: "eth0"}
		for _, a := range []string{"192.0.2.3/24", "2001:db8:1::3/64", "198.51.100.3/24", "2001:db8:2::3/64"} {
			hints.Directors = append(hints.Directors, importer.DirectorHint{Name: "lb", Address: netip.MustParsePrefix(a)})
		}
		hints.Gateways = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")}
		r, err := importer.Inventory(found, hints)
		// Fullnat's source NAT, by which it reaches far, is no part of a dump.
		nat := strings.Contains(text, " -m ")
		if nat && strings.Contains(fmt.Sprint(err), "dr and nat need that") {
			return
		}
		if err == nil && nat && strings.Contains(fmt.Sprint(r.Problems), "must share a network; they share none") {
			return
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(r.Problems)+len(r.Left) != 0 {
			t.Fatalf("%v\n%v\n%s", r.Problems, r.Left, r.Text)
		}
		ipvs := func(wants []modes.Want) []string {
			var out []string
			for _, w := range wants {
				if k := w.Item.Kind(); k == state.KindService || k == state.KindDestination {
					out = append(out, state.Text(w.Item))
				}
			}
			slices.Sort(out)
			return out
		}
		if diff := cmp.Diff(ipvs(wants), ipvs(modes.Desire(r.Inventory, nil)["lb"])); diff != "" {
			t.Fatalf("-dumped +imported:\n%s\n%s\n%s", diff, text, r.Text)
		}
	})
}

// Nothing that a reader can find, and nothing beyond, makes the writer panic
// or write what cannot be read.
func TestAnyFound(t *testing.T) {
	addr := rapid.SampledFrom([]netip.Addr{
		{}, netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("192.0.2.255"),
		netip.MustParseAddr("192.0.2.0"), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("224.0.0.1"),
		netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("::"), netip.MustParseAddr("2001:db8::"), netip.MustParseAddr("2001:db8::5"),
		netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:192.0.2.9"),
	})
	word := rapid.SampledFrom([]string{"", "web", "eth0", "a b", "x:y", "\x00", "é", strings.Repeat("n", 80), "true", "1"})
	mode := rapid.SampledFrom([]inventory.Mode{"", inventory.ModeDR, inventory.ModeNAT, inventory.ModeTUN, inventory.ModeFullNAT, "x"})
	small := rapid.Uint32Range(0, 70000)
	port := rapid.Uint16Range(0, 3)
	rapid.Check(t, func(t *rapid.T) {
		f := &read.Found{Source: "drawn", Director: read.Director{
			Name: word.Draw(t, "router id"), NIC: word.Draw(t, "nic"), Address: addr.Draw(t, "director"),
		}}
		if rapid.Bool().Draw(t, "settings") {
			f.Director.Timeouts = &inventory.Timeouts{TCP: small.Draw(t, "tcp"), TCPFin: 1, UDP: 1}
			f.Director.Sync = []inventory.Sync{{Role: word.Draw(t, "role"), Interface: word.Draw(t, "interface"), Group: addr.Draw(t, "group")}}
		}
		for range rapid.IntRange(0, 2).Draw(t, "vips") {
			a := addr.Draw(t, "vrrp")
			f.VIPs = append(f.VIPs, read.VIP{Prefix: netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")), Device: word.Draw(t, "device")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "services") {
			s := read.Service{
				Line: 1, Name: word.Draw(t, "name"), VIP: addr.Draw(t, "vip"), Port: port.Draw(t, "port"),
				Protocol:  rapid.SampledFrom([]inventory.Protocol{"", "tcp", "udp"}).Draw(t, "protocol"),
				Scheduler: rapid.SampledFrom([]string{"", "rr", "what"}).Draw(t, "scheduler"), Flags: []string{"flag-1", word.Draw(t, "flag")}[:rapid.IntRange(0, 2).Draw(t, "flags")],
				Persistence: inventory.Persistence{Timeout: small.Draw(t, "persistence"), Bits: rapid.IntRange(-1, 129).Draw(t, "netmask"), Engine: word.Draw(t, "engine")},
				OnePacket:   rapid.Bool().Draw(t, "one packet"),
			}
			if rapid.IntRange(0, 3).Draw(t, "marked") == 0 {
				s.FWMark, s.IPv6 = rapid.Uint32Range(0, 2).Draw(t, "mark"), rapid.Bool().Draw(t, "ipv6")
			}
			for range rapid.IntRange(0, 3).Draw(t, "servers") {
				s.RealServers = append(s.RealServers, read.RealServer{
					Line: 2, Address: addr.Draw(t, "rip"), Port: port.Draw(t, "rport"), Weight: small.Draw(t, "weight"),
					UpperThreshold: small.Draw(t, "upper"), LowerThreshold: small.Draw(t, "lower"), Mode: mode.Draw(t, "mode"),
					Encapsulation: inventory.Encapsulation{Type: rapid.SampledFrom([]string{"", "gue", "gre", "x"}).Draw(t, "tunnel"), Port: port.Draw(t, "tunnel port")},
				})
			}
			f.Services = append(f.Services, s)
		}
		hints := importer.Hints{Topology: "drawn", NIC: "eth0", File: "imported.yaml", Lab: rapid.Bool().Draw(t, "lab")}
		if rapid.Bool().Draw(t, "told") {
			hints.Directors = []importer.DirectorHint{{Name: "lb", Address: netip.MustParsePrefix("192.0.2.3/32")}}
		}
		if rapid.Bool().Draw(t, "marks told") {
			hints.Marks = []importer.Mark{{Mark: 1, VIP: addr.Draw(t, "mark's VIP"), Ports: []uint16{80, port.Draw(t, "mark's port")}, Protocol: "tcp"}}
		}
		r, err := importer.Inventory(f, hints)
		if err != nil || len(r.Inventory.Services) == 0 {
			return // said, not guessed
		}
		if _, err := inventory.Parse("again", r.Text); err != nil {
			t.Fatal(err)
		}
	})
}

// Every fact that the source lacks is asked for at once.
func TestUnknown(t *testing.T) {
	ask := func(text string, hints importer.Hints) string {
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		hints.NIC, hints.Source, hints.File = "eth0", "dump", "imported.yaml"
		if _, err = importer.Inventory(found, hints); err == nil {
			t.Fatalf("%q with %v: nothing is asked", text, hints)
		}
		return err.Error()
	}
	lb := importer.Hints{Directors: []importer.DirectorHint{{Name: "lb", Address: netip.MustParsePrefix("192.0.2.3/32")}}}
	const text = `-A -t 192.0.2.30:80 -s rr
-a -t 192.0.2.30:80 -r 198.51.100.4:80 -m
-a -t 192.0.2.30:80 -r 198.51.100.5:80 -m
-a -t 192.0.2.30:80 -r 203.0.113.4:80 -i
`
	const wide = text + `-A -t [2001:db8::30]:80 -s rr
-a -t [2001:db8::30]:80 -r [2001:db8:1::4]:80 -i
-a -t 192.0.2.30:80 -r 192.0.2.4:80 -m
-a -t 192.0.2.30:80 -r 198.51.100.6:80 -i
`
	router := importer.Hints{Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.1")}}
	tunnels := "-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r 203.0.113.4:80 -i\n"
	got := []string{ask(text, importer.Hints{}), ask(text, lb), ask(wide, importer.Hints{}), ask(wide, lb), ask(wide, router), ask(tunnels, importer.Hints{})}
	want := []string{
		`the source does not tell the director's own address in the network of real server 198.51.100.4 (and 1 more in 198.51.100.0/24); say --director NAME=ADDRESS
the source does not tell the way to real server 203.0.113.4; if it is in no network of the director, say --gateway ADDRESS for the director's IPv4 router`,
		`real server 198.51.100.4 (and 1 more in 198.51.100.0/24) is in no network of director lb, and dr and nat need that; say --director lb=ADDRESS for its address there, or --network NAME=PREFIX for the prefix that holds both
real server 203.0.113.4 is in no network of director lb; say --gateway ADDRESS for the director's IPv4 router, or --network NAME=PREFIX for the prefix that holds both`,
		`the source does not tell the director's own address in the network of real server 198.51.100.4 (and 1 more in 198.51.100.0/24); say --director NAME=ADDRESS
the source does not tell the director's own address in the network of real server 192.0.2.4; say --director NAME=ADDRESS
the source does not tell the way to real server 203.0.113.4; if it is in no network of the director, say --gateway ADDRESS for the director's IPv4 router
the source does not tell the director's own IPv6 address; say --director NAME=ADDRESS
the source does not tell the way to real server 2001:db8:1::4; if it is in no network of the director, say --gateway ADDRESS for the director's IPv6 router
some of these networks may be one; if so, say --network NAME=PREFIX for it, and one address of the director there`,
		`real server 198.51.100.4 (and 1 more in 198.51.100.0/24) is in no network of director lb, and dr and nat need that; say --director lb=ADDRESS for its address there, or --network NAME=PREFIX for the prefix that holds both
real server 203.0.113.4 is in no network of director lb; say --gateway ADDRESS for the director's IPv4 router, or --network NAME=PREFIX for the prefix that holds both
real server 2001:db8:1::4 is in no network of director lb; say --gateway ADDRESS for the director's IPv6 router, and --director lb=ADDRESS for the director's own address beside it`,
		`the source does not tell the director's own address in the network of real server 198.51.100.4 (and 1 more in 198.51.100.0/24); say --director NAME=ADDRESS
the source does not tell the director's own address in the network of real server 192.0.2.4; say --director NAME=ADDRESS
the source does not tell the director's own address in the network of gateway 10.0.0.1; say --director NAME=ADDRESS
the source does not tell the director's own IPv6 address; say --director NAME=ADDRESS
the source does not tell the way to real server 2001:db8:1::4; if it is in no network of the director, say --gateway ADDRESS for the director's IPv6 router
some of these networks may be one; if so, say --network NAME=PREFIX for it, and one address of the director there`,
		`the source does not tell the director's own IPv4 address; say --director NAME=ADDRESS
the source does not tell the way to real server 203.0.113.4; if it is in no network of the director, say --gateway ADDRESS for the director's IPv4 router`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// drawDump draws a dump of services whose real servers are in several networks.
func drawDump(t *rapid.T) string {
	networks := []string{"192.0.2.", "198.51.100.", "203.0.113.", "10.1.2.", "10.3.4.", "2001:db8:1::", "2001:db8:2::"}
	var text strings.Builder
	for i := range rapid.IntRange(1, 6).Draw(t, "services") {
		six := rapid.Bool().Draw(t, "IPv6")
		vip := map[bool]string{false: "192.0.2.30", true: "[2001:db8:1::30]"}[six]
		fmt.Fprintf(&text, "-A -t %s:%d -s rr\n", vip, i+1)
		for j := range rapid.IntRange(1, 6).Draw(t, "servers") {
			in := networks[:5]
			if six {
				in = networks[5:]
			}
			a := netip.MustParseAddr(rapid.SampledFrom(in).Draw(t, "network") + fmt.Sprint(j+40))
			how := rapid.SampledFrom([]string{"-g", "-m", "-i"}).Draw(t, "how")
			fmt.Fprintf(&text, "-a -t %s:%d -r %s %s\n", vip, i+1, netip.AddrPortFrom(a, uint16(i+1)), how)
		}
	}
	return text.String()
}

// Whoever answers every question has an inventory: none leads to a next one.
func TestAnswersSuffice(t *testing.T) {
	networks := []string{"192.0.2.", "198.51.100.", "203.0.113.", "10.1.2.", "10.3.4.", "2001:db8:1::", "2001:db8:2::"}
	rapid.Check(t, func(t *rapid.T) {
		text := drawDump(t)
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		hints := importer.Hints{Source: "dump", File: "imported.yaml", NIC: "eth0"}
		told := rapid.Bool().Draw(t, "told")
		if told {
			hints.Directors = []importer.DirectorHint{{Name: "lb", Address: netip.MustParsePrefix("192.0.2.3/32")}}
		}
		_, err = importer.Inventory(found, hints)
		if err == nil {
			return
		}
		var unknown importer.Unknown
		if !errors.As(err, &unknown) {
			t.Fatal(err)
		}
		answer := func(a string) {
			hints.Directors = append(hints.Directors, importer.DirectorHint{Name: "lb", Address: netip.MustParsePrefix(a)})
		}
		near := map[bool]string{}
		for _, line := range unknown {
			_, server, _ := strings.Cut(line, "real server ")
			server, _, _ = strings.Cut(server, " ")
			server = strings.TrimSuffix(server, ";")
			for _, n := range networks {
				switch {
				case !strings.HasPrefix(server, n) || strings.Contains(line, "--gateway"):
				case strings.Contains(n, ":"):
					answer(n + "3/128")
					near[false] = n + "1"
				default:
					answer(n + "3/32")
					near[true] = n + "1"
				}
			}
			if strings.Contains(line, "on the NIC towards") {
				answer("192.0.2.3/32")
			}
		}
		for four, name := range map[bool]string{true: "IPv4", false: "IPv6"} {
			own := map[bool]string{true: "192.0.2.3/32", false: "2001:db8:1::3/128"}[four]
			if strings.Contains(err.Error(), "director's own "+name) || strings.Contains(err.Error(), "the director's "+name+" router, and --director") {
				answer(own)
				near[four] = stdcmp.Or(near[four], map[bool]string{true: "192.0.2.1", false: "2001:db8:1::1"}[four])
			}
			if strings.Contains(err.Error(), name+" router") {
				hints.Gateways = append(hints.Gateways, netip.MustParseAddr(stdcmp.Or(near[four], "192.0.2.1")))
			}
		}
		if _, again := importer.Inventory(found, hints); again != nil {
			t.Fatalf("first:\n%v\nand with %v %v:\n%v", err, hints.Directors, hints.Gateways, again)
		}
	})
}
