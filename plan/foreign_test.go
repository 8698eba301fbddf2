package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
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
	found := func(i state.Item) journal.Entry { return entry(i, i, "director") }
	made := func(i state.Item) journal.Entry { return entry(nil, i, "director") }

	keepalived := []state.Foreign{{Owner: "docker", What: "device docker0"}, {Owner: "keepalived", What: "process 812"}}
	const (
		does    = "service tcp 192.0.2.30:80: lvsform did not make it, and would change destinations of it ("
		advises = "); it seems to belong to keepalived (process 812); remove it there, or take it out of the inventory"
	)
	for _, c := range []struct {
		what    string
		live    []state.Item
		signs   []state.Foreign
		journal []journal.Entry
		other   []journal.Entry // of another topology
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
			journal: []journal.Entry{made(web2)}, destroy: true,
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
			journal: []journal.Entry{made(master), made(service), made(web1), made(web2)},
			actions: []string{"~ sync-daemon master", "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80"},
			adopts:  []string{"service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "lvsform holds it as found", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			journal: []journal.Entry{found(master), found(service), found(web1), found(web2)},
			errors:  []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3" + advises},
		},
		{
			what: "lvsform lets go of what it found", live: []state.Item{service, dead, slave}, signs: keepalived,
			journal: []journal.Entry{found(master), found(service), found(web1), found(web2)}, destroy: true,
		},
		{
			what: "another topology found it", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			other:  []journal.Entry{found(service)},
			errors: []string{does + "~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80 dr weight 0 -> dr weight 3" + advises},
		},
		{
			what: "another topology made it", live: []state.Item{service, dead, web2, master}, signs: keepalived,
			other:   []journal.Entry{made(service)},
			actions: []string{"~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80"},
			adopts:  []string{"sync-daemon master", "service tcp 192.0.2.30:80", "destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
		},
		{
			what: "nobody else balances", live: []state.Item{service, dead, master}, signs: keepalived[:1],
			actions: []string{"~ destination tcp 192.0.2.30:80 -> 192.0.2.4:80", "+ destination tcp 192.0.2.30:80 -> 192.0.2.5:80"},
			adopts:  []string{"sync-daemon master", "service tcp 192.0.2.30:80"},
		},
		{
			what: "a sync daemon made by hand", live: []state.Item{service, web1, web2, slave}, signs: keepalived[:1],
			errors: []string{`sync-daemon master: is already there as "` + slave.Value() + `", and lvsform did not make it (wanted "` + master.Value() +
				`"); nothing that runs on the host tells whose it is, so it may have been made by hand with ipvsadm; remove it there, or make the inventory say the same`},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			observed := fresh(inv)
			lb := observed["lb"]
			for _, i := range c.live {
				lb.State.Put(i)
			}
			lb.Foreign, lb.Journal.Entries, lb.Others = c.signs, c.journal, []journal.Journal{{Topology: "other", Entries: c.other}}
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

// The kernel removes a virtual service with all that is in it. What somebody else
// put there is named, and nothing is removed on that host; what only is beside it
// is left in peace.
func TestDestinationsOfOthersInWhatGoes(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(balanced))
	if err != nil {
		t.Fatal(err)
	}
	smaller, err := inventory.Parse("lvsform.yaml", []byte(balanced[:strings.Index(balanced, "services:")]+
		"services:\n  - {name: dns, vip: 192.0.2.31, protocol: udp, port: 53, mode: dr, scheduler: rr, directors: [lb], real_servers: [web1]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	made := func(i state.Item) journal.Entry { return entry(nil, i, "director") }
	for _, c := range []struct {
		id     state.ServiceID
		rip    string
		remove string
	}{
		{state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}, "192.0.2.9:80", "ipvsadm -d -t 192.0.2.30:80 -r 192.0.2.9:80"},
		{state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("[2001:db8::30]:53")}, "[2001:db8::9]:53", "ipvsadm -d -u [2001:db8::30]:53 -r [2001:db8::9]:53"},
		{state.ServiceID{Protocol: state.SCTP, Address: netip.MustParseAddrPort("192.0.2.30:80")}, "192.0.2.9:80", "ipvsadm -d --sctp-service 192.0.2.30:80 -r 192.0.2.9:80"},
		{state.ServiceID{FWMark: 7}, "192.0.2.9:0", "ipvsadm -d -f 7 -r 192.0.2.9:0"},
		{state.ServiceID{FWMark: 7, IPv6: true}, "[2001:db8::9]:0", "ipvsadm -d -f 7 -6 -r [2001:db8::9]:0"},
	} {
		service := state.Service{ServiceID: c.id, Scheduler: "rr", PersistenceBits: 32}
		ours := state.Destination{Service: c.id, Address: netip.MustParseAddrPort("192.0.2.4:80"), Forward: state.ForwardDR, Weight: 1}
		theirs := ours
		theirs.Address = netip.MustParseAddrPort(c.rip)
		conflict := state.Text(theirs) + ": lvsform did not make it, and it would go with its virtual service, which is about to be removed; remove it first (" +
			c.remove + "), or take it into the inventory and apply that first"
		for _, x := range []struct {
			what    string
			journal []journal.Entry
			other   []journal.Entry
			errors  []string
		}{
			{what: "in a service of ours", journal: []journal.Entry{made(service), made(ours)}, errors: []string{conflict}},
			{what: "taken into the inventory since", journal: []journal.Entry{made(service), made(ours), entry(theirs, theirs, "director")}},
			{what: "in a service that was found", journal: []journal.Entry{entry(service, service, "director"), made(ours)}},
			{what: "in a service that another topology holds as well", journal: []journal.Entry{made(service), made(ours)}, other: []journal.Entry{made(service)}},
		} {
			t.Run(c.remove+" "+x.what, func(t *testing.T) {
				observed := fresh(inv)
				lb := observed["lb"]
				for _, i := range []state.Item{service, ours, theirs} {
					lb.State.Put(i)
				}
				lb.Journal.Entries, lb.Others = x.journal, []journal.Journal{{Topology: "other", Entries: x.other}}
				observed["lb"] = lb
				gone := map[string]plan.Observation{"lb": {Observed: lb.Observed, Member: &journal.Member{Name: "lb"}}}
				for way, p := range map[string]*plan.Plan{"destroy": plan.Destroy(inv, observed), "leaves": plan.Destroy(&inventory.Inventory{}, gone), "smaller": plan.Make(smaller, observed)} {
					host := p.Hosts[slices.IndexFunc(p.Hosts, func(h plan.Host) bool { return h.Name == "lb" })]
					var errors []string
					for _, e := range host.Errors {
						errors = append(errors, e.Message)
						if e.Kind != fault.Conflict {
							t.Errorf("%s: %s is no conflict but %s", way, e.Message, e.Kind)
						}
					}
					if diff := cmp.Diff(x.errors, errors); diff != "" {
						t.Errorf("%s (-want +got):\n%s", way, diff)
					}
					if (len(host.Actions) == 0) != (x.errors != nil) {
						t.Errorf("%s: errors are %v, and it does %v", way, errors, host.Actions)
					}
				}
			})
		}
	}
}
