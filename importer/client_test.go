package importer_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// with puts the lines that an import lacks into its inventory, in the place of
// the words in capitals what a user might know.
func with(r *importer.Result) string {
	text := string(r.Text)
	for _, a := range r.ToVerify {
		for _, under := range a.Under {
			line, indent := a.Line, "    "
			var prefixes []netip.Prefix
			if under == "networks" || under == "hosts" {
				indent = "  "
			} else {
				under = "  " + under
				for _, h := range r.Inventory.Hosts {
					if "  "+h.Name == under {
						prefixes = h.NICs[0].Network.Prefixes
					}
				}
			}
			if under == "hosts" {
				for _, n := range r.Inventory.Networks {
					if strings.Contains(line, "network: "+n.Name+",") {
						prefixes = n.Prefixes
					}
				}
			}
			if prefixes == nil {
				prefixes = []netip.Prefix{netip.MustParsePrefix("198.19.7.0/24"), netip.MustParsePrefix("fd00:7::/64")}
			}
			six := r.Inventory.Services[0].VIP.Is6()
			for _, p := range prefixes {
				of := "IPV4-"
				address, router := "200", "254"
				stem, _, _ := strings.Cut(p.Addr().String(), "/")
				if p.Addr().Is6() {
					of = "IPV6-"
				} else {
					stem = stem[:strings.LastIndexByte(stem, '.')+1]
				}
				for word, value := range map[string]string{"PREFIX": p.String(), "ADDRESS": stem + address, "ROUTER": stem + router} {
					line = strings.ReplaceAll(line, of+word, "'"+value+"'")
				}
			}
			for _, p := range prefixes {
				if p.Addr().Is6() != six {
					continue
				}
				stem := p.Addr().String()
				if p.Addr().Is4() {
					stem = stem[:strings.LastIndexByte(stem, '.')+1]
				}
				line = strings.NewReplacer("PREFIX", "'"+p.String()+"'", "ADDRESS", "'"+stem+"200'", "ROUTER", "'"+stem+"254'").Replace(line)
			}
			if strings.Contains(line, "# in place") {
				before, rest, _ := strings.Cut(text, "\n"+under+":\n")
				host, after, _ := strings.Cut(rest, "\n    gateway: ")
				_, after, _ = strings.Cut(after, "\n")
				text = before + "\n" + under + ":\n" + host + "\n" + after
			}
			text = strings.Replace(text, "\n"+under+":\n", "\n"+under+":\n"+indent+line+"\n", 1)
		}
	}
	return text
}

// With the lines that an import says it lacks, every service has a client that
// reaches it, and no rule is broken.
func TestLinesToVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDump(t)
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(labOf(t, found).Left) != 0 {
			return // no client can use all of it
		}
		hints := importer.Hints{Source: "dump", File: "imported.yaml", NIC: "eth0"}
		for _, a := range []string{"192.0.2.3/24", "198.51.100.3/24", "203.0.113.3/24", "10.1.2.3/24", "10.3.4.3/24", "2001:db8:1::3/64", "2001:db8:2::3/64"} {
			if rapid.Float64Range(0, 1).Draw(t, a) < 0.8 {
				hints.Directors = append(hints.Directors, importer.DirectorHint{Name: "lb", Address: netip.MustParsePrefix(a)})
			}
		}
		for _, g := range []string{"192.0.2.1", "2001:db8:1::1"} {
			if rapid.Bool().Draw(t, g) {
				hints.Gateways = append(hints.Gateways, netip.MustParseAddr(g))
			}
		}
		r, err := importer.Inventory(found, hints)
		if err != nil || len(r.Problems) != 0 {
			return
		}
		whole := with(r)
		inv, err := inventory.Parse("verifiable.yaml", []byte(whole))
		if err != nil {
			t.Fatalf("%v\n%s", err, whole)
		}
		if problems := modes.Check(inv); len(problems) != 0 {
			t.Fatalf("%v\n%s", problems, whole)
		}
		for _, s := range inv.Services {
			for _, h := range inv.Hosts {
				if h.Has(inventory.RoleClient) && !modes.Entry(inv, s, h).IsValid() {
					t.Fatalf("no way to %s\n%s", s.Name, whole)
				}
			}
		}
	})
}

// The lines have names that are free.
func TestNamesOfLinesToVerify(t *testing.T) {
	director := func(name, address string) importer.DirectorHint {
		return importer.DirectorHint{Name: name, Address: netip.MustParsePrefix(address)}
	}
	for _, c := range []struct {
		dump  string
		hints importer.Hints
		want  []string // how the lines begin
	}{
		{
			"-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r 192.0.2.4:80 -g\n",
			importer.Hints{Directors: []importer.DirectorHint{director("Client", "192.0.2.3/24")}},
			[]string{"client-2: {role: client, nics: {eth0: {network: net-192-0-2-0,"},
		},
		{
			"-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r 192.0.2.4:80 -m\n",
			importer.Hints{
				Networks:  []importer.NamedPrefix{{Name: "clients", Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
				Directors: []importer.DirectorHint{director("client", "192.0.2.3/32")},
			},
			[]string{"clients-2: PREFIX", "client-2: {role: client, nics: {eth0: {network: clients-2,", "gateway: ROUTER", "gateway: 192.0.2.3"},
		},
	} {
		found, err := read.IPVSAdm("dump", []byte(c.dump))
		if err != nil {
			t.Fatal(err)
		}
		c.hints.Source, c.hints.File, c.hints.NIC = "dump", "imported.yaml", "eth0"
		r, err := importer.Inventory(found, c.hints)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.ToVerify) != len(c.want) {
			t.Fatalf("%q, want %q", r.ToVerify, c.want)
		}
		for i, a := range r.ToVerify {
			if !strings.HasPrefix(a.Line, c.want[i]) {
				t.Errorf("%q, want %q", a.Line, c.want[i])
			}
		}
		if _, err := inventory.Parse("verifiable.yaml", []byte(with(r))); err != nil {
			t.Errorf("%v\n%s", err, with(r))
		}
	}
}

// A real server whose replies go to the director's own address needs no gateway
// towards the client. One that sends no replies does: the reverse path filter of
// the tunnel's device takes nothing from a client to whom there is no route.
func TestGatewaysToVerify(t *testing.T) {
	lb := []importer.DirectorHint{
		{Name: "lb", Address: netip.MustParsePrefix("192.0.2.3/24")}, {Name: "lb", Address: netip.MustParsePrefix("198.51.100.3/24")},
	}
	server := func(address string, mode inventory.Mode) read.RealServer {
		return read.RealServer{Line: 2, Address: netip.MustParseAddr(address), Port: 514, Weight: 1, Mode: mode}
	}
	for _, c := range []struct {
		name      string
		onePacket bool
		servers   []read.RealServer
		want      []string // hosts with a line of their own
	}{
		{"fullnat beside the director", false, []read.RealServer{server("198.51.100.4", inventory.ModeFullNAT)}, nil},
		{"fullnat elsewhere", false, []read.RealServer{server("203.0.113.4", inventory.ModeFullNAT)}, []string{"rs-203-0-113-4"}},
		{"no replies", true, []read.RealServer{server("198.51.100.4", inventory.ModeNAT), server("203.0.113.4", inventory.ModeTUN)}, []string{"rs-203-0-113-4"}},
		{"replies past the director", false, []read.RealServer{server("203.0.113.4", inventory.ModeTUN)}, []string{"rs-203-0-113-4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := importer.Inventory(&read.Found{Source: "found", Services: []read.Service{{
				Line: 1, VIP: netip.MustParseAddr("192.0.2.30"), Port: 514, Protocol: inventory.UDP, Scheduler: "rr",
				Persistence: inventory.Persistence{Bits: 32}, OnePacket: c.onePacket, RealServers: c.servers,
			}}}, importer.Hints{
				Source: "found", File: "imported.yaml", NIC: "eth0", Directors: lb, Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range r.ToVerify {
				if strings.HasPrefix(a.Line, "gateway: ") {
					got = append(got, a.Under...)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("gateways for %q, want %q\n%q", got, c.want, r.ToVerify)
			}
			inv, err := inventory.Parse("verifiable.yaml", []byte(with(r)))
			if err != nil {
				t.Fatalf("%v\n%s", err, with(r))
			}
			if problems := modes.Check(inv); len(problems) != 0 {
				t.Errorf("%v\n%s", problems, with(r))
			}
		})
	}
}

// A director that is its own real server answers a client beside it.
func TestClientBesideItsRealServer(t *testing.T) {
	lines := importer.LinesToVerify(parse(t, `version: 1
name: local
networks: {lan: 192.0.2.0/24}
hosts:
  lb: {role: [director, real-server], nics: {eth0: {network: lan, address: 192.0.2.3}}}
services:
  - {vip: 192.0.2.30, port: 80, mode: nat, scheduler: rr, directors: [lb], real_servers: [{host: lb, port: 8080}]}
`))
	want := []string{"under hosts:", "  client: {role: client, nics: {eth0: {network: lan, address: ADDRESS}}}"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}
