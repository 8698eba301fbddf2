package plan_test

import (
	"net/netip"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// What somebody has set since is neither as lvsform set it nor as it was found,
// and it is left, unless it is forced.
func TestLeftAlone(t *testing.T) {
	route := func(via string) state.Item {
		return state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(via), Link: "ens33", Protocol: 3}
	}
	was, set, theirs := route("192.168.91.1"), route("192.168.91.3"), route("192.168.91.254")
	setting := func(v string) state.Item {
		return state.Sysctl{Name: "net.ipv4.ip_forward", Setting: v}
	}
	d := func(weight uint32) state.Item { return dest("192.168.91.4:80", weight) }
	address := state.Address{Link: "ens33", Prefix: vip}
	type item = state.Item
	for name, c := range map[string]struct {
		before, after, was, live item
		earlier                  bool
		does, forced             string // "": it is forgotten
		left                     bool
	}{
		"as lvsform set it":                    {before: was, after: set, live: set, does: "~", forced: "~"},
		"as it was found":                      {before: was, after: set, live: was},
		"a route of somebody's over a route":   {before: was, after: set, live: theirs, left: true, forced: "~"},
		"a route of somebody's over none":      {after: set, live: theirs, left: true, forced: "-"},
		"a route that is gone":                 {before: was, after: set, does: "+", forced: "+"},
		"a route that was adopted is gone":     {before: was, after: was, left: true, forced: "+"},
		"a setting of somebody's":              {before: setting("0"), after: setting("1"), live: setting("2"), left: true, forced: "~"},
		"a setting that was adopted":           {before: setting("1"), after: setting("1"), live: setting("0"), left: true, forced: "~"},
		"a run was cut short":                  {before: setting("0"), after: setting("2"), was: setting("1"), live: setting("1"), does: "~", forced: "~"},
		"a weight of lvsform's destination":    {after: d(1), live: d(7), does: "-", forced: "-"},
		"a weight of somebody's destination":   {before: d(1), after: d(2), live: d(7), left: true, forced: "~"},
		"an address that was adopted is gone":  {before: address, after: address, left: true, forced: "+"},
		"an earlier boot, as lvsform set it":   {before: setting("0"), after: setting("1"), live: setting("1"), earlier: true},
		"an earlier boot, as somebody set it":  {before: was, after: set, live: theirs, earlier: true},
		"an earlier boot, and all is gone":     {before: was, after: set, earlier: true},
		"an earlier boot, as lvsform had made": {after: d(1), live: d(1), earlier: true},
	} {
		inv := load(t, tutorial)
		for force, want := range map[bool]string{false: c.does, true: c.forced} {
			observed := fresh(inv)
			o := observed["lb"]
			o.Force = force
			for _, i := range []item{state.Service{ServiceID: web, Scheduler: "rr"}, c.live} {
				if i != nil {
					o.State.Put(i)
				}
			}
			e := journal.Entry{Before: state.Tagged{Item: c.before}, After: state.Tagged{Item: c.after}, Was: state.Tagged{Item: c.was}, EarlierBoot: c.earlier}
			o.Journal.Entries = []journal.Entry{e}
			observed["lb"] = o
			for _, h := range plan.Destroy(inv, observed).Hosts {
				if h.Name != "lb" {
					continue
				}
				got := ""
				for _, a := range h.Actions {
					got += string(a.Op)
				}
				if left := len(h.LeftAlone) == 1; got != want || left != (c.left && !force) || (len(h.Forget) == 1) != (want == "") || h.Rebooted != c.earlier {
					t.Errorf("%s, forced %t: does %q, leaves %v, forgets %v, rebooted %t; want %q, left %t", name, force, got, h.LeftAlone, h.Forget, h.Rebooted, want, c.left && !force)
				}
			}
		}
	}
}

// People read what is left and why, and that a host has rebooted.
func TestLeftAloneText(t *testing.T) {
	inv := load(t, tutorial)
	before := fresh(inv)
	applied := carriedOut(plan.Make(inv, before), before)
	o := applied["web1"]
	o.State.Put(state.Sysctl{Name: "net.ipv4.conf.ens33.arp_ignore", Setting: "8"})
	applied["web1"] = o
	o = applied["web2"]
	for i := range o.Journal.Entries {
		o.Journal.Entries[i].EarlierBoot = true
	}
	o.State = before["web2"].State
	applied["web2"] = o
	golden.Assert(t, string(text(t, plan.Destroy(inv, applied))), "left-alone.txt")
	golden.Assert(t, string(text(t, plan.Make(inv, applied))), "rebooted.txt")
	var b strings.Builder
	if err := plan.Deviations(inv, applied).WriteText(&b, plan.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, b.String(), "rebooted-drift.txt")
	// A plan that was saved before is not for the host any more.
	saved, err := plan.Save(inv, plan.Destroy(inv, applied), applied)
	if err != nil {
		t.Fatal(err)
	}
	o = applied["lb"]
	o.Journal.Entries = append([]journal.Entry{}, o.Journal.Entries...)
	for i := range o.Journal.Entries {
		o.Journal.Entries[i].EarlierBoot = true
	}
	applied["lb"] = o
	if err := saved.Unchanged(inv, applied); err == nil || !strings.Contains(err.Error(), "lb: the host has rebooted") {
		t.Errorf("a reboot since the plan was made: %v", err)
	}
}

// What was set in an earlier boot gives nobody a right to what is there now.
func TestAfterAReboot(t *testing.T) {
	inv := load(t, tutorial)
	before := fresh(inv)
	applied := carriedOut(plan.Make(inv, before), before)
	o := applied["lb"]
	for i := range o.Journal.Entries {
		o.Journal.Entries[i].EarlierBoot = true
	}
	o.State.Put(state.Service{ServiceID: web, Scheduler: "sh"})
	applied["lb"] = o
	p := plan.Make(inv, applied)
	if f := p.Failure(); f == nil || !strings.Contains(f.Message, "lvsform did not make it") {
		t.Errorf("a virtual service that somebody has set up at boot: %v", f)
	}
}
