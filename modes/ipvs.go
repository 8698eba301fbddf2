package modes

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// ipvsDemands are the rules for what a director is told beside its services.
func ipvsDemands(inv *inventory.Inventory, h *inventory.Host) inventory.Problems {
	if len(h.IPVS.Sync) == 0 {
		return nil
	}
	var out inventory.Problems
	for _, s := range services(inv, nil) {
		for _, l := range s.legs() {
			if l.director == h && l.rip().IsValid() && l.rip().Is6() != s.VIP.Is6() {
				out = append(out, s.problem(l.server.Path, "drop the sync daemon, or use one family",
					"%s runs a sync daemon, which the kernel refuses while a destination is of another family than its service (%s)", h.Name, l.rip()))
			}
		}
	}
	return out
}

// ipvsSettings is what a director is told beside its services.
func ipvsSettings(h *inventory.Host, facts Facts) []Want {
	want := func(i state.Item, reason Reason) Want {
		return Want{Item: i, Role: inventory.RoleDirector, Reason: reason}
	}
	reason := Reason{ReasonIPVSSettings, "the inventory's ipvs settings"}
	var out []Want
	if h.IPVS.Timeouts != nil || len(h.IPVS.Sysctls)+len(h.IPVS.Sync) != 0 {
		out = append(out, want(state.Module{Name: "ip_vs"}, reason))
	}
	if t := h.IPVS.Timeouts; t != nil {
		out = append(out, want(state.Timeouts{TCP: t.TCP, TCPFin: t.TCPFin, UDP: t.UDP}, reason))
	}
	for _, name := range slices.Sorted(maps.Keys(h.IPVS.Sysctls)) {
		out = append(out, want(state.Sysctl{Name: "net.ipv4.vs." + name, Setting: h.IPVS.Sysctls[name]}, reason))
	}
	for _, s := range h.IPVS.Sync {
		out = append(out, want(state.SyncDaemon{
			Role: s.Role, Interface: s.Interface, ID: s.ID, MaxLen: syncLength(s, facts[h.Name][s.Interface].MTU), Group: s.Group, Port: s.Port, TTL: s.TTL,
		}, Reason{ReasonSync, fmt.Sprintf("%s connections with other directors", map[string]string{state.SyncMaster: "shares", state.SyncBackup: "takes over"}[s.Role])}))
	}
	return out
}

// syncLength is the largest message of a sync daemon: the inventory's, or what
// fits into a packet on the interface, which is also what the kernel chooses.
func syncLength(s *inventory.Sync, mtu int) uint16 {
	if s.MaxLen != 0 {
		return s.MaxLen
	}
	if mtu == 0 {
		mtu = defaultMTU
	}
	const udp = 8
	return uint16(mtu - innerHeader(s.Group) - udp)
}
