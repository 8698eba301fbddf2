package plan_test

import (
	"net/netip"
	"slices"
	"strconv"
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

// What was found and cannot be put back, as what it needs has gone since, is left:
// planning again would end no other way.
func TestNothingToPutItBackOn(t *testing.T) {
	type item = state.Item
	service := state.Service{ServiceID: web, Scheduler: "rr"}
	d := func(weight uint32) state.Item { return dest("192.168.91.4:80", weight) }
	route := func(link string) state.Item {
		return state.Route{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.91.1"), Link: link, Protocol: 3}
	}
	neighbour := func(mac string) state.Item {
		return state.Neighbour{Link: "ppp0", Address: netip.MustParseAddr("192.168.91.9"), MAC: mac}
	}
	address := state.Address{Link: "ppp0", Prefix: vip}
	tunnel := state.TunnelLink{Name: "ppp0", Type: state.TunnelIPIP, Local: netip.MustParseAddr("192.168.91.3")}
	longer := tunnel
	longer.TTL = 9
	entry := func(before, after state.Item) journal.Entry {
		return journal.Entry{Before: state.Tagged{Item: before}, After: state.Tagged{Item: after}}
	}
	for name, c := range map[string]struct {
		entries          []journal.Entry
		live             []item
		does, forced     string
		left, leftForced string // how many are left
		needed           string // what the last one lacks; "": --force puts it back
	}{
		"a destination, and its service is there": {
			entries: []journal.Entry{entry(service, service), entry(d(5), d(1))}, live: []item{service}, does: "+", forced: "+", left: "0", leftForced: "0"},
		"a destination, and its adopted service is gone": {
			entries: []journal.Entry{entry(service, service), entry(d(5), d(1))}, forced: "++", left: "2", leftForced: "0"},
		"a destination, and its service is put back after it in the journal": {
			entries: []journal.Entry{entry(d(5), d(1)), entry(service, state.Service{ServiceID: web, Scheduler: "wlc"})}, does: "++", forced: "++", left: "0", leftForced: "0"},
		"a destination, and its service is not in the journal": {
			entries: []journal.Entry{entry(d(5), d(1))}, left: "1", leftForced: "1", needed: "service tcp 192.168.91.30:80"},
		"a neighbour, and its device is gone": {
			entries: []journal.Entry{entry(neighbour("02:00:00:00:00:01"), neighbour("02:00:00:00:00:02"))}, left: "1", leftForced: "1", needed: "link ppp0"},
		"a neighbour, and its device is a tunnel that is put back": {
			entries: []journal.Entry{entry(tunnel, longer), entry(neighbour("02:00:00:00:00:01"), neighbour("02:00:00:00:00:02"))}, does: "++", forced: "++", left: "0", leftForced: "0"},
		"a route, and its device and that of lvsform's are gone": {
			entries: []journal.Entry{entry(route("ppp0"), route("ppp1"))}, left: "1", leftForced: "1", needed: "link ppp0"},
		"a route, and its device is gone, but lvsform's is there": {
			entries: []journal.Entry{entry(route("ppp0"), route("ens33"))}, live: []item{route("ens33")}, does: "-", forced: "-", left: "0", leftForced: "0"},
		"a route, and its device is gone, and somebody's is there": {
			entries: []journal.Entry{entry(route("ppp0"), route("ppp1"))}, live: []item{route("ens33")}, left: "1", leftForced: "1", needed: "link ppp0"},
		"an adopted address, and its device is gone": {
			entries: []journal.Entry{entry(address, address)}, left: "1", leftForced: "1", needed: "link ppp0"},
	} {
		inv := load(t, tutorial)
		for force, want := range map[bool][2]string{false: {c.does, c.left}, true: {c.forced, c.leftForced}} {
			observed := fresh(inv)
			o := observed["lb"]
			o.Force = force
			o.Journal.Entries = c.entries
			for _, i := range c.live {
				o.State.Put(i)
			}
			observed["lb"] = o
			p := plan.Destroy(inv, observed)
			h := p.Hosts[slices.IndexFunc(p.Hosts, func(h plan.Host) bool { return h.Name == "lb" })]
			got := ""
			for i, a := range h.Actions {
				got += string(a.Op)
				if i != 0 && state.Compare(h.Actions[i-1].Change().ID(), a.Change().ID()) > 0 {
					t.Errorf("%s, forced %t: %s is put back before what it needs", name, force, h.Actions[i-1].Key)
				}
			}
			if left := strconv.Itoa(len(h.LeftAlone)); got != want[0] || left != want[1] || len(h.Forget) < len(h.LeftAlone) {
				t.Errorf("%s, forced %t: does %q, leaves %v, forgets %v; want %q, left %s", name, force, got, h.LeftAlone, h.Forget, want[0], want[1])
				continue
			}
			if want[1] == "0" {
				continue
			}
			said, at := string(text(t, p)), h.LeftAlone[len(h.LeftAlone)-1].Lacks
			if c.needed == "" {
				if at != nil || !strings.Contains(said, "; --force puts back what was found\n") {
					t.Errorf("%s: lacks %v, says\n%s", name, at, said)
				}
				continue
			}
			if at == nil || at.String() != c.needed || !strings.Contains(said, c.needed+" is gone, without which it cannot be put back\n") {
				t.Errorf("%s, forced %t: lacks %v, says\n%s", name, force, at, said)
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
