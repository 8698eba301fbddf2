package plan_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// A VIP that is there in such a way that traffic stays broken whatever lvsform
// sets is refused, with the command that takes it away. One that does no harm
// is left alone.
func TestStrayVIPs(t *testing.T) {
	const document = `version: 1
name: stray
networks: {lan: [192.0.2.0/24, '2001:db8:1::/64'], far: [198.51.100.0/24, '2001:db8:2::/64']}
hosts:
  client: {role: client, nics: {eth0: {network: lan, addresses: [192.0.2.7, '2001:db8:1::7']}}}
  router: {role: gateway, nics: {eth0: {network: lan, addresses: [192.0.2.1, '2001:db8:1::1']}, eth1: {network: far, addresses: [198.51.100.1, '2001:db8:2::1']}}}
  lb: {role: director, nics: {eth0: {network: lan, addresses: [192.0.2.3, '2001:db8:1::3']}}, gateway: [192.0.2.1, '2001:db8:1::1']}
  near: {role: real-server, nics: {eth0: {network: lan, addresses: [192.0.2.4, '2001:db8:1::4']}, eth1: {network: far, address: 198.51.100.4}}}
  far: {role: real-server, nics: {eth0: {network: far, addresses: [198.51.100.5, '2001:db8:2::5']}}, gateway: [198.51.100.1, '2001:db8:2::1']}
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: %s, arp: %s, directors: [lb], real_servers: [near]}
  - {name: six, vip: '2001:db8:1::30', port: 80, mode: %s, directors: [lb], real_servers: [near]}
  - {name: wide, vip: 192.0.2.31, port: 80, mode: tun, directors: [lb], real_servers: [far]}
`
	const (
		web   = "it is the VIP of service web, and lvsform did not make it; "
		takes = "with its length of /24 the host takes all of 192.0.2.0/24 for itself, and sends nothing to client (192.0.2.7); "
		nic   = "on eth0 the host answers ARP for it, unless arp_ignore is 8 there; "
		nic6  = "on eth0 the host answers neighbour solicitations for it; "
		own   = "the host takes packets for the VIP for its own, and none of them reaches the director; "
	)
	for _, c := range []struct {
		host, link, prefix string
		mode, arp          string
		want               string
	}{
		// The classic.
		{"near", "lo", "192.0.2.30/24", "dr", "sysctl", web + takes + "remove it: ip address del 192.0.2.30/24 dev lo"},
		{"near", "lo", "192.0.2.30/24", "dr", "arptables", web + takes + "remove it: ip address del 192.0.2.30/24 dev lo"},
		{"near", "lo", "192.0.2.30/24", "fullnat", "", web + takes + "remove it: ip address del 192.0.2.30/24 dev lo"},
		{"lb", "lo", "192.0.2.30/24", "dr", "sysctl", web + takes + "remove it: ip address del 192.0.2.30/24 dev lo"},
		{"near", "lo", "2001:db8:1::30/64", "dr", "sysctl",
			"it is the VIP of service six, and lvsform did not make it; with its length of /64 the host takes all of 2001:db8:1::/64 for itself, " +
				"and sends nothing to client (2001:db8:1::7); remove it: ip address del 2001:db8:1::30/64 dev lo"},
		// Nobody else is in that network.
		{"near", "lo", "192.0.2.30/31", "dr", "sysctl", ""},
		// `ifconfig tunl0 VIP netmask 255.255.255.0` on a server elsewhere.
		{"far", "tunl0", "192.0.2.31/24", "dr", "sysctl",
			"it is the VIP of service wide, and lvsform did not make it; with its length of /24 the host looks for all of 192.0.2.0/24 behind tunl0, " +
				"also for client (192.0.2.7); remove it: ip address del 192.0.2.31/24 dev tunl0"},
		// On the NIC.
		{"near", "eth0", "192.0.2.30/32", "dr", "sysctl", web + nic + "remove it: ip address del 192.0.2.30/32 dev eth0"},
		{"near", "eth0", "192.0.2.30/24", "dr", "sysctl", web + nic + "remove it: ip address del 192.0.2.30/24 dev eth0"},
		{"near", "eth0", "192.0.2.30/32", "fullnat", "", web + nic + "remove it: ip address del 192.0.2.30/32 dev eth0"},
		{"near", "eth0", "192.0.2.30/32", "dr", "arptables", ""},
		{"near", "eth0", "192.0.2.30/32", "dr", "static", ""},
		{"near", "eth0", "2001:db8:1::30/128", "dr", "arptables",
			"it is the VIP of service six, and lvsform did not make it; " + nic6 + "remove it: ip address del 2001:db8:1::30/128 dev eth0"},
		{"far", "eth0", "192.0.2.31/32", "dr", "sysctl", ""},
		{"near", "eth1", "192.0.2.30/32", "dr", "sysctl", ""},
		{"near", "dummy0", "192.0.2.30/32", "dr", "sysctl", ""},
		// On the director it belongs.
		{"lb", "eth0", "192.0.2.30/24", "dr", "sysctl", ""},
		{"lb", "lo", "192.0.2.30/32", "dr", "sysctl", ""},
		// On those who send to it.
		{"client", "lo", "192.0.2.30/32", "dr", "sysctl", web + own + "remove it: ip address del 192.0.2.30/32 dev lo"},
		{"client", "eth0", "192.0.2.30/32", "dr", "sysctl", web + nic + "remove it: ip address del 192.0.2.30/32 dev eth0"},
		{"router", "eth1", "192.0.2.30/32", "fullnat", "", web + own + "remove it: ip address del 192.0.2.30/32 dev eth1"},
	} {
		what := fmt.Sprintf("%s on %s's %s, mode %s, arp %s", c.prefix, c.host, c.link, c.mode, c.arp)
		text := fmt.Sprintf(document, c.mode, c.arp, c.mode)
		if c.arp == "" {
			text = strings.Replace(text, " arp: ,", "", 1)
		}
		inv, err := inventory.Parse("lvsform.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		observed := fresh(inv)
		prefix := netip.MustParsePrefix(c.prefix)
		address := state.Address{Link: c.link, Prefix: prefix}
		observed[c.host].State.Put(address)
		var want []string
		if c.want != "" {
			want = []string{c.host + ": preflight: address " + address.Key() + ": " + c.want}
		}
		if diff := cmp.Diff(want, strays(inv, observed)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
		// What another topology has made, or this one, is theirs to know.
		obs := observed[c.host]
		obs.Others = []journal.Journal{{Topology: "other", Entries: []journal.Entry{entry(nil, address, "real-server")}}}
		observed[c.host] = obs
		if got := strays(inv, observed); got != nil {
			t.Errorf("%s, made by another topology: %s", what, got)
		}
	}
}

// strays are the errors about VIPs.
func strays(inv *inventory.Inventory, observed map[string]plan.Observation) []string {
	var out []string
	for _, h := range plan.Make(inv, observed).Hosts {
		for _, e := range h.Errors {
			if strings.Contains(e.Message, "it is the VIP of") {
				out = append(out, h.Name+": "+e.Message)
			}
		}
	}
	return out
}
