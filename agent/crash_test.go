package agent_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// crashTopology is a small topology on hosts that it always names alike.
func crashTopology(t *testing.T, name, servers, services string) *inventory.Inventory {
	document := "version: 1\nname: " + name + "\nnetworks: {lan: 192.0.2.0/24}\nhosts:\n" +
		"  lb: {role: director, nics: {eth0: {network: lan, address: 192.0.2.3}}}\n"
	for _, n := range servers {
		document += fmt.Sprintf("  web%c: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.1%c}}}\n", n, n)
	}
	return crashInventory(t, document+"services:\n"+services)
}

// A story of two topologies on the same hosts: whatever change of a host or of
// a file an agent is killed at, or refused, nothing that was found is lost.
func TestLawOfCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("a law on fakes; -short was given")
	}
	t.Parallel()
	first := crashTopology(t, "one", "123", `
  - {name: web, vip: 192.0.2.100, port: 80, mode: dr, directors: [lb], real_servers: [web1, web2]}
  - {name: far, vip: 192.0.2.101, port: 80, mode: tun, tunnel: {type: gre}, directors: [lb], real_servers: [web1, web3]}
`)
	less := crashTopology(t, "one", "13", `
  - {name: web, vip: 192.0.2.100, port: 80, mode: dr, arp: arptables, scheduler: wlc, directors: [lb], real_servers: [web1]}
  - {name: far, vip: 192.0.2.101, port: 80, mode: tun, directors: [lb], real_servers: [web3]}
`)
	other := crashTopology(t, "other", "123", `
  - {name: web, vip: 192.0.2.112, port: 80, mode: dr, directors: [lb], real_servers: [web1, web2]}
  - {name: far, vip: 192.0.2.111, port: 80, mode: tun, tunnel: {type: gre}, directors: [lb], real_servers: [web3]}
`)
	w := newCrashWorld(t, first)
	flip := false
	w.foundOtherwise(first, func(state.Item) bool { flip = !flip; return flip })
	found := w.save()
	destroyBoth := []command{{inv: first, destroy: true}, {inv: other, destroy: true}}
	for _, c := range []command{
		{inv: first},
		{inv: other},
		{inv: less, only: plan.Only{Hosts: []string{"lb", "web1"}}},
		{inv: less},
		{inv: first},
		{inv: first, destroy: true},
		{inv: other, destroy: true},
	} {
		w.holds(c, found, destroyBoth, func(points int) []fate {
			if points < 3 {
				t.Fatalf("%v: only %d places to be struck at", c, points)
			}
			var all []fate
			for i := range points {
				all = append(all, fate{at: i + 1, kills: true}, fate{at: i + 1})
			}
			return all
		})
	}
	w.restored(found, "the end")
}

// The same for whatever topologies, struck once.
func TestLawOfCrashesAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("a law on fakes; -short was given")
	}
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := crashInventory(t, modestest.Inventory().Draw(t, "first"))
		other := crashInventory(t, modestest.Other(modestest.Inventory().Draw(t, "other"), true))
		next := crashInventory(t, modestest.Inventory().Draw(t, "next"))
		w := newCrashWorld(t, first)
		w.foundOtherwise(first, func(i state.Item) bool { return rapid.Bool().Draw(t, state.Text(i)) })
		found := w.save()
		story := []command{{inv: first}, {inv: other}, {inv: next}, {inv: next, destroy: true}, {inv: other, destroy: true}}
		struck := rapid.IntRange(0, len(story)-1).Draw(t, "in which run")
		for _, c := range story[:struck] {
			w.mustRun(c)
		}
		w.holds(story[struck], found, []command{{inv: next, destroy: true}, {inv: other, destroy: true}}, func(points int) []fate {
			return []fate{{at: rapid.IntRange(1, points).Draw(t, "where"), kills: rapid.Bool().Draw(t, "killed")}}
		})
	})
}

// A folder that is full is found before anything is changed on any host, also on
// one on which only the journal is to change: the topology has come to have more
// hosts or fewer.
func TestFullFolderOfAnUnchangedHostIsFoundFirst(t *testing.T) {
	service := "  - {name: web, vip: 192.0.2.100, port: 80, mode: dr, directors: [lb], real_servers: [%s]}\n"
	two := crashTopology(t, "one", "12", fmt.Sprintf(service, "web1, web2"))
	three := crashTopology(t, "one", "123", fmt.Sprintf(service, "web1, web2, web3"))
	for what, c := range map[string][2]*inventory.Inventory{"a host more": {two, three}, "a host less": {three, two}} {
		w := newCrashWorld(t, three)
		w.mustRun(command{inv: c[0]})
		before := w.whole()
		w.Prepare = func(a *agent.Agent) {
			if filepath.Base(a.Dir) == "web1" {
				a.BeforeWrite(func() error { return unix.ENOSPC })
			}
		}
		if err := w.run(command{inv: c[1]}); fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), "web1: prepare: journal: no space left on device\n0 of ") {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(before, w.whole()); diff != "" {
			t.Errorf("%s: something was changed:\n%s", what, diff)
		}
	}
}

// A folder that is full, on whatever host, is found before anything is changed
// on any.
func TestFullFolderIsFoundFirst(t *testing.T) {
	inv := crashTopology(t, "one", "12", "  - {name: web, vip: 192.0.2.100, port: 80, mode: dr, directors: [lb], real_servers: [web1, web2]}\n")
	for _, full := range []string{"lb", "web2"} {
		w := newCrashWorld(t, inv)
		before := w.whole()
		w.Prepare = func(a *agent.Agent) {
			if filepath.Base(a.Dir) == full {
				a.BeforeWrite(func() error { return unix.ENOSPC })
			}
		}
		err := w.run(command{inv: inv})
		if fault.Of(err) != fault.Conflict || !strings.Contains(err.Error(), full+": prepare: journal: no space left on device\n0 of ") {
			t.Errorf("%s is full: %v", full, err)
		}
		if diff := cmp.Diff(before, w.whole()); diff != "" {
			t.Errorf("%s is full, and something was changed:\n%s", full, diff)
		}
	}
}
