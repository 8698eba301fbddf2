package firewall

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// DNAT is a gateway's port forward.
type DNAT struct {
	Protocol   state.Protocol
	Listen, To netip.AddrPort
}

// Rule implements Rule.
func (d DNAT) Rule() state.FirewallRule {
	return state.FirewallRule{
		Family: familyOf(d.Listen.Addr()), Table: "nat", Chain: "PREROUTING",
		Spec: fmt.Sprintf("-d %s %s -j DNAT --to-destination %s", host(d.Listen.Addr()), destinationPort(d.Protocol, d.Listen.Port()), d.To),
	}
}

// ParseDNAT returns false for a rule of another kind.
func ParseDNAT(r state.FirewallRule) (DNAT, bool) {
	o := optionsOf(r)
	d := DNAT{Protocol: state.Protocol(o["-p"]), Listen: netip.AddrPortFrom(o.host("-d"), o.port("--dport"))}
	var err error
	d.To, err = netip.ParseAddrPort(o["--to-destination"])
	return d, err == nil && d.Listen.IsValid() && d.Listen.Port() != 0 && d.Rule() == r
}
