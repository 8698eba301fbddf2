package firewall

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// Redirect brings the packets for a port of a VIP to the port on which the real
// server listens.
type Redirect struct {
	VIP      netip.Addr
	Device   string // on which they arrive; empty: on any
	Protocol state.Protocol
	Port, To uint16
}

// Rule implements Rule.
func (d Redirect) Rule() state.FirewallRule {
	device := ""
	if d.Device != "" {
		device = " -i " + d.Device
	}
	return state.FirewallRule{
		Family: familyOf(d.VIP), Table: "nat", Chain: "PREROUTING",
		Spec: fmt.Sprintf("-d %s%s %s -j REDIRECT --to-ports %d", host(d.VIP), device, destinationPort(d.Protocol, d.Port), d.To),
	}
}

// ParseRedirect returns false for a rule of another kind.
func ParseRedirect(r state.FirewallRule) (Redirect, bool) {
	o := optionsOf(r)
	d := Redirect{
		VIP: o.host("-d"), Device: o["-i"], Protocol: state.Protocol(o["-p"]),
		Port: o.port("--dport"), To: o.port("--to-ports"),
	}
	return d, d.VIP.IsValid() && d.Port != 0 && d.To != 0 && d.Rule() == r
}
