package modes

import (
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
)

// address returns a NIC's first address of a family.
func address(n *inventory.NIC, is6 bool) (netip.Addr, bool) {
	for _, p := range n.Addresses {
		if p.Addr().Is6() == is6 {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// neighbourOf returns the address by which a host reaches another on a segment
// they share, in the given family, with the NICs at both ends.
func neighbourOf(from, to *inventory.Host, is6 bool) (fromNIC, toNIC *inventory.NIC, addr netip.Addr) {
	for _, f := range from.NICs {
		if _, ok := address(f, is6); !ok {
			continue
		}
		for _, t := range to.NICs {
			if a, ok := address(t, is6); ok && t.Network == f.Network {
				return f, t, a
			}
		}
	}
	return nil, nil, netip.Addr{}
}

// speaks reports whether a host has an address of the family.
func speaks(h *inventory.Host, is6 bool) bool {
	for _, n := range h.NICs {
		if _, ok := address(n, is6); ok {
			return true
		}
	}
	return false
}
