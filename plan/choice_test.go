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
