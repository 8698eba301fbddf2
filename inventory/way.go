package inventory

import "net/netip"

// NICWith is the NIC that has the address as its own, or nil.
func (h *Host) NICWith(a netip.Addr) *NIC {
	for _, n := range h.NICs {
		for _, p := range n.Addresses {
			if p.Addr() == a {
				return n
			}
		}
	}
	return nil
}

// NICToward is the NIC on whose segment the address lies, or nil.
func (h *Host) NICToward(a netip.Addr) *NIC {
	for _, n := range h.NICs {
		for _, p := range n.Addresses {
			if p.Contains(a) {
				return n
			}
		}
	}
	return nil
}

// Egress is where the host sends packets for an address: the device, and the
// next hop where that is a router. Nil: it has no route.
func (h *Host) Egress(to netip.Addr) (nic *NIC, router netip.Addr) {
	if n := h.NICToward(to); n != nil {
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
	return h.NICToward(router), router
}

// SourceFor is the address the host's own packets to another come from, if it
// has a route.
func (h *Host) SourceFor(to netip.Addr) (netip.Addr, bool) {
	nic, router := h.Egress(to)
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
	return netip.Addr{}, false
}
