package importer

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// What a host has, and nothing in the inventory asks for, is said to be left,
// whatever its kind; except for what the kernel makes itself.
func TestEveryKindIsLeft(t *testing.T) {
	for _, i := range statetest.Items() {
		l := &live{sketch: newSketch("test"), why: map[foundItem]string{}}
		neighbour := &inventory.NIC{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}}
		l.inv.Hosts = []*inventory.Host{{Name: "web", NICs: []*inventory.NIC{neighbour}}}
		l.sweep(&liveHost{LiveHost: LiveHost{Name: "lb"}}, i)
		if left := len(l.left) != 0; left == i.Kind().Traits().ComesByItself {
			t.Errorf("%s: said to be left: %t", state.Text(i), left)
		}
	}
}
