package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// What an action needs is found by looking at every other one, too.
func TestLawOfNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.SampledFrom([]string{"lb", "web1", "web2", "web"})
		parts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "a/web1", "a/web2", "b/web1", "ab/web1", "lb", "web1"}), 0, 3, rapid.ID)
		action := rapid.Custom(func(t *rapid.T) hostAction {
			return hostAction{hosts.Draw(t, "host"), Action{
				Op: state.Add, Role: rapid.SampledFrom([]inventory.Role{"", inventory.RoleDirector, inventory.RoleGateway}).Draw(t, "role"),
				Restore: rapid.Bool().Draw(t, "restore"),
				After:   state.Tagged{Item: state.Up{Link: rapid.StringMatching(`eth[0-9]`).Draw(t, "link")}},
				For:     parts.Draw(t, "for"), Wave: rapid.SampledFrom(Waves()).Draw(t, "wave"),
			}}
		})
		left := rapid.SliceOf(action).Draw(t, "left out")
		a := action.Draw(t, "action")
		out := leftOut{at: map[place][]int{}, standby: map[string][]string{"lb": {"a"}}}
		var want []string
		for _, b := range left {
			out.add(b.host, b.Action)
			whole := slices.ContainsFunc(a.For, func(f string) bool {
				return slices.ContainsFunc(b.For, func(of string) bool { return f == of || strings.HasPrefix(f, of+"/") })
			})
			standby := b.host == "lb" && !slices.ContainsFunc(b.For, func(f string) bool { return f != "a" && !strings.HasPrefix(f, "a/") })
			other := b.Role == inventory.RoleDirector && b.host != a.host
			apart := other && (a.Role == inventory.RoleDirector && (!a.Restore || b.Restore) || a.Role != inventory.RoleDirector && !a.Restore && standby)
			if b.Wave < a.Wave && b.Wave != LoadModules && whole && !apart {
				want = append(want, fmt.Sprintf("%s: %s", b.host, b.Change()))
			}
		}
		if diff := cmp.Diff(want, out.needed(a)); diff != "" {
			t.Fatalf("%+v needs (-want +got):\n%s", a, diff)
		}
	})
}

// Thousands of actions, each for a hundred services, and thousands that are
// left out, each for a hundred others: a moment, or, if every one is held
// against every other, longer than go test waits for anything.
func TestKeepOfMany(t *testing.T) {
	const many = 3000
	serves := func(prefix string) []string {
		var out []string
		for i := range 100 {
			out = append(out, fmt.Sprintf("%s%d/web1", prefix, i))
		}
		return out
	}
	actions := func(wave Wave, serves []string) []Action {
		var out []Action
		for i := range many {
			item := state.Sysctl{Name: fmt.Sprintf("net.ipv4.conf.eth%d.arp_ignore", i), Setting: "1"}
			out = append(out, Action{Op: state.Add, Kind: item.Kind(), Key: item.Key(), After: state.Tagged{Item: item}, For: serves, Wave: wave})
		}
		return out
	}
	p := &Plan{Hosts: []Host{
		{Name: "web1", Actions: actions(PrepareServers, serves("a"))},
		{Name: "lb", Actions: actions(AddDestinations, serves("b"))},
	}}
	if err := p.Narrow(&inventory.Inventory{}, Only{Hosts: []string{"lb"}}); err != nil {
		t.Fatal(err)
	}
	if p.Summary.Add != many || p.Summary.Held != 0 {
		t.Errorf("%s; want %d to add, and nothing held back", p.Summary, many)
	}
}

// A choice of hosts takes what the journal is told as a whole, also where
// something is held back; a choice of services leaves what is for others.
func TestKeepOfTheJournal(t *testing.T) {
	up := func(link string, serves ...string) journal.Entry {
		item := state.Tagged{Item: state.Up{Link: link}}
		return journal.Entry{Before: item, After: item, For: serves}
	}
	a, b, ground := up("eth0", "a", "b/web1"), up("eth1", "b"), up("eth2")
	later := Action{Op: state.Add, Kind: state.KindUp, Key: "eth3", After: state.Tagged{Item: state.Up{Link: "eth3"}}, For: []string{"a/web1"}, Wave: AddDestinations}
	before := later
	before.Wave = PrepareServers
	for _, c := range []struct {
		only   Only
		adopts []journal.Entry
		lets   int // go of
	}{
		{Only{Hosts: []string{"lb"}}, []journal.Entry{a, b, ground}, 1},
		{Only{Services: []string{"a"}}, []journal.Entry{a, ground}, 0},
		{Only{Hosts: []string{"lb"}, Services: []string{"b"}}, []journal.Entry{a, b, ground}, 0},
	} {
		p := &Plan{Hosts: []Host{
			{Name: "lb", Actions: []Action{later}, Adopt: []journal.Entry{a, b, ground}, Forget: []state.ID{a.ID()}, HandOver: []state.ID{b.ID()}},
			{Name: "web1", Actions: []Action{before}},
		}}
		inv := &inventory.Inventory{Services: []*inventory.Service{{Name: "a"}, {Name: "b"}}}
		if err := p.Narrow(inv, c.only); err != nil {
			t.Fatal(err)
		}
		lb := p.Hosts[0]
		if held := c.only.Services == nil; held != (len(lb.Held) == 1) {
			t.Errorf("%+v: held back are %v", c.only, lb.Held)
		}
		same := cmp.Comparer(func(a, b state.Item) bool { return a == b })
		if diff := cmp.Diff(c.adopts, lb.Adopt, same); diff != "" {
			t.Errorf("%+v: adopts (-want +got):\n%s", c.only, diff)
		}
		if len(lb.Forget) != c.lets || len(lb.HandOver) != c.lets {
			t.Errorf("%+v: forgets %v, hands over %v", c.only, lb.Forget, lb.HandOver)
		}
	}
}
