package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/cmd/lvsform/schema/schematest"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// ready is fresh with the routes that the inventory says are there.
func ready(inv *inventory.Inventory) map[string]plan.Observation {
	out := fresh(inv)
	for _, h := range inv.Hosts {
		for _, g := range h.Gateways {
			to, metric := netip.PrefixFrom(netip.IPv4Unspecified(), 0), uint32(0)
			if g.Is6() {
				to, metric = netip.PrefixFrom(netip.IPv6Unspecified(), 0), 1024
			}
			out[h.Name].State.Put(state.Route{To: to, Metric: metric, Via: g, Link: h.NICs[0].Name, Protocol: 3})
		}
		for _, r := range h.Routes {
			out[h.Name].State.Put(state.Route{To: r.To, Via: r.Via, Link: h.NICs[0].Name, Protocol: 3})
		}
	}
	return out
}

// carriedOut is what is observed after a plan was carried out, and nothing else
// has happened.
func carriedOut(p *plan.Plan, observed map[string]plan.Observation) map[string]plan.Observation {
	out := map[string]plan.Observation{}
	for _, h := range p.Hosts {
		o := observed[h.Name]
		o.State = maps.Clone(o.State)
		o.Journal = journal.Journal{FormatVersion: journal.Version, Topology: p.Topology, Members: p.Members, Entries: slices.Clone(h.Adopt)}
		for _, a := range h.Actions {
			o.State.Put(a.After.Item)
			if a.Kind != state.KindModule {
				o.Journal.Entries = append(o.Journal.Entries, journal.Entry{Before: a.Before, After: a.After, Role: string(a.Role), Reason: a.Reason, For: a.For})
			}
		}
		slices.SortFunc(o.Journal.Entries, func(a, b journal.Entry) int { return state.Compare(a.ID(), b.ID()) })
		out[h.Name] = o
	}
	return out
}

// spoilt is an observation after others have been at work: things are gone,
// changed and added, a host has left, and one cannot be reached.
func spoilt(inv *inventory.Inventory, observed map[string]plan.Observation) map[string]plan.Observation {
	out := maps.Clone(observed)
	for i, h := range inv.Hosts {
		o := out[h.Name]
		o.State = maps.Clone(o.State)
		for j, item := range o.State.Items() {
			switch it := item.(type) {
			case state.Sysctl:
				if j%2 == 0 {
					it.Setting += "0"
					o.State.Put(it)
				}
			case state.Destination:
				it.Weight += 7
				o.State.Put(it)
				it.Address = netip.AddrPortFrom(it.Address.Addr().Next(), it.Address.Port())
				o.State.Put(it)
			case state.FirewallRule, state.Route:
				delete(o.State, state.IDOf(item))
			}
		}
		o.Others = []journal.Journal{{Topology: "another", Entries: o.Journal.Entries}, {Topology: "empty"}}
		o.Foreign = []state.Foreign{{Owner: "keepalived", What: "process 812"}, {What: "device kube-ipvs0"}}
		o.Missing = []state.Missing{{ID: state.ID{Kind: state.KindModule, Key: "ip_vs_zz"}, Why: "no such module"}}
		out[h.Name] = o
		if i == 0 {
			o.Member = &journal.Member{Name: "gone", Address: "192.0.2.99", Port: 22}
			out["gone"] = o
			out["lost"] = plan.Observation{Err: errors.New("no route to host"), Member: &journal.Member{Name: "lost"}}
		}
	}
	return out
}

// documents are all that is made from one observation: as JSON by the name of
// their schema, and as text.
func documents(t interface{ Fatal(...any) }, inv *inventory.Inventory, observed map[string]plan.Observation, only plan.Only) (inJSON map[string][][]byte, inText []byte) {
	inJSON = map[string][][]byte{}
	var texts bytes.Buffer
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(name string, v any) {
		out, err := json.Marshal(v)
		check(err)
		inJSON[name] = append(inJSON[name], out)
	}
	for _, make := range []func(*inventory.Inventory, map[string]plan.Observation) *plan.Plan{plan.Make, plan.Destroy} {
		for _, only := range []plan.Only{{}, only} {
			p := make(inv, observed)
			check(p.Narrow(inv, only))
			add("plan", p)
			check(p.WriteText(&texts, plan.TextOptions{}))
			if p.Only != nil {
				continue
			}
			saved, err := plan.Save(inv, p, observed)
			check(err)
			file, err := saved.Marshal()
			check(err)
			inJSON["saved-plan"] = append(inJSON["saved-plan"], file)
		}
	}
	drift, holdings := plan.Deviations(inv, observed), plan.Hold(inv, observed)
	add("drift", drift)
	check(drift.WriteText(&texts, plan.TextOptions{}))
	add("list", holdings)
	check(holdings.WriteText(&texts, plan.TextOptions{}, true))
	return inJSON, texts.Bytes()
}

// shuffled is the same observation in maps that were filled in another order.
func shuffled(order *rand.Rand, observed map[string]plan.Observation) map[string]plan.Observation {
	out := map[string]plan.Observation{}
	names := slices.Sorted(maps.Keys(observed))
	order.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		o := observed[name]
		items := o.State.Items()
		order.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		o.State = statetest.Host(items...)
		out[name] = o
	}
	return out
}

// Whatever is planned and however hosts were changed, each document is as its
// schema says, and the same observation gives the same documents to the byte.
func TestDocuments(t *testing.T) {
	checks := map[string]schematest.Check{}
	for _, name := range []string{"plan", "saved-plan", "drift", "list"} {
		check, err := schematest.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		checks[name] = check
	}
	rapid.Check(t, func(t *rapid.T) {
		inv, err := inventory.Parse("drawn.yaml", []byte(modestest.Inventory().Draw(t, "inventory")))
		if err != nil {
			t.Fatal(err)
		}
		before := ready(inv)
		p := plan.Make(inv, before)
		if p.Failed() || p.Empty() {
			t.Fatalf("hosts that are ready: %s", p.Summary)
		}
		after := carriedOut(p, before)
		if again := plan.Make(inv, after); !again.Empty() {
			t.Fatalf("after it was carried out: %s", again.Summary)
		}
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		only := plan.Only{Hosts: []string{"lb", "near1"}, Services: []string{inv.Services[0].Name}}
		for _, observed := range []map[string]plan.Observation{before, after, spoilt(inv, after)} {
			inJSON, inText := documents(t, inv, observed, only)
			for name, texts := range inJSON {
				for _, text := range texts {
					if err := checks[name](text); err != nil {
						t.Fatalf("the schema of %s refuses it: %v\n%s", name, err, text)
					}
				}
			}
			againJSON, againText := documents(t, inv, shuffled(order, observed), only)
			if diff := cmp.Diff(string(inText), string(againText)); diff != "" {
				t.Fatalf("the same observation reads differently:\n%s", diff)
			}
			for name := range inJSON {
				for i := range inJSON[name] {
					if !bytes.Equal(inJSON[name][i], againJSON[name][i]) {
						t.Fatalf("the same observation gives two documents %s:\n%s\n%s", name, inJSON[name][i], againJSON[name][i])
					}
				}
			}
		}
	})
}

const smallInventory = `version: 1
name: small
networks: {lan: 192.0.2.0/24}
hosts:
  lb: {role: director, nics: {eth0: {network: lan, address: 192.0.2.3}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}}
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: dr, directors: [lb], real_servers: [web1]}
`

// docs/json.md shows these: two hosts as they were applied, but for one setting
// that somebody has changed since.
func TestExamples(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		t.Fatal(err)
	}
	before := ready(inv)
	observed := carriedOut(plan.Make(inv, before), before)
	observed["web1"].State.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "eth0", "arp_ignore"), Setting: "0"})
	p := plan.Make(inv, observed)
	saved, err := plan.Save(inv, p, observed)
	if err != nil {
		t.Fatal(err)
	}
	file, err := saved.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(file), "example/saved-plan.json")
	for name, v := range map[string]any{
		"plan":  p,
		"drift": plan.Deviations(inv, observed),
		"list":  plan.Hold(inv, observed),
	} {
		schematest.Value(t, name, v)
		out, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, string(out)+"\n", "example/"+name+".json")
	}
}
