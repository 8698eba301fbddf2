package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// persistenceGroup is what of a client's address tells it from others.
func persistenceGroup(s *inventory.Service, client netip.Addr) netip.Prefix {
	bits := s.Persistence.Bits
	if bits == 0 {
		bits = client.BitLen()
	}
	p, _ := client.Prefix(bits) // the inventory has checked the length
	return p
}

// judgePersistence checks that every client came to one real server only, on
// all ports of the service.
func judgePersistence(s *inventory.Service, ev *evidence) Check {
	var groups []netip.Prefix
	servers := map[netip.Prefix][]string{}
	probes := map[netip.Prefix]int{}
	for _, p := range ev.probes {
		if p.row == nil || p.server == nil {
			continue
		}
		g := persistenceGroup(s, p.source())
		if probes[g]++; probes[g] == 1 {
			groups = append(groups, g)
		}
		if name := p.server.Host.Name; !slices.Contains(servers[g], name) {
			servers[g] = append(servers[g], name)
		}
	}
	var wrong, open, seen []string
	for _, g := range groups {
		who := g.String()
		if g.IsSingleIP() {
			who = g.Addr().String()
		}
		switch {
		case len(servers[g]) > 1:
			wrong = append(wrong, fmt.Sprintf("%s came to %s", who, strings.Join(servers[g], " and to ")))
		case probes[g] == 1:
			open = append(open, fmt.Sprintf("one probe of %s shows nothing; --probes 2 would", who))
		default:
			seen = append(seen, fmt.Sprintf("%s came to %s in %s", who, servers[g][0], count(probes[g], "probe")))
		}
	}
	return ev.check(checkPersistence, finding{
		wrong: wrong, open: open, seen: strings.Join(seen, ", "), facts: Facts{Counted: len(groups), Right: len(seen)},
	})
}
