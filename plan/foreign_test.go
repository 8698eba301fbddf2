package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

const balanced = `version: 1
name: balanced
networks: {lan: 192.0.2.0/24}
hosts:
  lb:
    role: director
    nics: {eth0: {network: lan, address: 192.0.2.3}}
    ipvs: {sync: [{role: master, interface: eth0, id: 1}]}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}}
  web2: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.5}}}
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: dr, scheduler: rr, directors: [lb], real_servers: [{host: web1, weight: 3}, web2]}
`

// What another program has in IPVS is taken as found where it is exactly as
// wanted, and a conflict where it is not: keepalived gives a dead real server
// weight 0, or takes it out.
func TestWhereAnotherBalances(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(balanced))
	if err != nil {
		t.Fatal(err)
	}
	id := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}
	service := state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32}
	to := func(address string, weight uint32) state.Destination {
		return state.Destination{Service: id, Address: netip.MustParseAddrPort(address), Forward: state.ForwardDR, Weight: weight}
	}
	web1, web2, dead, spare := to("192.0.2.4:80", 3), to("192.0.2.5:80", 1), to("192.0.2.4:80", 0), to("192.0.2.6:80", 1)
	master := state.SyncDaemon{Role: state.SyncMaster, Interface: "eth0", ID: 1, MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1}
	slave, another := master, service
	slave.ID, another.Scheduler = 2, "wlc"
	found := func(i state.Item) wire.Entry { return entry(i, i, "director") }
	made := func(i state.Item) wire.Entry { return entry(nil, i, "director") }

	keepalived := []state.Foreign{{Owner: "docker", What: "device docker0"}, {Owner: "keepalived", What: "process 812"}}
	const (
		does    = "service tcp 192.0.2.30:80: lvsform did not make it, and would change destinations of it ("
		advises = "); it seems to belong to keepalived (process 812); remove it there, or take it out of the inventory"
	)
	for _, c := range []struct {
		what    string
		live    []state.Item
		signs   []state.Foreign
		journal []wire.Entry
		other   []wire.Entry // of another topology
		destroy bool
		errors  []string
		actions []string // in IPVS
		adopts  []string
	}{
		{
			what: "all as wanted", live: []state.Item{service, web1, web2, master}, signs: keepalived,
			adopts: []string{"sync-daemon master", "service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.4:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "another's destination beside them", live: []state.Item{service, web1, web2, spare, master}, signs: keepalived,
			adopts: []string{"sync-daemon master", "service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.4:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "a dead real server", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			errors: []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3" + advises},
		},
		{
			what: "a dead one and one that is gone", live: []state.Item{service, dead, master}, signs: keepalived,
			errors: []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3, and 1 more" + advises},
		},
		{
			what: "one that would be removed", live: []state.Item{service, web1, web2, master}, signs: keepalived,
			journal: []wire.Entry{made(web2)}, destroy: true,
			actions: []string{"- destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "another service altogether", live: []state.Item{another, dead, master}, signs: keepalived,
			errors: []string{`service tcp 192.0.2.30:80: is already there as "wlc", and lvsform did not make it (wanted "rr"); it seems to belong to keepalived (process 812); remove it there, or make the inventory say the same`},
		},
		{
			what: "a sync daemon", live: []state.Item{service, web1, web2, slave}, signs: keepalived,
			errors: []string{`sync-daemon master: is already there as "` + slave.Value() + `", and lvsform did not make it (wanted "` + master.Value() +
				`"); it seems to belong to keepalived (process 812); remove it there, or make the inventory say the same`},
		},
		{
			what: "no service yet", live: nil, signs: keepalived,
			actions: []string{"+ service tcp 192.0.2.30:80", "+ sync-daemon master", "+ destination tcp 192.0.2.30:80 -> 192.0.2.4:80", "+ destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "lvsform made it", live: []state.Item{service, dead, web2, slave}, signs: keepalived,
			journal: []wire.Entry{made(master), made(service), made(web1), made(web2)},
			actions: []string{"~ sync-daemon master", "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80"},
			adopts:  []string{"service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "lvsform holds it as found", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			journal: []wire.Entry{found(master), found(service), found(web1), found(web2)},
			errors: []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3" + advises},
		},
		{
			what: "lvsform lets go of what it found", live: []state.Item{service, dead, slave}, signs: keepalived,
			journal: []wire.Entry{found(master), found(service), found(web1), found(web2)}, destroy: true,
		},
		{
			what: "another topology found it", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			other:  []wire.Entry{found(service)},
			errors: []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3" + advises},
		},
		{
			what: "another topology made it", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			other:   []wire.Entry{made(service)},
			actions: []string{"~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80"},
			adopts:  []string{"sync-daemon master", "service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "nobody else balances", live: []state.Item{service, dead, slave}, signs: keepalived[:1],
			actions: []string{"~ sync-daemon master", "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80", "+ destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
			adopts:  []string{"service tcp 192.0.2.30:80"},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			observed := fresh(inv)
			lb := observed["lb"]
			for _, i := range c.live {
				lb.State.Put(i)
			}
			lb.Foreign, lb.Journal.Entries, lb.Others = c.signs, c.journal, []wire.Journal{{Topology: "other", Entries: c.other}}
			observed["lb"] = lb
			p := plan.Make(inv, observed)
			if c.destroy {
				p = plan.Destroy(inv, observed)
			}
			host := p.Hosts[slices.IndexFunc(p.Hosts, func(h plan.Host) bool { return h.Name == "lb" })]
			var errors, actions, adopts []string
			for _, e := range host.Errors {
				if e.Kind != fault.Conflict {
					t.Errorf("%s: is no conflict but %s", e.Message, e.Kind)
				}
				errors = append(errors, e.Error())
			}
			balances := []state.Kind{state.KindService, state.KindDestination, state.KindSyncDaemon}
			for _, a := range host.Actions {
				if slices.Contains(balances, a.Kind) {
					actions = append(actions, strings.Join([]string{string(a.Op), string(a.Kind), a.Key}, " "))
				}
			}
			if errors != nil && len(host.Actions) != 0 {
				t.Errorf("in conflict, and does %v", host.Actions)
			}
			for _, e := range host.Adopt {
				if errors == nil && slices.Contains(balances, e.ID().Kind) {
					adopts = append(adopts, e.ID().String())
				}
			}
			slices.Sort(adopts)
			slices.Sort(c.adopts)
			for name, diff := range map[string]string{"errors": cmp.Diff(c.errors, errors), "actions": cmp.Diff(c.actions, actions), "adopts": cmp.Diff(c.adopts, adopts)} {
				if diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}
