package plan

import (
	"fmt"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

// collide is about items of other names that keep the kernel from taking what
// the plan adds. What the plan removes itself goes first; the rest is for the
// user to remove, and known before the first change.
func (h *Host) collide(live state.Host) {
	for _, a := range h.Actions {
		switch i := a.After.Item.(type) {
		case state.TunnelLink:
			if text := tunnelInTheWay(a, i, live); text != "" {
				h.Errors = append(h.Errors, fault.New(fault.Conflict, "%s", text))
			}
		case state.Address:
			if a.Op == state.Add && i.Prefix.Addr().Is6() {
				h.addressInTheWay(a, i, live)
			}
		}
	}
}

func tunnelInTheWay(a Action, t state.TunnelLink, live state.Host) string {
	if _, there := live[state.IDOf(state.Link{Name: t.Name})]; there && a.Op == state.Add {
		return fmt.Sprintf("tunnel %s: there is a device of that name, which is no tunnel of a kind that lvsform makes; remove it (ip link del %s), or give the tunnel another name", t.Name, t.Name)
	}
	for _, other := range state.Of[state.TunnelLink](live) {
		if other.Name != t.Name && other.SameEnds(t) {
			return fmt.Sprintf("tunnel %s: the device %s is of the same type between the same addresses, and the kernel takes one such; keep its name, or remove it first (ip link del %s, or apply without the tunnel)", t.Name, other.Name, other.Name)
		}
	}
	return ""
}

// addressInTheWay: the kernel has an IPv6 address once on a device, with
// whatever prefix length or peer (ipv6_add_addr).
func (h *Host) addressInTheWay(add Action, want state.Address, live state.Host) {
	for _, other := range state.Of[state.Address](live) {
		if other.Link != want.Link || other.Prefix.Addr() != want.Prefix.Addr() || other.Key() == want.Key() {
			continue
		}
		going := false
		for j := range h.Actions {
			if r := &h.Actions[j]; r.Op == state.Remove && r.Before.Item == other {
				r.Wave, going = min(r.Wave, add.Wave), true
			}
		}
		if !going {
			h.Errors = append(h.Errors, fault.New(fault.Conflict, "address %s: the kernel has an IPv6 address once on a device, and there it is %s; remove that: ip address del %s dev %s",
				want.Key(), other.Key(), other.Prefix, other.Link))
		}
	}
}
