package modes

import (
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
)

// ownerOf returns the NIC that has the address as its own.
func ownerOf(h *inventory.Host, a netip.Addr) *inventory.NIC {
	for _, n := range h.NICs {
		for _, p := range n.Addresses {
			if p.Addr() == a {
				return n
			}
		}
	}
	return nil
}

// onLink returns the NIC whose segment the address lies on.
func onLink(h *inventory.Host, a netip.Addr) *inventory.NIC {
	for _, n := range h.NICs {
		for _, p := range n.Addresses {
			if p.Contains(a) {
				return n
			}
		}
	}
	return nil
}

// address returns a NIC's first address of a family.
func address(n *inventory.NIC, is6 bool) (netip.Addr, bool) {
	for _, p := range n.Addresses {
		if p.Addr().Is6() == is6 {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// egress is where a host sends packets for an address: the device, and the
// next hop where that is a router. Nil: it has no route.
func egress(h *inventory.Host, to netip.Addr) (nic *inventory.NIC, router netip.Addr) {
	if n := onLink(h, to); n != nil {
		return n, netip.Addr{}
	}
	bits := -1
	for _, r := range h.Routes {
		if r.To.Contains(to) && r.To.Bits() > bits {
			bits, router = r.To.Bits(), r.Via
		}
	}
	for _, g := range h.Gateways {
		if bits < 0 && g.Is6() == to.Is6() {
			router = g
		}
	}
	if !router.IsValid() {
		return nil, netip.Addr{}
	}
	return onLink(h, router), router
}

// sourceFor is the address a host's own packets to another come from.
func sourceFor(h *inventory.Host, to netip.Addr) (netip.Addr, bool) {
	nic, router := egress(h, to)
	if nic == nil {
		return netip.Addr{}, false
	}
	hop := to
	if router.IsValid() {
		hop = router
	}
	for _, p := range nic.Addresses {
		if p.Contains(hop) {
			return p.Addr(), true
		}
	}
	return address(nic, to.Is6())
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
