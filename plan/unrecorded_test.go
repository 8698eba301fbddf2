package plan_test

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// A host whose journal is gone is not taken for one that never had any.
func TestJournalThatIsGone(t *testing.T) {
	inv := load(t, tutorial)
	before := fresh(inv)
	applied := carriedOut(plan.Make(inv, before), before)
	texts := func() map[string]string {
		t.Helper()
		out := map[string]string{
			"plan":    string(text(t, plan.Make(inv, applied))),
			"destroy": string(text(t, plan.Destroy(inv, applied))),
		}
		var drift, list strings.Builder
		if err := plan.Deviations(inv, applied).WriteText(&drift, plan.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := plan.Hold(inv, applied).WriteText(&list, plan.TextOptions{}, false); err != nil {
			t.Fatal(err)
		}
		out["drift"], out["list"] = drift.String(), list.String()
		return out
	}
	for what, said := range texts() {
		if strings.Contains(said, "no journal") {
			t.Errorf("%s, with all journals:\n%s", what, said)
		}
	}
	o := applied["web1"]
	o.Journal = journal.Journal{}
	applied["web1"] = o
	const want = "no journal here, though those of lb and 1 other name this host, and 3 items are as the inventory says: if lvsform set that, it no longer knows it, and destroy leaves it\n"
	for what, said := range texts() {
		if strings.Count(said, want) != 1 {
			t.Errorf("%s, without that of web1:\n%s", what, said)
		}
	}
	// It never had one, or has lost what was set along with it: nothing is there.
	o.State = before["web1"].State
	applied["web1"] = o
	for what, said := range texts() {
		if strings.Contains(said, "no journal") {
			t.Errorf("%s, where nothing is left:\n%s", what, said)
		}
	}
}

// A filter that lvsform only checks is nothing that it may have set.
func TestCheckedFilterIsNoSignOfAJournal(t *testing.T) {
	inv := load(t, "../modes/testdata/desired/several-ways-back.yaml")
	before := fresh(inv)
	for _, h := range inv.Hosts {
		s := before[h.Name].State
		s.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: "0"})
		s.Put(state.Sysctl{Name: "net.ipv4.conf.eth0.rp_filter", Setting: "0"})
		s.Put(state.Sysctl{Name: "net.ipv4.conf.tunl0.rp_filter", Setting: "0"})
		for _, g := range h.Gateways {
			s.Put(state.Route{To: anywhere, Via: g, Link: h.NICToward(g).Name, Protocol: 4})
		}
	}
	applied := carriedOut(plan.Make(inv, before), before)
	o := applied["lb1"]
	o.Journal = journal.Journal{}
	applied["lb1"] = o
	for _, h := range plan.Deviations(inv, applied).Hosts {
		if h.Name != "lb1" {
			continue
		}
		if h.Unrecorded == nil {
			t.Fatal("lb1 is not taken for a host that has lost its journal")
		}
		for _, id := range h.Unrecorded.Items {
			if strings.HasSuffix(id.Key, "rp_filter") {
				t.Errorf("%s counts as set by lvsform", id)
			}
		}
	}
}
