package modes_test

import (
	"strings"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// Two services of one real server whose replies must, and must not, pass the
// director: no return_route and no gateway is a way out, so no message sends from
// one to the other. Fullnat is one, and every message names it.
func TestWayOut(t *testing.T) {
	const text = `
version: 1
name: circle
networks: {front: 192.0.2.0/24, back: 198.51.100.0/24}
hosts:
  client: {role: client, nics: {eth0: {network: front, address: 192.0.2.7}}, gateway: 192.0.2.1}
  router: {role: gateway, nics: {eth0: {network: front, address: 192.0.2.1}, eth1: {network: back, address: 198.51.100.1}}}
  lb: {role: director, nics: {eth0: {network: front, address: 192.0.2.3}, eth1: {network: back, address: 198.51.100.3}}}
  web1: {role: real-server, nics: {eth0: {network: back, address: 198.51.100.5}}, gateway: GATEWAY}
services:
  - {name: through, vip: 192.0.2.30, port: 80, mode: MODE, directors: [lb], real_servers: [web1]}
  - {name: past, vip: 192.0.2.31, port: 80, mode: PAST, directors: [lb], real_servers: [web1]}
`
	check := func(gateway, mode, past string) inventory.Problems {
		t.Helper()
		inv, err := inventory.Parse("lvsform.yaml", []byte(strings.NewReplacer("GATEWAY", gateway, "MODE", mode, "PAST", past).Replace(text)))
		if err != nil {
			t.Fatal(err)
		}
		return modes.Check(inv)
	}
	for _, past := range []string{"dr", "tun"} {
		for _, gateway := range []string{"198.51.100.1", "198.51.100.3"} {
			for _, way := range []string{"default", "clients", "none"} {
				problems := check(gateway, "nat, return_route: "+way, past)
				if len(problems) == 0 {
					t.Errorf("%s beside nat with return_route %s and gateway %s is not refused", past, way, gateway)
				}
				for _, p := range problems {
					if !strings.Contains(p.Fix, "fullnat") || strings.Contains(p.Fix, "return_route") {
						t.Errorf("%s beside nat with return_route %s and gateway %s: %v", past, way, gateway, p)
					}
				}
			}
		}
		if problems := check("198.51.100.1", "fullnat", past); len(problems) != 0 {
			t.Errorf("%s beside fullnat: %v", past, problems)
		}
	}
}
