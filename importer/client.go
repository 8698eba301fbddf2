package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// Addition is a line of YAML that an inventory lacks. Words in capital letters
// stand for what only the user knows.
type Addition struct {
	Under []string // the keys that it belongs under, each: hosts, or the names of hosts
	Line  string
}

// ListAdditions makes a list of lines with where they belong.
func ListAdditions(all []Addition) []string {
	var out []string
	for i, a := range all {
		if i == 0 || !slices.Equal(a.Under, all[i-1].Under) {
			under := a.Under
			rest := ""
			if n := len(under) - mostTexts; n > 1 {
				under, rest = under[:mostTexts], fmt.Sprintf(" and %d more", n)
			}
			out = append(out, "under "+strings.Join(under, ", ")+rest+":")
		}
		out = append(out, "  "+a.Line)
	}
	return out
}

// toVerify is what an inventory without a client lacks before its services can
// be verified: a client, its way to the VIPs, and the replies' way to it.
func toVerify(inv *inventory.Inventory) []Addition {
	if len(inv.Services) == 0 || slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Has(inventory.RoleClient) }) {
		return nil
	}
	v := verifiable{inv: inv}
	for _, four := range []bool{true, false} {
		if slices.ContainsFunc(inv.Services, func(s *inventory.Service) bool { return s.VIP.Is4() == four }) {
			v.four = append(v.four, four)
		}
	}
	n := v.network()
	var out []Addition
	client := freeHostName(inv, "client") + ": {role: client, nics: {eth0: {network: "
	if n == nil {
		name := freeNetworkName(inv, "clients")
		out = append(out, Addition{[]string{"networks"}, name + ": " + v.each("PREFIX")})
		client += name + ", " + v.addresses() + "}}, gateway: " + v.each("ROUTER") + "}"
	} else {
		client += n.Name + ", " + v.addresses() + "}}" + v.routes(n) + "}"
	}
	out = append(out, Addition{[]string{"hosts"}, client})
	gateways := map[string][]string{} // the hosts of a line
	var order []string
	for _, h := range inv.Hosts {
		if line := v.gateway(h, n); line != "" {
			if gateways[line] == nil {
				order = append(order, line)
			}
			gateways[line] = append(gateways[line], h.Name)
		}
	}
	for _, line := range order {
		out = append(out, Addition{gateways[line], line})
	}
	return out
}

// verifiable is an inventory that is to get a client.
type verifiable struct {
	inv  *inventory.Inventory
	four []bool // the families of its VIPs, as whether they are IPv4
}

// network is where a client can be beside the director; nil: it must be
// elsewhere. A real server that answers through the director would answer a
// client in its own network directly.
func (v verifiable) network() *inventory.Network {
	var all []*inventory.Network
	for _, s := range v.inv.Services {
		if nic := s.Directors[0].NICToward(s.VIP); nic != nil {
			all = append(all, nic.Network)
		}
	}
	for _, s := range v.inv.Services {
		for _, nic := range s.Directors[0].NICs {
			all = append(all, nic.Network)
		}
	}
	for _, n := range all {
		fine := true
		for _, s := range v.inv.Services {
			fine = fine && directorIn(s, n).IsValid()
			for _, r := range s.RealServers {
				if modes.TraitsFor(s, r).RoutesBack() && in(r.Host, n, s.VIP).IsValid() {
					fine = false
				}
			}
		}
		if fine {
			return n
		}
	}
	return nil
}

// in is a host's address of another's family in a network.
func in(h *inventory.Host, n *inventory.Network, other netip.Addr) netip.Addr {
	for _, nic := range h.NICs {
		if a := addressLike(nic, other); nic.Network == n && a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

func directorIn(s *inventory.Service, n *inventory.Network) netip.Addr {
	return in(s.Directors[0], n, s.VIP)
}

// each writes a word for every family.
func (v verifiable) each(word string) string {
	if len(v.four) == 1 {
		return word
	}
	return "[IPV4-" + word + ", IPV6-" + word + "]"
}

func (v verifiable) addresses() string {
	if len(v.four) == 1 {
		return "address: " + v.each("ADDRESS")
	}
	return "addresses: " + v.each("ADDRESS")
}

// routes lead a client in a network to the VIPs that are not in it.
func (v verifiable) routes(n *inventory.Network) string {
	var all []string
	for _, s := range v.inv.Services {
		if slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Contains(s.VIP) }) {
			continue
		}
		to, via := netip.PrefixFrom(s.VIP, s.VIP.BitLen()).String(), directorIn(s, n).String()
		if s.VIP.Is6() {
			to, via = "'"+to+"'", "'"+via+"'"
		}
		if route := "{to: " + to + ", via: " + via + "}"; !slices.Contains(all, route) {
			all = append(all, route)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ", routes: [" + strings.Join(all, ", ") + "]"
}

// gateway is the line of a host that has no way to a client: in a network, or
// elsewhere.
func (v verifiable) gateway(h *inventory.Host, n *inventory.Network) string {
	ways := map[bool]string{}
	for _, g := range h.Gateways {
		ways[g.Is4()] = g.String()
	}
	had := len(ways)
	for _, s := range v.inv.Services {
		four := s.VIP.Is4()
		if ways[four] != "" || n != nil && in(h, n, s.VIP).IsValid() {
			continue
		}
		if slices.Contains(s.Directors, h) {
			ways[four] = v.router(four)
		}
		for _, r := range s.RealServers {
			switch {
			case r.Host != h || ways[four] != "" || seesDirector(s, r):
			case !modes.TraitsFor(s, r).RoutesBack(): // without replies the reverse path filter needs the route
				ways[four] = v.router(four)
			case s.ReturnRoute == inventory.ReturnNone:
				if via := beside(s.Directors[0], h, s.VIP); via.IsValid() {
					ways[four] = via.String()
				}
			}
		}
	}
	if len(ways) == had {
		return ""
	}
	var all []string
	for _, four := range []bool{true, false} {
		if way := ways[four]; strings.Contains(way, ":") {
			all = append(all, "'"+way+"'")
		} else if way != "" {
			all = append(all, way)
		}
	}
	if len(all) == 1 {
		return "gateway: " + all[0]
	}
	line := "gateway: [" + strings.Join(all, ", ") + "]"
	if had != 0 {
		line += " # in place of the one there"
	}
	return line
}

// seesDirector reports whether requests come to a real server from addresses of
// the directors, and it has a way to them already.
func seesDirector(s *inventory.Service, r *inventory.RealServer) bool {
	if modes.TraitsFor(s, r).Source != modes.SourceDirector {
		return false
	}
	for _, d := range s.Directors {
		sees := modes.LocalAddresses(s, d, r)
		if len(sees) == 0 || slices.ContainsFunc(sees, func(a netip.Addr) bool {
			nic, _ := r.Host.Egress(a)
			return nic == nil
		}) {
			return false
		}
	}
	return true
}

func (v verifiable) router(four bool) string {
	switch {
	case len(v.four) == 1:
		return "ROUTER"
	case four:
		return "IPV4-ROUTER"
	default:
		return "IPV6-ROUTER"
	}
}
