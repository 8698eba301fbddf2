package modes

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/lvsform/lvsform/inventory"
)

// Clients are looked for on every way to a real server. Among two million
// hosts and real servers that takes a moment, or, if every host is looked up
// among the real servers, longer than go test waits for anything.
func TestClientsAmongMany(t *testing.T) {
	const many = 2_000_000
	lan := []*inventory.NIC{{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}}}
	client := &inventory.Host{Name: "client", Roles: []inventory.Role{inventory.RoleClient}, NICs: lan}
	both := &inventory.Host{Name: "both", Roles: []inventory.Role{inventory.RoleRealServer, inventory.RoleClient}, NICs: lan}
	server := &inventory.Host{Name: "server", Roles: []inventory.Role{inventory.RoleRealServer}, NICs: lan}
	spare := &inventory.Host{Name: "spare", Roles: []inventory.Role{inventory.RoleRealServer}, NICs: lan}
	s := &service{
		inv: &inventory.Inventory{Hosts: append(slices.Repeat([]*inventory.Host{spare}, many), both, client)},
		Service: &inventory.Service{
			VIP:         netip.MustParseAddr("192.0.2.30"),
			RealServers: append(slices.Repeat([]*inventory.RealServer{{Host: server}}, many), &inventory.RealServer{Host: both}),
		},
	}
	if got := s.clients(); !slices.Equal(got, []*inventory.Host{client}) {
		t.Errorf("%d clients, want the one that serves nothing", len(got))
	}
}
