package modes

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// fallbackModules are the modules of the tunnel devices that the kernel makes
// itself.
func fallbackModules() map[string]string {
	return map[string]string{"tunl0": "ipip", "gre0": "ip_gre", "sit0": "sit", "ip6tnl0": "ip6_tunnel", "ip6gre0": "ip6_gre"}
}

// ComesWithModule reports whether the kernel makes a device of that name when
// it loads a tunnel module, so that a vip_device of that name need not be there.
func ComesWithModule(device string) bool { return fallbackModules()[device] != "" }

// fallbackDevice asks for the module a tunnel device comes with, for devices
// that come with one.
func fallbackDevice(link string, role inventory.Role, reason Reason) []Want {
	m := fallbackModules()[link]
	if m == "" {
		return nil
	}
	return []Want{{Item: state.Module{Name: m}, Role: role, Reason: reason}}
}

// tunnelDemands are the rules for a point-to-point tunnel: its ends reach each
// other outside of it.
func tunnelDemands(inv *inventory.Inventory, t *inventory.Tunnel) inventory.Problems {
	var out inventory.Problems
	local, remote := outerAddresses(t, t.Ends[0])
	if !local.IsValid() || !remote.IsValid() {
		return append(out, inv.Problem(t.Path, fmt.Sprintf("tunnel %s: %s and %s share no network it could run over", t.Name, t.Ends[0].Host.Name, t.Ends[1].Host.Name),
			"name an address of each end with outer:"))
	}
	for _, e := range t.Ends {
		from, to := outerAddresses(t, e)
		if nic, _ := e.Host.Egress(to); nic == nil {
			out = append(out, inv.Problem(e.Path, fmt.Sprintf("tunnel %s: %s has no route from %s to the other end's %s", t.Name, e.Host.Name, from, to),
				"give it a gateway or a route"))
		}
	}
	return out
}

// outerAddresses are the two ends of the outer header as one end sees them.
func outerAddresses(t *inventory.Tunnel, e *inventory.TunnelEnd) (local, remote netip.Addr) {
	other := t.Ends[0]
	if other == e {
		other = t.Ends[1]
	}
	local, remote = e.Outer, other.Outer
	for _, is6 := range []bool{false, true} {
		if local.IsValid() && remote.IsValid() {
			break
		}
		if !remote.IsValid() && (!local.IsValid() || local.Is6() == is6) {
			_, _, remote = neighbourOf(e.Host, other.Host, is6)
		}
		if !local.IsValid() && remote.IsValid() && remote.Is6() == is6 {
			_, _, local = neighbourOf(other.Host, e.Host, is6)
		}
	}
	return local, remote
}

// tunnelType is the kernel's type of device, and the module it is in, for a
// tunnel of the inventory over an outer address.
func tunnelType(t *inventory.Tunnel, outer netip.Addr) (kind, module string) {
	inner6 := t.Ends[0].Address.Is6()
	switch {
	case t.Type == "gre" && outer.Is6():
		return state.TunnelIP6GRE, "ip6_gre"
	case t.Type == "gre":
		return state.TunnelGRE, "ip_gre"
	case outer.Is6():
		return state.TunnelIP6TNL, "ip6_tunnel"
	case inner6:
		return state.TunnelSIT, "sit"
	default:
		return state.TunnelIPIP, "ipip"
	}
}

// tunnelEnd is what one end of a tunnel must have.
func tunnelEnd(t *inventory.Tunnel, e *inventory.TunnelEnd) []Want {
	local, remote := outerAddresses(t, e)
	kind, module := tunnelType(t, local)
	other := t.Ends[0]
	if other == e {
		other = t.Ends[1]
	}
	out := []Want{
		{Item: state.Module{Name: module}, Reason: Reason{ReasonTunnel, "the tunnel's type"}},
		{Item: state.TunnelLink{Name: t.Name, Type: kind, Local: local, Remote: remote, TTL: t.TTL}, Reason: Reason{ReasonTunnel, "to " + other.Host.Name}},
		{Item: state.Up{Link: t.Name}, Reason: Reason{ReasonTunnel, "carries packets"}},
		{Item: state.Address{Link: t.Name, Prefix: hostPrefix(e.Address), Peer: other.Address}, Reason: Reason{ReasonTunnel, "this end's inner address"}},
	}
	for _, to := range e.Routes {
		r := state.Route{To: to, Link: t.Name, Metric: state.RouteMetric(to), Protocol: state.RouteProtocol}
		out = append(out, Want{Item: r, Reason: Reason{ReasonTunnelRoute, "behind " + other.Host.Name}})
	}
	return out
}
