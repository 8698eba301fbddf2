package state_test

import (
	"testing"

	"github.com/lvsform/lvsform/state"
)

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
