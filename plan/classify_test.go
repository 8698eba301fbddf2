package plan

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

func TestClassify(t *testing.T) {
	on := state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"}
	off := state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"}
	id := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.10:80")}
	rr, wrr := state.Service{ServiceID: id, Scheduler: "rr"}, state.Service{ServiceID: id, Scheduler: "wrr"}
	held := func(before, after state.Item, serves ...string) journal.Entry {
		return journal.Entry{Before: state.Tagged{Item: before}, After: state.Tagged{Item: after}, For: serves}
	}
	want := func(i state.Item) modes.Want { return modes.Want{Item: i, For: []string{"web"}} }
	for name, c := range map[string]struct {
		want  modes.Want
		found found
		class class
	}{
		"not there":                           {want(on), found{}, classAct},
		"another value":                       {want(on), found{is: off}, classAct},
		"another value, which we set":         {want(on), found{is: off, ours: true, entry: held(on, off, "web")}, classAct},
		"somebody changed what we set":        {want(on), found{is: off, ours: true, entry: held(off, on, "web")}, classAct},
		"as we left it":                       {want(on), found{is: on, ours: true, entry: held(off, on, "web")}, classKeep},
		"as we left it, for another service":  {want(on), found{is: on, ours: true, entry: held(off, on, "dns")}, classAdopt},
		"set by hand to what is wanted now":   {want(on), found{is: on, ours: true, entry: held(on, off, "web")}, classAdopt},
		"there already":                       {want(on), found{is: on}, classAdopt},
		"something else serves":               {want(on), found{is: off, met: true}, classKeep},
		"something else serves, none of ours": {want(on), found{met: true}, classKeep},
		"ours is gone, something else serves": {want(on), found{met: true, ours: true, entry: held(off, on, "web")}, classForget},
		"ours was changed to what serves":     {want(on), found{is: off, met: true, ours: true, entry: held(off, on, "web")}, classAdopt},
		"ours serves, for another service":    {want(on), found{is: off, met: true, ours: true, entry: held(on, off, "dns")}, classAdopt},
		"ours serves as it is":                {want(on), found{is: off, met: true, ours: true, entry: held(on, off, "web")}, classKeep},
		"another topology has it so":          {want(on), found{is: on, other: claim{topology: "b", item: on}}, classAdopt},
		"another topology has it otherwise":   {want(on), found{is: off, other: claim{topology: "b", item: off}}, classOtherTopology},
		"otherwise, but something else serves": {want(on), found{is: off, met: true, other: claim{topology: "b", item: off}},
			classKeep},
		"a service that is not there":         {want(rr), found{}, classAct},
		"a service of somebody else":          {want(rr), found{is: wrr}, classTaken},
		"a service of ours, changed":          {want(rr), found{is: wrr, ours: true, entry: held(nil, rr, "web")}, classAct},
		"a service that is already so":        {want(rr), found{is: rr}, classAdopt},
		"a service that another topology has": {want(rr), found{is: wrr, other: claim{topology: "b", item: wrr}}, classOtherTopology},
	} {
		if got := classify(c.want, c.found); got != c.class {
			t.Errorf("%s: class %d, want %d", name, got, c.class)
		}
	}
}
