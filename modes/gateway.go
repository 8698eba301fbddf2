package modes

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// forwarding wants the host to be a router for the address's family.
func forwarding(a netip.Addr, role inventory.Role, reason string) Want {
	name := "net.ipv4.ip_forward"
	if a.Is6() {
		name = state.ConfSysctl("ipv6", "all", "forwarding")
	}
	return Want{Item: state.Sysctl{Name: name, Setting: "1"}, Role: role, Reason: reason}
}

// gateway is what a router between the networks must have.
func gateway(h *inventory.Host) []Want {
	if !h.Has(inventory.RoleGateway) {
		return nil
	}
	var out []Want
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if speaks(h, any.Is6()) {
			out = append(out, forwarding(any, inventory.RoleGateway, "routes between its networks"))
		}
	}
	for _, f := range h.Forwards {
		out = append(out, Want{
			Item: dnat(f),
			Role: inventory.RoleGateway, Reason: "forwards " + f.Listen.String(),
		})
	}
	return out
}

// dnat is the rule for a port forward.
func dnat(f *inventory.PortForward) state.FirewallRule {
	return state.FirewallRule{
		Family: ruleFamily(f.Listen.Addr()), Table: "nat", Chain: "PREROUTING",
		Spec: fmt.Sprintf("-d %s %s -j DNAT --to-destination %s",
			hostPrefix(f.Listen.Addr()), matchPort(f.Protocol, "dport", f.Listen.Port()), f.To),
	}
}
