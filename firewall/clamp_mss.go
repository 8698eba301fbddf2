package firewall

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/lvsform/lvsform/state"
)

// ClampMSS bounds the segments that a real server asks its clients for.
type ClampMSS struct {
	VIP  netip.Addr
	Port uint16 // from which it answers; 0: every port
	Size int    // of a segment's payload, in bytes
}

// Rule implements Rule.
func (c ClampMSS) Rule() state.FirewallRule {
	port := ""
	if c.Port != 0 {
		port = fmt.Sprintf(" --sport %d", c.Port)
	}
	return state.FirewallRule{
		Family: familyOf(c.VIP), Table: "mangle", Chain: "OUTPUT",
		Spec: fmt.Sprintf("-s %s -p tcp -m tcp%s --tcp-flags SYN,RST SYN -j TCPMSS --set-mss %d", host(c.VIP), port, c.Size),
	}
}

// ParseClampMSS returns false for a rule of another kind.
func ParseClampMSS(r state.FirewallRule) (ClampMSS, bool) {
	o := optionsOf(r)
	c := ClampMSS{VIP: o.host("-s"), Port: o.port("--sport")}
	var err error
	c.Size, err = strconv.Atoi(o["--set-mss"])
	return c, err == nil && c.VIP.IsValid() && c.Rule() == r
}
