package plan_test

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
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
