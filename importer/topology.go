package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// network is the one an address lies in, or nil.
func (d *sketch) network(a netip.Addr) *inventory.Network {
	for _, n := range d.inv.Networks {
		if slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return n
		}
	}
	return nil
}

// addNetwork adds a prefix, to the network of that name where there is one
// that lacks the family.
func (d *sketch) addNetwork(p netip.Prefix, name string) *inventory.Network {
	if name == "" {
		name = networkName(p)
	}
	for _, n := range d.inv.Networks {
		if n.Name == name && len(n.Prefixes) == 1 && n.Prefixes[0].Addr().Is4() != p.Addr().Is4() {
			n.Prefixes = append(n.Prefixes, p)
			return n
		}
	}
	n := &inventory.Network{Name: freeNetworkName(d.inv, name), Prefixes: []netip.Prefix{p}}
	d.inv.Networks = append(d.inv.Networks, n)
	return n
}

// freeNetworkName is the name, or one like it, that no network has.
func freeNetworkName(inv *inventory.Inventory, name string) string {
	return freeName(name, func(name string) bool {
		return slices.ContainsFunc(inv.Networks, func(n *inventory.Network) bool { return n.Name == name })
	})
}

// freeHostName is the name, or one like it, that no host has.
func freeHostName(inv *inventory.Inventory, name string) string {
	return freeName(name, func(name string) bool {
		return slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return strings.EqualFold(h.Name, name) })
	})
}

func freeName(name string, taken func(string) bool) string {
	for base, i := name, 2; taken(name); i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	return name
}

// networkName names a network by its prefix.
func networkName(p netip.Prefix) string { return "net-" + label(p.Addr()) }

// overlaps reports whether a prefix has addresses of a network in it.
func (d *sketch) overlaps(p netip.Prefix) bool {
	return slices.ContainsFunc(d.inv.Networks, func(n *inventory.Network) bool {
		return slices.ContainsFunc(n.Prefixes, p.Overlaps)
	})
}

// The prefix lengths that most networks have.
const (
	usualBits4 = 24
	usualBits6 = 64
)

// usualPrefix is the one around an address that most networks have.
func usualPrefix(a netip.Addr) netip.Prefix {
	bits := usualBits4
	if a.Is6() {
		bits = usualBits6
	}
	p, _ := a.Prefix(bits)
	return p
}

// assumeNetwork makes a network around an address that the source tells.
func (d *sketch) assumeNetwork(a netip.Addr) *inventory.Network {
	n := d.makeNetwork(a)
	d.assumePrefix(n, a)
	return n
}

// makeNetwork makes a network around an address: the usual prefix, or as much
// of it as no other network has.
func (d *sketch) makeNetwork(a netip.Addr) *inventory.Network {
	p := usualPrefix(a)
	for d.overlaps(p) || isEdge(a, p) {
		p, _ = a.Prefix(p.Bits() + 1)
	}
	return d.addNetwork(p, "")
}

// assumePrefix notes that the prefix of a network is a guess around an address.
func (d *sketch) assumePrefix(n *inventory.Network, a netip.Addr) {
	d.assume(n, "", "network "+n.Name, fmt.Sprintf("nothing tells the prefix around %s; --network NAME=PREFIX does", a))
}

// isEdge reports whether the address is the network's own or its broadcast
// address, which no host has.
func isEdge(a netip.Addr, p netip.Prefix) bool {
	if !a.Is4() || p.Bits() >= 31 {
		return false
	}
	return a == p.Masked().Addr() || !p.Contains(a.Next())
}

// label is an address as part of a name: letters, digits and inner hyphens.
func label(a netip.Addr) string {
	s := strings.NewReplacer(".", "-", ":", "-").Replace(a.Unmap().WithZone("").String())
	if strings.HasPrefix(s, "-") {
		s = "0" + s
	}
	if strings.HasSuffix(s, "-") {
		s += "0"
	}
	return s
}

// owner is the host that has an address on a NIC, or nil.
func (d *sketch) owner(a netip.Addr) *inventory.Host {
	for _, h := range d.inv.Hosts {
		if h.NICWith(a) != nil {
			return h
		}
	}
	return nil
}

// addHost adds a host under its name, or one like it that is free.
func (d *sketch) addHost(name string) *inventory.Host {
	name = freeHostName(d.inv, name)
	h := &inventory.Host{Name: name, Path: "hosts." + name}
	d.inv.Hosts = append(d.inv.Hosts, h)
	return h
}

// server is the host with a real server's address; one that is not known is
// made, and what is not known of it is assumed.
func (d *sketch) server(a netip.Addr, nic string) *inventory.Host {
	h := d.owner(a)
	if h == nil {
		h = d.addHost("rs-" + label(a))
		n := d.network(a)
		if n == nil {
			n = d.assumeNetwork(a)
		}
		port := &inventory.NIC{Name: nic, Network: n}
		d.addAddress(port, a)
		h.NICs = []*inventory.NIC{port}
		d.assume(port, "", fmt.Sprintf("%s: NIC %s", h.Name, nic), "nothing tells the NIC's name; --nic does")
	}
	if !h.Has(inventory.RoleRealServer) {
		h.Roles = append(h.Roles, inventory.RoleRealServer)
	}
	return h
}

// addAddress gives a NIC an address of its network.
func (d *sketch) addAddress(n *inventory.NIC, a netip.Addr) {
	for _, p := range n.Network.Prefixes {
		if own := netip.PrefixFrom(a, p.Bits()); p.Contains(a) && !slices.Contains(n.Addresses, own) {
			n.Addresses = append(n.Addresses, own)
		}
	}
}

// chooseMode gives a service the mode that most of its real servers have.
func chooseMode(s *inventory.Service) {
	count := map[inventory.Mode]int{}
	for _, r := range s.RealServers {
		count[r.Mode]++
	}
	s.Mode = ""
	for _, r := range s.RealServers {
		if s.Mode == "" || count[r.Mode] > count[s.Mode] {
			s.Mode = r.Mode
		}
	}
	s.Encapsulation = inventory.Encapsulation{Type: "ipip"}
	same := map[inventory.Encapsulation]int{}
	for _, r := range s.RealServers {
		if !modes.TraitsOf(r.Mode).Tunnelled {
			continue
		}
		if same[r.Encapsulation]++; same[r.Encapsulation] > same[s.Encapsulation] {
			s.Encapsulation = r.Encapsulation
		}
	}
}
