package plan_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
)

// A host's journal decides whom the workstation connects to, and one host alone
// may not make it connect to everybody.
func TestJournalThatNamesTooMany(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		t.Fatal(err)
	}
	before := ready(inv)
	applied := carriedOut(plan.Make(inv, before), before)
	db9 := journal.Member{Name: "db9", Address: "192.0.2.9"}
	for _, c := range []struct {
		names int
		left  int // of both journals
		fails string
	}{
		{plan.MaxLeft, plan.MaxLeft + 1, ""},
		{plan.MaxLeft + 1, 1, "the journal of topology small names 1025 hosts that are not in the inventory, and lvsform connects to no more than 1024 of those at a time"},
	} {
		observed := maps.Clone(applied)
		lb, web1 := observed["lb"], observed["web1"]
		lb.Journal.Members = append(plan.Members(inv), db9)
		web1.Journal.Members = plan.Members(inv)
		for i := range c.names {
			web1.Journal.Members = append(web1.Journal.Members, journal.Member{Name: fmt.Sprintf("h%d", i), Address: fmt.Sprintf("198.51.%d.%d", i/250, 1+i%250)})
		}
		observed["lb"], observed["web1"] = lb, web1
		left := plan.Left(inv, observed)
		if len(left) != c.left || left[0] != db9 {
			t.Errorf("%d names: %d hosts have left, the first %v; want %d and %v", c.names, len(left), left[0], c.left, db9)
		}
		want := map[string]string{}
		if c.fails != "" {
			want = map[string]string{"make": c.fails, "destroy": c.fails, "drift": c.fails, "list": c.fails}
		}
		got := map[string]string{}
		for what, err := range map[string]*fault.Error{
			"make": plan.Make(inv, observed).Failure(), "destroy": plan.Destroy(inv, observed).Failure(),
			"drift": plan.Deviations(inv, observed).Failure(), "list": plan.Hold(inv, observed).Failure(),
		} {
			if err != nil {
				got[what], _, _ = strings.Cut(err.Error(), ";")
				if err.Kind != fault.Conflict {
					t.Errorf("%s: is of kind %s", what, err.Kind)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d names: failures (-want +got):\n%s", c.names, diff)
		}
	}
}
