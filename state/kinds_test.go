package state_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// Every kind has a whole row, and a sample that its own decoder reads.
func TestRowsOfKinds(t *testing.T) {
	sampled := map[state.Kind]bool{}
	for _, i := range statetest.Items() {
		kind := i.Kind()
		sampled[kind] = true
		if kind.Traits().Kind != kind {
			t.Errorf("%T: kind %q has no row in kinds.go", i, kind)
			continue
		}
		text, err := json.Marshal(state.Tagged{Item: i})
		if err != nil {
			t.Fatal(err)
		}
		var back state.Tagged
		if err := json.Unmarshal(text, &back); err != nil || back.Item != i {
			t.Errorf("%s is read as %T, %v, want %T", text, back.Item, err, i)
		}
		if !reflect.TypeOf(i).Comparable() {
			t.Errorf("%T cannot be compared", i)
		}
	}
	for _, kind := range state.Kinds() {
		switch traits := kind.Traits(); {
		case !sampled[kind]:
			t.Errorf("%s: package statetest has no item of it", kind)
		case traits.Plural == "":
			t.Errorf("%s has no plural", kind)
		case traits.Observed && traits.Journalled:
			t.Errorf("%s is only looked at, and the journal would keep it", kind)
		}
	}
}

// The versions are of one thing each, of every kind that lvsform changes.
func TestVersions(t *testing.T) {
	seen := map[state.Kind]bool{}
	for _, versions := range statetest.Versions() {
		kind := versions[0].Kind()
		seen[kind] = true
		for i, a := range versions {
			for _, b := range versions[:i] {
				if state.IDOf(a) != state.IDOf(b) || a == b {
					t.Errorf("%s and %s are no two versions of one thing", state.Text(b), state.Text(a))
				}
			}
		}
	}
	for _, kind := range state.Kinds() {
		if seen[kind] == kind.Traits().Observed {
			t.Errorf("%s: has versions: %t", kind, seen[kind])
		}
	}
}

// A host that forwards for others no more stops what goes through it; other
// settings stop nothing, and neither does a setting that nobody set before.
func TestSettingsThatDisrupt(t *testing.T) {
	for _, c := range []struct {
		name, before, after string // empty: it is not there
		want                bool
	}{
		{"net.ipv4.ip_forward", "1", "0", true},
		{"net.ipv4.conf.all.forwarding", "1", "0", true},
		{"net.ipv4.conf.eth0.forwarding", "1", "0", true},
		{"net.ipv6.conf.all.forwarding", "2", "0", true},
		{"net.ipv6.conf.eth0/7.forwarding", "1", "0", true},
		{"net.ipv4.ip_forward", "0", "1", false},
		{"net.ipv4.ip_forward", "", "0", false},
		{"net.ipv4.conf.eth0.mc_forwarding", "1", "0", false},
		{"net.ipv4.conf.eth0.arp_ignore", "1", "0", false},
		{"net.ipv4.vs.expire_nodest_conn", "1", "0", false},
	} {
		item := func(setting string) state.Item {
			if setting == "" {
				return nil
			}
			return state.Sysctl{Name: c.name, Setting: setting}
		}
		if got := (state.Change{Before: item(c.before), After: item(c.after)}).Disrupts(); got != c.want {
			t.Errorf("%s %q -> %q disrupts: %t, want %t", c.name, c.before, c.after, got, c.want)
		}
	}
}
