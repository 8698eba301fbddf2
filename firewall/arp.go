package firewall

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// ARPDrop drops the ARP requests for a VIP that arrive on a device.
type ARPDrop struct {
	Device string
	VIP    netip.Addr // IPv4
}

// Rule implements Rule.
func (d ARPDrop) Rule() state.FirewallRule {
	return state.FirewallRule{
		Family: state.FirewallARP, Table: "filter", Chain: "INPUT",
		Spec: fmt.Sprintf("-i %s -d %s --opcode 1 -j DROP", d.Device, d.VIP),
	}
}

// ParseARPDrop returns false for a rule of another kind.
func ParseARPDrop(r state.FirewallRule) (ARPDrop, bool) {
	o := optionsOf(r)
	d := ARPDrop{Device: o["-i"], VIP: o.address("-d")}
	return d, d.VIP.Is4() && d.Rule() == r
}

// ARPRewrite puts a host's own address into the ARP packets that it sends on a
// device in the name of a VIP.
type ARPRewrite struct {
	Device   string
	VIP, Own netip.Addr // IPv4
}

// Rule implements Rule.
func (w ARPRewrite) Rule() state.FirewallRule {
	return state.FirewallRule{
		Family: state.FirewallARP, Table: "filter", Chain: "OUTPUT",
		Spec: fmt.Sprintf("-o %s -s %s -j mangle --mangle-ip-s %s", w.Device, w.VIP, w.Own),
	}
}

// ParseARPRewrite returns false for a rule of another kind.
func ParseARPRewrite(r state.FirewallRule) (ARPRewrite, bool) {
	o := optionsOf(r)
	w := ARPRewrite{Device: o["-o"], VIP: o.address("-s"), Own: o.address("--mangle-ip-s")}
	return w, w.VIP.Is4() && w.Own.Is4() && w.Rule() == r
}
