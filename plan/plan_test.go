package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

const tutorial = "../examples/tutorials/dr-one-subnet/lvsform.yaml"

func load(t *testing.T, file string) *inventory.Inventory {
	t.Helper()
	inv, err := inventorytest.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if problems := modes.Check(inv); len(problems) != 0 {
		t.Fatal(problems)
	}
	return inv
}

// fresh is what the inventory's hosts look like before anything was set.
func fresh(inv *inventory.Inventory) map[string]plan.Observation {
	out := map[string]plan.Observation{}
	for _, h := range inv.Hosts {
		s := statetest.Host(
			state.Link{Name: "lo", MTU: 65536, Up: true},
			state.Address{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8")},
		)
		for _, n := range h.NICs {
			s.Put(state.Link{Name: n.Name, MAC: "02:00:00:00:00:01", MTU: 1500, Up: true})
			for _, a := range n.Addresses {
				s.Put(state.Address{Link: n.Name, Prefix: a})
			}
			for _, setting := range []string{"arp_ignore", "arp_announce"} {
				s.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", n.Name, setting), Setting: "0"})
				s.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "all", setting), Setting: "0"})
			}
		}
		out[h.Name] = plan.Observation{Observed: wire.Observed{State: s}}
	}
	return out
}

func text(t *testing.T, p *plan.Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteText(&b, plan.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var (
	web      = state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.168.91.30:80")}
	other    = state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.168.91.30:443")}
	vip      = netip.MustParsePrefix("192.168.91.30/32")
	anywhere = netip.MustParsePrefix("0.0.0.0/0")
)

func dest(addr string, weight uint32) state.Destination {
	return state.Destination{Service: web, Address: netip.MustParseAddrPort(addr), Forward: state.ForwardDR, Weight: weight}
}

func entry(before, after state.Item, role string) journal.Entry {
	return journal.Entry{Before: state.Tagged{Item: before}, After: state.Tagged{Item: after}, Role: role, Reason: "a reason"}
}

// Each story is a live state, as an edit of the fresh one, and the plan for it.
func TestPlans(t *testing.T) {
	ignore := state.ConfSysctl("ipv4", "ens33", "arp_ignore")
	for _, c := range []struct {
		golden  string
		edit    func(map[string]plan.Observation)
		destroy bool
	}{
		{golden: "fresh.txt", edit: func(map[string]plan.Observation) {}},
		{golden: "drift.txt", edit: func(o map[string]plan.Observation) {
			o["lb"].State.Put(state.Module{Name: "ip_vs"})
			o["lb"].State.Put(state.Module{Name: "ip_vs_rr"})
			o["lb"].State.Put(state.Service{ServiceID: web, Scheduler: "rr", PersistenceBits: 32})
			o["lb"].State.Put(dest("192.168.91.4:80", 7))
			o["lb"].State.Put(state.Address{Link: "ens33", Prefix: vip})
			o["web1"].State.Put(state.Sysctl{Name: ignore, Setting: "2"})
		}},
		{golden: "not-managed.txt", edit: func(o map[string]plan.Observation) {
			o["lb"].State.Put(state.Service{ServiceID: other, Scheduler: "wlc", PersistenceBits: 32})
			o["web2"].State.Put(state.Address{Link: "ens33", Prefix: netip.MustParsePrefix("192.168.91.99/24")})
			o["web2"].State.Put(state.Address{Link: "docker0", Prefix: netip.MustParsePrefix("172.17.0.1/16")})
		}},
		{golden: "all-devices.txt", edit: func(o map[string]plan.Observation) {
			for _, h := range []string{"web1", "web2"} {
				o[h].State.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "all", "arp_ignore"), Setting: "1"})
				o[h].State.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "all", "arp_announce"), Setting: "2"})
			}
		}},
		{golden: "faults.txt", edit: func(o map[string]plan.Observation) {
			o["client"] = plan.Observation{Err: errors.New("connect: connection refused")}
			delete(o["web1"].State, state.IDOf(state.Link{Name: "ens33"}))
			delete(o["web2"].State, state.IDOf(state.Address{Link: "ens33", Prefix: netip.MustParsePrefix("192.168.91.5/24")}))
			lb := o["lb"]
			lb.Missing = []state.Missing{{ID: state.IDOf(state.Module{Name: "ip_vs"}), Why: "not loaded, and not among the modules in /lib/modules/6.1"}}
			o["lb"] = lb
		}},
		{golden: "conflict.txt", edit: func(o map[string]plan.Observation) {
			o["lb"].State.Put(state.Service{ServiceID: web, Scheduler: "wlc", PersistenceBits: 32})
		}},
		{golden: "destroy.txt", destroy: true, edit: func(o map[string]plan.Observation) {
			lb := o["lb"]
			service := state.Service{ServiceID: web, Scheduler: "rr", PersistenceBits: 32}
			address := state.Address{Link: "ens33", Prefix: vip}
			for _, i := range []state.Item{service, dest("192.168.91.4:80", 1), address} {
				lb.State.Put(i)
				lb.Journal.Entries = append(lb.Journal.Entries, entry(nil, i, "director"))
			}
			o["lb"] = lb
			web1 := o["web1"]
			found, set := state.Sysctl{Name: ignore, Setting: "0"}, state.Sysctl{Name: ignore, Setting: "1"}
			web1.State.Put(set)
			web1.Journal.Entries = append(web1.Journal.Entries, entry(found, set, "real-server"))
			o["web1"] = web1
			web2 := o["web2"] // its setting is back already
			web2.Journal.Entries = append(web2.Journal.Entries, entry(found, set, "real-server"))
			o["web2"] = web2
		}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			inv := load(t, tutorial)
			observed := fresh(inv)
			c.edit(observed)
			p := plan.Make(inv, observed)
			if c.destroy {
				p = plan.Destroy(inv, observed)
			}
			golden.Assert(t, string(text(t, p)), c.golden)
		})
	}
}

// The text is made from the JSON's value: what went through JSON reads the same.
func TestJSON(t *testing.T) {
	inv := load(t, tutorial)
	p := plan.Make(inv, fresh(inv))
	out, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(out)+"\n", "fresh.json")
	var back plan.Plan
	if err := json.Unmarshal(out, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text(t, p)), string(text(t, &back))); diff != "" {
		t.Error(diff)
	}
}
