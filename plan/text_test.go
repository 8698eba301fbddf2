package plan_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// One is no plural, and of hosts that all failed nobody knows whether they
// drifted.
func TestOneAndMany(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		t.Fatal(err)
	}
	for want, s := range map[string]plan.DriftSummary{
		"1 host has drifted, 0 as applied: 1 difference":              {HostsDrifted: 1, Deviations: 1},
		"2 hosts have drifted, 1 as applied, 3 failed: 2 differences": {HostsDrifted: 2, HostsAsApplied: 1, HostsFailed: 3, Deviations: 2},
		"No drift: 1 host is as applied.":                             {HostsAsApplied: 1},
		"No drift: 2 hosts are as applied, 1 failed.":                 {HostsAsApplied: 2, HostsFailed: 1},
		"Nothing is known of drift: 1 host failed.":                   {HostsFailed: 1},
		"Nothing is known of drift: 4 hosts failed.":                  {HostsFailed: 4},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v is %q, want %q", s, got, want)
		}
	}

	applied := ready(inv)
	lb := applied["lb"]
	for _, i := range []state.Item{
		state.Up{Link: "eth0"}, state.Up{Link: "eth1"}, state.Timeouts{TCP: 1}, state.Sysctl{Name: "a"}, state.Sysctl{Name: "b"},
		state.Address{Link: "eth0"}, state.Address{Link: "eth1"}, state.Neighbour{Link: "eth0"}, state.FOUPort{Port: 1}, state.FOUPort{Port: 2},
	} {
		lb.Journal.Entries = append(lb.Journal.Entries, journal.Entry{After: state.Tagged{Item: i}})
	}
	lb.Journal.Topology = "small"
	applied["lb"] = lb
	var b bytes.Buffer
	if err := plan.Hold(inv, applied).WriteText(&b, plan.TextOptions{}, false); err != nil {
		t.Fatal(err)
	}
	if want := "  small: 2 fou-ports, 2 up, 2 sysctls, 2 addresses, 1 neighbour, 1 timeouts\n"; !strings.Contains(b.String(), want) {
		t.Errorf("the list is\n%swant it to say %q", b.String(), want)
	}

	for want, only := range map[string]plan.Only{
		"--service x: there is no such service; there is web": {Services: []string{"x"}},
		"--host x: there is no such host; there are lb, web1": {Hosts: []string{"x"}},
	} {
		if err := plan.Make(inv, ready(inv)).Narrow(inv, only); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// hostile is an observation in which the hosts say a text wherever they may say
// one.
func hostile(inv *inventory.Inventory, applied map[string]plan.Observation, says string) map[string]plan.Observation {
	out := maps.Clone(applied)
	lb, web1 := out["lb"], out["web1"]
	lb.State, web1.State = maps.Clone(lb.State), maps.Clone(web1.State)
	spec := state.FirewallRule{Family: state.FirewallIPv4, Table: "mangle", Chain: "PREROUTING", Spec: says}
	for i, e := range web1.Journal.Entries {
		if s, ok := e.After.Item.(state.Sysctl); ok {
			s.Setting += says
			web1.State.Put(s)
			web1.Journal.Entries = slices.Clone(web1.Journal.Entries)
			found := s
			found.Setting = says
			web1.Journal.Entries[i].Before.Item = found
			break
		}
	}
	was := spec
	was.Spec += "before"
	lb.State.Put(spec)
	lb.Journal.Entries = append(slices.Clone(lb.Journal.Entries),
		journal.Entry{After: state.Tagged{Item: spec}, Reason: says, Role: "director", For: []string{says}},
		journal.Entry{Before: state.Tagged{Item: was}, After: state.Tagged{Item: was}, Reason: says, Role: "director"})
	moved := state.Of[state.Address](lb.State)[0]
	moved.Link = says
	lb.State.Put(moved)
	lb.Others = []journal.Journal{{Topology: says, Entries: []journal.Entry{{After: state.Tagged{Item: moved}}}}}
	lb.Foreign = []state.Foreign{{Owner: says, What: "device docker0"}, {Owner: "docker", What: says}}
	web1.Foreign = []state.Foreign{{Owner: "keepalived", What: says}}
	out["lb"], out["web1"] = lb, web1
	out["gone"] = plan.Observation{Err: errors.New(says), Member: &journal.Member{Name: "gone", Address: "192.0.2.99"}}
	return out
}

// Whatever hosts say, it adds no line to a report but the further lines of an
// error, which are marked, takes none away, and moves no cursor.
func TestTextOfHostileHosts(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		t.Fatal(err)
	}
	before := ready(inv)
	applied := carriedOut(plan.Make(inv, before), before)
	reports := func(says string) map[string]string {
		observed := hostile(inv, applied, says)
		out := map[string]string{}
		write := func(name string, write func(*bytes.Buffer) error) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			out[name] = b.String()
		}
		made, destroyed, part := plan.Make(inv, observed), plan.Destroy(inv, observed), plan.Make(inv, before)
		part.Hosts[1].Actions[0].For = []string{"web"}
		part.Hosts[1].Actions[0].Key = says
		if err := part.Narrow(inv, plan.Only{Hosts: []string{"lb"}}); err != nil {
			t.Fatal(err)
		}
		part.Hosts[0].Actions = append(part.Hosts[0].Actions, plan.Action{Op: state.Add, Kind: state.KindFirewallRule, After: state.Tagged{Item: state.FirewallRule{}}, Reason: says})
		part.Hosts[0].Held = append(part.Hosts[0].Held, plan.Held{Op: state.Add, Kind: state.KindFirewallRule, Key: says, Needs: []string{says}})
		for name, p := range map[string]*plan.Plan{"plan": made, "destroy": destroyed, "part": part} {
			write(name, func(b *bytes.Buffer) error { return p.WriteText(b, plan.TextOptions{}) })
		}
		write("drift", func(b *bytes.Buffer) error { return plan.Deviations(inv, observed).WriteText(b, plan.TextOptions{}) })
		write("list", func(b *bytes.Buffer) error { return plan.Hold(inv, observed).WriteText(b, plan.TextOptions{}, true) })
		saved, err := plan.Save(inv, destroyed, applied)
		if err != nil {
			t.Fatal(err)
		}
		if err := saved.Unchanged(inv, observed); err != nil {
			out["stale"] = err.Error()
		}
		observed["web1"] = observed["gone"]
		if err := saved.Unchanged(inv, observed); err != nil {
			out["stale and lost"] = err.Error()
		}
		if err := made.Narrow(inv, plan.Only{Services: []string{"none"}}); err != nil {
			out["no such service"] = err.Error()
		}
		return out
	}
	harmless := reports("x")
	for _, nasty := range []string{"x\n\nlb  192.0.2.3\n  + rule", "\x1b[1A\x1b[2K", "\rx", "\u202e", "x\u2028y\x9b"} {
		hostile := reports(nasty)
		for name, text := range hostile {
			// What is under a row is none: its first six columns are empty.
			lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.HasPrefix(l, "    | ") || strings.HasPrefix(l, "      ") })
			if want := strings.Split(strings.ReplaceAll(harmless[name], "\n      ", " "), "\n"); len(lines) != len(want) {
				t.Errorf("%s: %q makes %d lines of %d:\n%s", name, nasty, len(lines), len(want), strconv.Quote(text))
			}
			if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); at >= 0 {
				t.Errorf("%s: %q has a terminal do something: %q", name, nasty, text[max(0, at-40):])
			}
		}
		if len(hostile) != 8 || !strings.Contains(harmless["no such service"], ", x") {
			t.Fatalf("only %d reports: %v", len(hostile), slices.Sorted(maps.Keys(hostile)))
		}
	}
}

// What is taken as found is counted, and not what lvsform made and is only for
// other services now: its entry keeps what it found.
func TestAsFound(t *testing.T) {
	inv := load(t, tutorial)
	before := fresh(inv)
	service := state.Service{ServiceID: web, Scheduler: "rr", PersistenceBits: 32}
	address := state.Address{Link: "ens33", Prefix: vip}
	for _, i := range []state.Item{service, dest("192.168.91.4:80", 1), address} {
		before["lb"].State.Put(i)
	}
	lines := func(p *plan.Plan, o plan.TextOptions) string {
		t.Helper()
		var b bytes.Buffer
		if err := p.WriteText(&b, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const line = "    as found: 3 items, already as they should be\n"
	if text := lines(plan.Make(inv, before), plan.TextOptions{}); strings.Count(text, "as found:") != 1 || !strings.Contains(text, line) {
		t.Errorf("does not say %q:\n%s", line, text)
	}
	if text := lines(plan.Make(inv, before), plan.TextOptions{DiffOnly: true}); strings.Contains(text, "as found:") {
		t.Errorf("is no difference:\n%s", text)
	}

	applied := carriedOut(plan.Make(inv, before), before)
	if text := lines(plan.Make(inv, applied), plan.TextOptions{}); text != "No changes: 4 hosts need none.\n" {
		t.Errorf("says it again:\n%s", text)
	}
	for name, o := range applied { // all of it was for another service, and half was lvsform's own
		o.Journal.Entries = slices.Clone(o.Journal.Entries)
		for i := range o.Journal.Entries {
			o.Journal.Entries[i].For = []string{"before"}
		}
		applied[name] = o
	}
	p := plan.Make(inv, applied)
	if text := lines(p, plan.TextOptions{}); text != "lb  192.168.91.3\n"+line+"\nNo changes: 4 hosts need none.\n" {
		t.Errorf("what is for another service now:\n%s", text)
	}
	for _, h := range p.Hosts {
		for _, e := range h.Adopt {
			old := applied[h.Name].Journal.Entries
			if at := slices.IndexFunc(old, func(x journal.Entry) bool { return x.ID() == e.ID() }); at < 0 || old[at].Before != e.Before {
				t.Errorf("%s: %s was found as something else", h.Name, e.ID())
			}
		}
	}
}
