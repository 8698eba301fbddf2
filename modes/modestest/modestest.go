// Package modestest draws valid inventories of every mode, family, protocol
// and scheduler over one fixed set of hosts, for tests: on fakes by the
// thousand, in a lab by the dozen.
package modestest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// Hosts is the part of every drawn inventory that is always the same: the
// document up to its services. A lab booted from it can carry all of them.
//
// The real servers' names tell where they stand: near ones on the director's
// outer segment, inner ones behind it, far ones behind a router.
const Hosts = `version: 1
name: drawn
networks:
  front: [192.0.2.0/24, '2001:db8:1::/64']
  back: [198.51.100.0/24, '2001:db8:2::/64']
  far: [203.0.113.0/24, '2001:db8:3::/64']
hosts:
  client:
    role: client
    nics: {eth0: {network: front, addresses: [192.0.2.7, '2001:db8:1::7']}}
    gateway: [192.0.2.1, '2001:db8:1::1']
  router:
    role: gateway
    nics:
      eth0: {network: front, addresses: [192.0.2.1, '2001:db8:1::1']}
      eth1: {network: far, addresses: [203.0.113.1, '2001:db8:3::1']}
  lb:
    role: director
    nics:
      eth0: {network: front, addresses: [192.0.2.3, '2001:db8:1::3']}
      eth1: {network: back, addresses: [198.51.100.3, '2001:db8:2::3']}
    gateway: [192.0.2.1, '2001:db8:1::1']
  near1:
    role: real-server
    nics: {eth0: {network: front, addresses: [192.0.2.11, '2001:db8:1::11']}}
    gateway: [192.0.2.1, '2001:db8:1::1']
    serve: &pages {http: [80, 8080], udp: [80, 8080]}
  near2:
    role: real-server
    nics: {eth0: {network: front, addresses: [192.0.2.12, '2001:db8:1::12']}}
    gateway: [192.0.2.1, '2001:db8:1::1']
    serve: *pages
  inner1:
    role: real-server
    nics: {eth0: {network: back, addresses: [198.51.100.11, '2001:db8:2::11']}}
    serve: *pages
  inner2:
    role: real-server
    nics: {eth0: {network: back, addresses: [198.51.100.12, '2001:db8:2::12']}}
    serve: *pages
  far1:
    role: real-server
    nics: {eth0: {network: far, addresses: [203.0.113.11, '2001:db8:3::11']}}
    gateway: [203.0.113.1, '2001:db8:3::1']
    serve: *pages
  far2:
    role: real-server
    nics: {eth0: {network: far, addresses: [203.0.113.12, '2001:db8:3::12']}}
    gateway: [203.0.113.1, '2001:db8:3::1']
    serve: *pages
`

// candidates are the real servers a mode can use, where a server of nat is
// none of the others': its way back leads through the director.
func candidates(mode string) []string {
	switch mode {
	case "nat":
		return []string{"inner1", "inner2"}
	case "dr":
		return []string{"near1", "near2"}
	case "tun":
		return []string{"near1", "near2", "far1", "far2"}
	default:
		return []string{"near1", "near2", "far1", "far2", "inner1", "inner2"}
	}
}

// Inventory generates whole documents with one to three services.
func Inventory() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteString(Hosts + "services:\n")
		for i := range rapid.IntRange(1, 3).Draw(t, "services") {
			b.WriteString(service(t, i))
		}
		return b.String()
	})
}

func service(t *rapid.T, n int) string {
	var b strings.Builder
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	line := func(format string, args ...any) { fmt.Fprintf(&b, "    "+format+"\n", args...) }

	mode := pick("mode", "nat", "dr", "tun", "fullnat")
	protocol := pick("protocol", "tcp", "tcp", "udp")
	six := rapid.Bool().Draw(t, "ipv6")
	vip := fmt.Sprintf("192.0.2.%d", 100+n)
	if six {
		vip = fmt.Sprintf("'2001:db8:1::%d'", 100+n)
	}
	fmt.Fprintf(&b, "  - name: s%d\n", n)
	line("vip: %s", vip)
	line("port: 80")
	line("protocol: %s", protocol)
	line("mode: %s", mode)
	line("directors: [lb]")
	line("scheduler: %s", pick("scheduler", "rr", "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"))
	if rapid.IntRange(0, 3).Draw(t, "persistent") == 0 {
		line("persistence: %d", rapid.IntRange(1, 600).Draw(t, "persistence"))
	} else if protocol == "udp" {
		// In nat and fullnat it leaves settings out, and no live host tells an
		// importer why they are not there.
		if (mode == "dr" || mode == "tun") && rapid.IntRange(0, 2).Draw(t, "replies") == 0 {
			line("replies: none")
		}
		if mode != "nat" && mode != "fullnat" && rapid.Bool().Draw(t, "one packet") {
			line("one_packet: true")
		}
	}
	from := candidates(mode)
	switch mode {
	case "dr":
		line("arp: %s", pick("arp", "sysctl", "sysctl", "arptables", "static"))
	case "tun":
		if !six {
			line("tunnel: %s", pick("tunnel", "{type: ipip}", "{type: gre}", "{type: gue, port: 5555}", "{type: gre, checksum: true}"))
		}
	case "nat":
		line("return_route: %s", pick("return route", "default", "clients"))
	case "fullnat":
		if pool := rapid.IntRange(0, 2).Draw(t, "local addresses"); pool > 0 && !six {
			line("local_addresses: [%s]", strings.Join([]string{"192.0.2.201", "192.0.2.202"}[:pool], ", "))
			from = candidates("tun") // the inner ones have no route to the pool
		}
	}
	line("real_servers:")
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, len(from), rapid.ID).Draw(t, "real servers") {
		entry := fmt.Sprintf("host: %s, weight: %d", name, rapid.IntRange(1, 3).Draw(t, "weight"))
		switch {
		case mode == "nat" || mode == "fullnat":
			entry += fmt.Sprintf(", port: %s", pick("port", "80", "8080"))
		case rapid.IntRange(0, 3).Draw(t, "redirected") == 0 && !six:
			entry += ", redirect: 8080"
		}
		if rapid.IntRange(0, 3).Draw(t, "thresholds") == 0 {
			entry += ", upper_threshold: 1000, lower_threshold: 500"
		}
		line("  - {%s}", entry)
	}
	return b.String()
}

// Other makes of a drawn document another topology on the same hosts, which has
// VIPs of its own where that is asked for, and the same ones otherwise.
func Other(document string, ownVIPs bool) string {
	change := []string{"name: drawn", "name: other"}
	if ownVIPs {
		change = append(change, "vip: 192.0.2.10", "vip: 192.0.2.11", "vip: '2001:db8:1::10", "vip: '2001:db8:1::11")
	}
	return strings.NewReplacer(change...).Replace(document)
}
