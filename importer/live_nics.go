package importer

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// nicAddress is an address on a NIC of a host.
type nicAddress struct {
	host *liveHost
	item state.Address
}

func (a nicAddress) prefix() netip.Prefix { return a.item.Prefix.Masked() }

// findNICs makes hosts, NICs and networks of the addresses that are there: one
// network for each prefix, or for two of different families that are on the
// same NICs.
func (l *live) findNICs() {
	all := l.relevant(l.ownAddresses())
	accepted := l.accept(all)
	l.makeNetworks(all, accepted)
	for _, h := range l.hosts {
		var nics []*inventory.NIC
		for _, link := range state.Of[state.Link](h.State) {
			if n := l.nic(h, link.Name, all, accepted); n != nil {
				nics = append(nics, n)
			}
		}
		if len(nics) == 0 {
			l.leave(0, h.Name, "the host has no address that an inventory could have: one in a network, on a device that is up")
			continue
		}
		h.inv = l.addHost(h.Name)
		h.inv.NICs = nics
	}
}

// ownAddresses are the hosts' own: not VIPs, which are alone (/32), and not
// those that several hosts have, as bridges of containers do.
func (l *live) ownAddresses() []nicAddress {
	var out []nicAddress
	holders := map[netip.Addr][]*liveHost{}
	for _, h := range l.hosts {
		for _, i := range state.Of[state.Address](h.State) {
			a := i.Prefix.Addr()
			if i.Link == "lo" || i.Peer.IsValid() || i.Deprecated || !usable(a) || i.Prefix.IsSingleIP() || isTunnelDevice(h.State, i.Link) {
				continue
			}
			link, _ := h.State[state.IDOf(state.Link{Name: i.Link})].(state.Link)
			switch {
			case !link.Up:
				l.skip(h, i, "%s is down", i.Link)
			case !inventory.IsInterfaceName(i.Link):
				l.skip(h, i, "an inventory cannot have a NIC of that name")
			case isEdge(a, i.Prefix):
				l.skip(h, i, "it is the network's own address, or its broadcast address")
			case l.isVIP(a) && !l.directs(h, a):
				l.skip(h, i, "it is a VIP, and the host is none of its directors")
			default:
				out = append(out, nicAddress{h, i})
				holders[a] = append(holders[a], h)
			}
		}
	}
	// A VIP that is a NIC's own address is not what the host speaks from.
	own := slices.DeleteFunc(slices.Clone(out), func(n nicAddress) bool { return l.isVIP(n.item.Prefix.Addr()) })
	vips := slices.DeleteFunc(slices.Clone(out), func(n nicAddress) bool { return !l.isVIP(n.item.Prefix.Addr()) })
	out = append(own, vips...)
	return slices.DeleteFunc(out, func(n nicAddress) bool {
		shared := len(holders[n.item.Prefix.Addr()]) > 1
		if shared {
			l.skip(n.host, n.item, "more than one host has it")
		}
		return shared
	})
}

// isTunnelDevice reports whether a device is a tunnel: one of its own, or one
// that comes with a module.
func isTunnelDevice(host state.Host, name string) bool {
	switch name {
	case "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0":
		return true
	}
	_, is := host[state.IDOf(state.TunnelLink{Name: name})]
	return is
}

// relevant are the addresses in networks that have something to do with the
// services; a host without any keeps all of its own.
func (l *live) relevant(all []nicAddress) []nicAddress {
	concerns := l.concerns()
	matters := map[netip.Prefix]bool{}
	for _, n := range all {
		p := n.prefix()
		if _, known := matters[p]; !known {
			matters[p] = slices.ContainsFunc(concerns, p.Contains)
		}
	}
	has := map[*liveHost]bool{}
	// The other family on a NIC that matters comes along: it is the same segment.
	nics := map[foundItem]bool{}
	for _, n := range all {
		if matters[n.prefix()] {
			has[n.host] = true
			nics[foundItem{n.host.Name, state.IDOf(state.Link{Name: n.item.Link})}] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(n nicAddress) bool {
		out := has[n.host] && !nics[foundItem{n.host.Name, state.IDOf(state.Link{Name: n.item.Link})}]
		if out {
			l.skip(n.host, n.item, "no service has to do with its network")
		}
		return out
	})
}

// concerns are the addresses by which networks matter: of services, routers
// and tunnels.
func (l *live) concerns() []netip.Addr {
	var out []netip.Addr
	for _, h := range l.hosts {
		for _, i := range h.State {
			switch i := i.(type) {
			case state.Service:
				out = append(out, i.Address.Addr())
			case state.Destination:
				out = append(out, i.Address.Addr())
			case state.Route:
				out = append(out, i.Via)
			case state.TunnelLink:
				out = append(out, i.Local, i.Remote)
			case state.Address:
				if i.Peer.IsValid() {
					out = append(out, i.Prefix.Addr(), i.Peer)
				}
			case state.FirewallRule:
				rule, _ := firewall.Parse(i)
				switch rule := rule.(type) {
				case firewall.DNAT:
					out = append(out, rule.Listen.Addr(), rule.To.Addr())
				case firewall.Mark:
					out = append(out, rule.VIP)
				case firewall.SourceNAT:
					out = append(out, pool(rule.Sources)...)
				}
			}
		}
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() })
}

// accept chooses prefixes that do not overlap; of two that do, the one more
// hosts have.
func (l *live) accept(all []nicAddress) map[netip.Prefix]bool {
	count := map[netip.Prefix]int{}
	var order []netip.Prefix
	for _, n := range all {
		if count[n.prefix()]++; count[n.prefix()] == 1 {
			order = append(order, n.prefix())
		}
	}
	slices.SortStableFunc(order, func(a, b netip.Prefix) int { return cmp.Compare(count[b], count[a]) })
	accepted := map[netip.Prefix]bool{}
	var taken []netip.Prefix
	for _, p := range order {
		if !slices.ContainsFunc(taken, p.Overlaps) {
			accepted[p] = true
			taken = append(taken, p)
		}
	}
	return accepted
}

// makeNetworks makes a network of each prefix, in the order in which the hosts
// have them.
func (l *live) makeNetworks(all []nicAddress, accepted map[netip.Prefix]bool) {
	// together counts the NICs on which two prefixes are.
	together := map[[2]netip.Prefix]int{}
	for _, a := range all {
		for _, b := range all {
			if a.host == b.host && a.item.Link == b.item.Link && a.prefix().Addr().Is4() && b.prefix().Addr().Is6() {
				together[[2]netip.Prefix{a.prefix(), b.prefix()}]++
			}
		}
	}
	done := map[netip.Prefix]bool{}
	for _, four := range []bool{true, false} {
		for _, n := range all {
			p := n.prefix()
			if p.Addr().Is4() != four || !accepted[p] || done[p] {
				continue
			}
			done[p] = true
			network := l.addNetwork(p, l.hinted(p))
			var best netip.Prefix
			for _, m := range all {
				q := m.prefix()
				if four && accepted[q] && !done[q] && q.Addr().Is6() &&
					together[[2]netip.Prefix{p, q}] > together[[2]netip.Prefix{p, best}] {
					best = q
				}
			}
			if best.IsValid() {
				done[best] = true
				network.Prefixes = append(network.Prefixes, best)
			}
		}
	}
}

// hinted is the name a user gives to a prefix.
func (l *live) hinted(p netip.Prefix) string {
	for _, n := range l.hints.Networks {
		if n.Prefix == p {
			return n.Name
		}
	}
	return ""
}

// nic is a host's NIC in the network of its first address; others on it have
// no place in an inventory.
func (l *live) nic(h *liveHost, link string, all []nicAddress, accepted map[netip.Prefix]bool) *inventory.NIC {
	var out *inventory.NIC
	for _, n := range all {
		if n.host != h || n.item.Link != link {
			continue
		}
		a := n.item.Prefix.Addr()
		if !accepted[n.prefix()] {
			l.skip(h, n.item, "its network overlaps another")
			continue
		}
		network := l.network(a)
		if out == nil {
			out = &inventory.NIC{Name: link, Network: network}
		}
		if network != out.Network {
			l.skip(h, n.item, "a NIC of an inventory is on one network, and %s is on %s", link, out.Network.Name)
			continue
		}
		out.Addresses = append(out.Addresses, n.item.Prefix)
	}
	return out
}
