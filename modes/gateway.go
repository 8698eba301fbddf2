package modes

import (
	"net/netip"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// forwarding wants the host to be a router for the address's family.
func forwarding(a netip.Addr, role inventory.Role, reason Reason) Want {
	name := "net.ipv4.ip_forward"
	if a.Is6() {
		name = state.ConfSysctl("ipv6", "all", "forwarding")
	}
	return Want{Item: state.Sysctl{Name: name, Setting: "1"}, Role: role, Reason: reason}
}

// passesOn is why a director is a router.
func passesOn() Reason {
	return Reason{ReasonForwarding, "passes packets on between clients and real servers"}
}

// gateway is what a router between the networks must have.
func gateway(h *inventory.Host) []Want {
	if !h.Has(inventory.RoleGateway) {
		return nil
	}
	var out []Want
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if speaks(h, any.Is6()) {
			out = append(out, forwarding(any, inventory.RoleGateway, Reason{ReasonForwarding, "routes between its networks"}))
		}
	}
	for _, f := range h.Forwards {
		out = append(out, Want{
			Item: dnat(f),
			Role: inventory.RoleGateway, Reason: Reason{ReasonPortForward, "forwards " + f.Listen.String()},
		})
	}
	return out
}

// dnat is the rule for a port forward.
func dnat(f *inventory.PortForward) state.FirewallRule {
	return firewall.DNAT{Protocol: state.Protocol(f.Protocol), Listen: f.Listen, To: f.To}.Rule()
}
