package firewall

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Mark sets a firewall mark on the packets for a port of a VIP, so that IPVS
// knows them as those of a service.
type Mark struct {
	VIP      netip.Addr
	Protocol state.Protocol
	Port     uint16
	Mark     uint32
}

// markMask has the mark replace all bits that were there.
const markMask = "/0xffffffff"

// Rule implements Rule.
func (m Mark) Rule() state.FirewallRule {
	return state.FirewallRule{
		Family: familyOf(m.VIP), Table: "mangle", Chain: "PREROUTING",
		Spec: fmt.Sprintf("-d %s %s -j MARK --set-xmark %#x%s", host(m.VIP), destinationPort(m.Protocol, m.Port), m.Mark, markMask),
	}
}

// ParseMark returns false for a rule of another kind.
func ParseMark(r state.FirewallRule) (Mark, bool) {
	o := optionsOf(r)
	m := Mark{VIP: o.host("-d"), Protocol: state.Protocol(o["-p"]), Port: o.port("--dport")}
	mark, err := strconv.ParseUint(strings.TrimSuffix(o["--set-xmark"], markMask), 0, 32)
	m.Mark = uint32(mark)
	return m, err == nil && m.VIP.IsValid() && m.Port != 0 && m.Rule() == r
}
