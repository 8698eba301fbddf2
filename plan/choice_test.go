package plan_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
)

// choose leaves a part of a plan, and lists by host what it does and what it
// holds back.
func choose(t *testing.T, inv *inventory.Inventory, p *plan.Plan, only plan.Only) (does, held map[string][]string) {
	t.Helper()
	if err := p.Narrow(inv, only); err != nil {
		t.Fatal(err)
	}
	if p.Failed() {
		t.Fatal(p.Failure())
	}
	does, held = map[string][]string{}, map[string][]string{}
	for _, h := range p.Hosts {
		for _, a := range h.Actions {
			does[h.Name] = append(does[h.Name], strings.Join([]string{string(a.Op), string(a.Kind), a.Key}, " "))
		}
		for _, x := range h.Held {
			held[h.Name] = append(held[h.Name], strings.Join([]string{string(x.Op), string(x.Kind), x.Key}, " ")+" for "+strings.Join(x.Needs, ", "))
		}
	}
	return does, held
}

// On fresh hosts a real server by itself waits for no module of the director's.
func TestModulesOfOtherHosts(t *testing.T) {
	inv := load(t, tutorial)
	does, held := choose(t, inv, plan.Make(inv, fresh(inv)), plan.Only{Hosts: []string{"web1"}})
	want := map[string][]string{"web1": {
		"~ sysctl net.ipv4.conf.ens33.arp_announce", "~ sysctl net.ipv4.conf.ens33.arp_ignore", "+ address 192.168.91.30/32 on lo",
	}}
	if diff := cmp.Diff(want, does); diff != "" || len(held) != 0 {
		t.Errorf("(-want +does):\n%s\nheld back: %v", diff, held)
	}
}

// What is for no service comes with any, and so do the modules it lives in,
// though another service names them; and nothing else of that service.
func TestModulesComeAlong(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(strings.Replace(balanced, "services:\n", `  lb2: {role: director, nics: {eth0: {network: lan, address: 192.0.2.6}}}
services:
  - {name: dns, vip: 192.0.2.31, protocol: udp, port: 53, mode: dr, scheduler: wlc, directors: [lb2], real_servers: [web1]}
`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	does, held := choose(t, inv, plan.Make(inv, fresh(inv)), plan.Only{Services: []string{"dns"}})
	want := []string{"+ module ip_vs", "+ module ip_vs_rr", "+ sync-daemon master"}
	if diff := cmp.Diff(want, does["lb"]); diff != "" || len(held) != 0 {
		t.Errorf("lb (-want +does):\n%s\nheld back: %v", diff, held)
	}
	if hosts := slices.Sorted(maps.Keys(does)); !slices.Equal(hosts, []string{"lb", "lb2", "web1"}) {
		t.Errorf("is done on %v: %v", hosts, does)
	}
	does, held = choose(t, inv, plan.Make(inv, fresh(inv)), plan.Only{Services: []string{"web"}})
	if slices.Contains(does["lb2"], "+ module ip_vs") || len(held) != 0 {
		t.Errorf("lb2 does %v, though nothing there is for web or for no service; held back: %v", does["lb2"], held)
	}
}

// What is for no service stays when one goes, and holds nothing of it back: no
// sync daemon that runs on keeps the director on the VIP.
func TestServiceThatGoes(t *testing.T) {
	inv := load(t, "../examples/mixed-modes/lvsform.yaml")
	before := ready(inv)
	observed := carriedOut(plan.Make(inv, before), before)
	does, held := choose(t, inv, plan.Destroy(inv, observed), plan.Only{Services: []string{"two-ports"}})
	want := map[string][]string{
		"lb": {
			"- destination fwmark 7 -> 192.0.2.4:0", "- service fwmark 7", "- address 192.0.2.31/32 on eth0",
			"- firewall-rule ipv4 mangle PREROUTING -d 192.0.2.31/32 -p tcp -m tcp --dport 81 -j MARK --set-xmark 0x7/0xffffffff",
			"- firewall-rule ipv4 mangle PREROUTING -d 192.0.2.31/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff",
		},
		"web-dr": {"- address 192.0.2.31/32 on lo"},
	}
	if diff := cmp.Diff(want, does); diff != "" {
		t.Errorf("(-want +does):\n%s", diff)
	}
	needs := " for lb: - destination tcp 192.0.2.30:80 -> 192.0.2.4:80, lb: - service tcp 192.0.2.30:80, lb: - address 192.0.2.30/32 on eth0, web-dr: - address 192.0.2.30/32 on lo"
	waits := map[string][]string{"web-dr": { // web needs it, too
		"~ sysctl net.ipv4.conf.eth0.arp_ignore" + needs,
		"~ sysctl net.ipv4.conf.eth0.arp_announce" + needs,
	}}
	if diff := cmp.Diff(waits, held); diff != "" {
		t.Errorf("(-want +held back):\n%s", diff)
	}
}

// A director waits for none that it shares a service with, and a gateway for none
// without the VIP. A real server that is put back waits for both, and the VIP for
// the director that it goes to.
func TestPairOfDirectors(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(pair))
	if err != nil {
		t.Fatal(err)
	}
	does, held := choose(t, inv, plan.Make(inv, ready(inv)), plan.Only{Hosts: []string{"lb1", "web1", "gw"}})
	if len(held) != 0 || !slices.Contains(does["lb1"], "+ address 192.0.2.30/32 on eth0") || len(does["gw"]) == 0 {
		t.Errorf("does %v; held back: %v", does, held)
	}
	before := ready(inv)
	observed := carriedOut(plan.Make(inv, before), before)
	does, held = choose(t, inv, plan.Destroy(inv, observed), plan.Only{Hosts: []string{"lb1", "web1", "gw"}})
	if len(held["web1"]) != 3 || !strings.Contains(held["web1"][0], "lb2: - destination") || len(held["lb1"]) != 0 {
		t.Errorf("on the way back does %v; held back: %v", does, held)
	}
	moved, err := inventory.Parse("lvsform.yaml", []byte(strings.Replace(pair, "[lb1, lb2]", "[lb2]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, held = choose(t, moved, plan.Make(moved, observed), plan.Only{Hosts: []string{"lb1"}})
	if !slices.ContainsFunc(held["lb1"], func(h string) bool { return strings.HasPrefix(h, "- address 192.0.2.30/32 on eth0 for lb2: + address") }) {
		t.Errorf("the VIP leaves for nowhere: %v", held)
	}
	l := plan.Hold(inv, observed)
	if err := l.Narrow([]string{"nobody"}); err == nil || !strings.HasSuffix(err.Error(), "--host nobody: there is no such host; there are lb1, lb2, web1, client, gw") {
		t.Errorf("list: %v", err)
	}
	if err := l.Narrow([]string{"lb2"}); err != nil || len(l.Hosts) != 1 || l.Hosts[0].Name != "lb2" {
		t.Errorf("list: %v, %v", l.Hosts, err)
	}
}

const pair = `
version: 1
name: pair
networks: {lan: 192.0.2.0/24, wan: 203.0.113.0/24}
hosts:
  lb1: {role: director, nics: {eth0: {network: lan, address: 192.0.2.3}}}
  lb2: {role: director, nics: {eth0: {network: lan, address: 192.0.2.6}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}, gateway: 192.0.2.1}
  client: {role: client, nics: {eth0: {network: wan, address: 203.0.113.7}}}
  gw:
    role: gateway
    nics: {eth0: {network: lan, address: 192.0.2.1}, eth1: {network: wan, address: 203.0.113.1}}
    forwards: [{listen: '203.0.113.1:80', to: '192.0.2.30:80'}]
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: dr, directors: [lb1, lb2], real_servers: [web1]}
`
