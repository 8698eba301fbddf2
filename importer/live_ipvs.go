package importer

import (
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// vsSetting is a setting below net.ipv4.vs with the value the kernel begins
// with.
type vsSetting struct{ name, preset string }

// vsSettings are those of an inventory whose first values are known. The
// source is ip_vs_control_net_init_sysctl in ip_vs_ctl.c. sync_qlen_max is not
// among them: the kernel computes it from the memory it has.
func vsSettings() []vsSetting {
	return []vsSetting{
		{"am_droprate", "10"}, {"amemthresh", "1024"}, {"backup_only", "0"}, {"cache_bypass", "0"},
		{"conn_reuse_mode", "1"}, {"conntrack", "0"}, {"drop_entry", "0"}, {"drop_packet", "0"}, {"est_nice", "0"},
		{"expire_nodest_conn", "0"}, {"expire_quiescent_template", "0"}, {"ignore_tunneled", "0"}, {"nat_icmp_send", "0"},
		{"pmtu_disc", "1"}, {"run_estimation", "1"}, {"schedule_icmp", "0"}, {"secure_tcp", "0"}, {"sloppy_sctp", "0"},
		{"sloppy_tcp", "0"}, {"snat_reroute", "1"}, {"sync_persist_mode", "0"}, {"sync_ports", "1"}, {"sync_refresh_period", "0"},
		{"sync_retries", "0"}, {"sync_sock_size", "0"}, {"sync_threshold", "3 50"}, {"sync_version", "1"},
	}
}

// usualTimeouts are those the kernel begins with.
func usualTimeouts() state.Timeouts { return state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300} }

// addDirectors takes what hosts are told of IPVS beside their services, where
// it is not what the kernel begins with.
func (l *live) addDirectors() {
	for _, h := range l.hosts {
		if h.inv == nil {
			continue
		}
		ipvs := &h.inv.IPVS
		for _, t := range state.Of[state.Timeouts](h.State) {
			if t != usualTimeouts() {
				ipvs.Timeouts = &inventory.Timeouts{TCP: t.TCP, TCPFin: t.TCPFin, UDP: t.UDP}
			}
		}
		for _, s := range vsSettings() {
			if v := h.setting("net.ipv4.vs." + s.name); v != "" && v != s.preset {
				if ipvs.Sysctls == nil {
					ipvs.Sysctls = map[string]string{}
				}
				ipvs.Sysctls[s.name] = v
			}
		}
		for _, s := range state.Of[state.SyncDaemon](h.State) {
			if egressOf(h.inv, s.Interface) == nil {
				l.skip(h, s, "%s is no NIC of the inventory", s.Interface)
				continue
			}
			ipvs.Sync = append(ipvs.Sync, &inventory.Sync{
				Role: s.Role, Interface: s.Interface, ID: s.ID, MaxLen: l.syncLength(h, s), Group: s.Group, Port: s.Port, TTL: s.TTL,
			})
		}
		if ipvs.Timeouts != nil || len(ipvs.Sync)+len(ipvs.Sysctls) != 0 {
			addRole(h.inv, inventory.RoleDirector)
		}
	}
}

// syncLength is 0 for the length that fits into a packet on the interface,
// which is what a daemon has when nothing is said.
func (l *live) syncLength(h *liveHost, s state.SyncDaemon) uint16 {
	link, _ := h.State[state.IDOf(state.Link{Name: s.Interface})].(state.Link)
	const udp, ipv4, ipv6 = 8, 20, 40
	fits := link.MTU - udp - ipv4
	if s.Group.Is6() {
		fits = link.MTU - udp - ipv6
	}
	if int(s.MaxLen) == fits {
		return 0
	}
	return s.MaxLen
}

// fitConntrack leaves a setting to the fullnat services that ask for it.
func fitConntrack(h *inventory.Host) {
	delete(h.IPVS.Sysctls, "conntrack")
	if len(h.IPVS.Sysctls) == 0 {
		h.IPVS.Sysctls = nil
	}
}

func addRole(h *inventory.Host, r inventory.Role) {
	if !h.Has(r) {
		h.Roles = append(h.Roles, r)
	}
}

// splitFlags reads the scheduler's flags.
func splitFlags(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
