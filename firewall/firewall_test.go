package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/state"
)

// parsers are those of the kinds, each by its kind's name.
func parsers() map[string]func(state.FirewallRule) (firewall.Rule, bool) {
	return map[string]func(state.FirewallRule) (firewall.Rule, bool){
		"mark":        func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseMark(r) },
		"source NAT":  func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseSourceNAT(r) },
		"redirect":    func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseRedirect(r) },
		"clamp MSS":   func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseClampMSS(r) },
		"DNAT":        func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseDNAT(r) },
		"ARP drop":    func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseARPDrop(r) },
		"ARP rewrite": func(r state.FirewallRule) (firewall.Rule, bool) { return firewall.ParseARPRewrite(r) },
	}
}

// drawn draws a rule of a kind.
func drawn(t *rapid.T, kind string) firewall.Rule {
	bits := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes of an address")
	address := func(name string, bytes int) netip.Addr {
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), bytes, bytes).Draw(t, name))
		return a
	}
	ip := func(name string) netip.Addr { return address(name, bits) }
	ipv4 := func(name string) netip.Addr { return address(name, 4) }
	port := func(name string) uint16 { return rapid.Uint16Min(1).Draw(t, name) }
	portOrAll := func(name string) uint16 { return rapid.Uint16().Draw(t, name) }
	protocol := rapid.SampledFrom([]state.Protocol{state.TCP, state.UDP, state.SCTP}).Draw(t, "protocol")
	device := func() string { return rapid.StringMatching(`[a-z.@_-][a-z0-9.@_-]{0,14}`).Draw(t, "device") }
	switch kind {
	case "mark":
		return firewall.Mark{VIP: ip("VIP"), Protocol: protocol, Port: port("port"), Mark: rapid.Uint32().Draw(t, "mark")}
	case "source NAT":
		s := firewall.SourceNAT{Device: device(), VIP: ip("VIP"), Port: portOrAll("port")}
		if rapid.Bool().Draw(t, "one server") {
			s.Server = ip("server")
		}
		a, b := ip("source"), ip("source")
		if rapid.Bool().Draw(t, "one source") {
			b = a
		}
		if b.Less(a) {
			a, b = b, a
		}
		s.Sources = firewall.Range{First: a, Last: b}
		return s
	case "redirect":
		d := firewall.Redirect{VIP: ip("VIP"), Protocol: protocol, Port: port("port"), To: port("to")}
		if rapid.Bool().Draw(t, "by device") {
			d.Device = device()
		}
		return d
	case "clamp MSS":
		return firewall.ClampMSS{VIP: ip("VIP"), Port: portOrAll("port"), Size: rapid.IntRange(1, 65535).Draw(t, "size")}
	case "DNAT":
		return firewall.DNAT{
			Protocol: protocol, Listen: netip.AddrPortFrom(ip("listen"), port("port")), To: netip.AddrPortFrom(ip("to"), port("to")),
		}
	case "ARP drop":
		return firewall.ARPDrop{Device: device(), VIP: ipv4("VIP")}
	case "ARP rewrite":
		return firewall.ARPRewrite{Device: device(), VIP: ipv4("VIP"), Own: ipv4("own")}
	}
	panic(kind)
}

// A rule that is built is read back as it was, by the parser of its kind and by
// no other.
func TestRoundTrip(t *testing.T) {
	for kind := range parsers() {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := drawn(t, kind)
				rule := want.Rule()
				for other, parse := range parsers() {
					switch got, ok := parse(rule); {
					case other != kind && ok:
						t.Fatalf("%+v is a %s to the parser of %s: %+v", rule, kind, other, got)
					case other == kind && (!ok || got != want):
						t.Fatalf("%+v: %+v %t, want %+v", rule, got, ok, want)
					}
				}
				if got, ok := firewall.Parse(rule); !ok || got != want {
					t.Fatalf("%+v: %+v %t, want %+v", rule, got, ok, want)
				}
			})
		})
	}
}

// A rule that is one word away from one of lvsform's is read as what it says,
// or not at all.
func TestNearMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := []string{"mark", "source NAT", "redirect", "clamp MSS", "DNAT", "ARP drop", "ARP rewrite"}
		rule := drawn(t, rapid.SampledFrom(kinds).Draw(t, "kind")).Rule()
		words := strings.Fields(rule.Spec)
		at := rapid.IntRange(0, len(words)-1).Draw(t, "word")
		with := rapid.SampledFrom([]string{
			"", "!", "0", "65536", "0x0/0xff", "tcp", "-d", "-i eth0", "192.0.2.0/24", "192.0.2.1", "192.0.2.9-192.0.2.1", "2001:db8::1", "invalid IP", "invalid Prefix",
		}).Draw(t, "with")
		words[at] = with
		rule.Spec = strings.Join(strings.Fields(strings.Join(words, " ")), " ")
		if got, ok := firewall.Parse(rule); ok && got.Rule() != rule {
			t.Fatalf("%+v is read as %+v", rule, got)
		}
	})
}

// Rules that are nearly lvsform's.
func TestForeign(t *testing.T) {
	rule := func(family, table, chain, spec string) state.FirewallRule {
		return state.FirewallRule{Family: family, Table: table, Chain: chain, Spec: spec}
	}
	for name, r := range map[string]state.FirewallRule{
		"nothing":                      {},
		"a mark in another table":      rule("ipv4", "nat", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark in another chain":      rule("ipv4", "mangle", "OUTPUT", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark of another family":     rule("ipv6", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark for a network":         rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.0/24 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark of some bits":          rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xff"),
		"a mark for several ports":     rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark for a range of ports":  rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80:90 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark for port 0":            rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 0 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark for clients":           rule("ipv4", "mangle", "PREROUTING", "-s 192.0.2.1/32 -d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff"),
		"a mark with more behind":      rule("ipv4", "mangle", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff --more"),
		"source NAT of one protocol":   rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vproto 6 --vaddr 192.0.2.10 --vport 80 -j SNAT --to-source 192.0.2.1"),
		"source NAT without device":    rule("ipv4", "nat", "POSTROUTING", "-m ipvs --vaddr 192.0.2.10 --vport 80 -j SNAT --to-source 192.0.2.1"),
		"source NAT with ports":        rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vaddr 192.0.2.10 --vport 80 -j SNAT --to-source 192.0.2.1:1024-2048"),
		"source NAT for port 0":        rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vaddr 192.0.2.10 --vport 0 -j SNAT --to-source 192.0.2.1"),
		"source NAT, backwards":        rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vaddr 192.0.2.10 -j SNAT --to-source 192.0.2.4-192.0.2.1"),
		"source NAT, both families":    rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vaddr 192.0.2.10 -j SNAT --to-source 192.0.2.4-2001:db8::1"),
		"masquerading":                 rule("ipv4", "nat", "POSTROUTING", "-o eth0 -m ipvs --vaddr 192.0.2.10 -j MASQUERADE"),
		"a redirect to several ports":  rule("ipv4", "nat", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080-8090"),
		"a redirect to port 0":         rule("ipv4", "nat", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 0"),
		"DNAT without port":            rule("ipv4", "nat", "PREROUTING", "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.11"),
		"a clamp to the path's MTU":    rule("ipv4", "mangle", "OUTPUT", "-s 192.0.2.10/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"),
		"ARP dropped on every device":  rule("arp", "filter", "INPUT", "-d 192.0.2.10 -j DROP"),
		"ARP rewritten on all devices": rule("arp", "filter", "OUTPUT", "-s 192.0.2.10 -j mangle --mangle-ip-s 192.0.2.21"),
		"values that are none":         rule("ipv4", "nat", "PREROUTING", "-d invalid Prefix -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.11:80"),
	} {
		if got, ok := firewall.Parse(r); ok {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
