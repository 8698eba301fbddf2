package modes_test

import (
	"slices"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// A setting is for every service that needs it; but one that the host needs for
// itself does not go with the services.
func TestWhatForwardingIsFor(t *testing.T) {
	for role, want := range map[string][]string{
		"director":            {"dns/inner", "web/inner"},
		"[director, gateway]": nil,
	} {
		inv, err := inventory.Parse("lvsform.yaml", []byte(`
version: 1
name: t
networks: {front: 192.0.2.0/24, back: 198.51.100.0/24}
hosts:
  lb: {role: `+role+`, nics: {eth0: {network: front, address: 192.0.2.3}, eth1: {network: back, address: 198.51.100.3}}}
  inner: {role: real-server, nics: {eth0: {network: back, address: 198.51.100.4}}}
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: nat, directors: [lb], real_servers: [inner]}
  - {name: dns, vip: 192.0.2.30, port: 53, mode: nat, directors: [lb], real_servers: [inner]}
`))
		if err != nil {
			t.Fatal(err)
		}
		forwards := state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"}
		wants := modes.Desire(inv, nil)["lb"]
		at := slices.IndexFunc(wants, func(w modes.Want) bool { return w.Item == forwards })
		if at < 0 || !slices.Equal(wants[at].For, want) {
			t.Errorf("%s: %v, want forwarding for %v", role, wants, want)
		}
	}
}
