package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Check refuses an item that no kernel could have: one that it would not take,
// or would take as something else and then report differently. It asks nothing
// of this host.
func Check(item state.Item) error {
	switch i := item.(type) {
	case state.FOUPort, state.Link, state.Up, state.Sysctl: // only a host can tell
	case state.Module:
		return checkModuleName(i.Name)
	case state.TunnelLink:
		return checkTunnel(i)
	case state.Address:
		if !i.Prefix.IsValid() || i.Peer.IsValid() && i.Peer.Is6() != i.Prefix.Addr().Is6() {
			return fmt.Errorf("address %s with peer %s: %w", i.Prefix, i.Peer, unix.EINVAL)
		}
	case state.Route:
		return checkRoute(i)
	case state.Neighbour:
		if mac, err := net.ParseMAC(i.MAC); err != nil || mac.String() != i.MAC || !i.Address.IsValid() {
			return fmt.Errorf("neighbour %s at %q: %w", i.Address, i.MAC, unix.EINVAL)
		}
	case state.FirewallRule:
		return checkRule(i)
	case state.Timeouts:
		if i.TCP == 0 || i.TCPFin == 0 || i.UDP == 0 {
			// The kernel reads 0 as "leave it".
			return fmt.Errorf("timeout of 0: %w", unix.EINVAL)
		}
	case state.Service:
		return checkService(i)
	case state.Destination:
		return checkDestination(i)
	case state.SyncDaemon:
		return checkSyncDaemon(i)
	default:
		return errUnsupported
	}
	return nil
}

func checkTunnel(t state.TunnelLink) error {
	switch t.Type {
	case state.TunnelIPIP, state.TunnelGRE, state.TunnelSIT, state.TunnelIP6TNL, state.TunnelIP6GRE:
	default:
		return fmt.Errorf("tunnel type %q: %w", t.Type, unix.EOPNOTSUPP)
	}
	for _, end := range []netip.Addr{t.Local, t.Remote} {
		if end.IsValid() && end.Is6() != outerIs6(t) {
			return fmt.Errorf("%s cannot be the end of a tunnel of type %s: %w", end, t.Type, unix.EINVAL)
		}
	}
	return nil
}

func checkRoute(r state.Route) error {
	switch {
	case !r.To.IsValid() || r.To != r.To.Masked():
		return fmt.Errorf("%s is not a network: %w", r.To, unix.EINVAL)
	case r.To.Addr().Is6() && r.Metric == 0:
		// The kernel would give it one, and the route would be another.
		return fmt.Errorf("IPv6 route without a metric: %w", unix.EINVAL)
	case r.Via.IsValid() && r.Via.Is4() && r.To.Addr().Is6(), r.Source.IsValid() && r.Source.Is6() != r.To.Addr().Is6():
		return fmt.Errorf("route of mixed families: %w", unix.EINVAL)
	case r.Protocol <= unix.RTPROT_KERNEL || r.Protocol > 255:
		return fmt.Errorf("route protocol %d: %w", r.Protocol, unix.EINVAL)
	}
	return nil
}

// checkRule refuses what would reach beyond lvsform's own chain. The words of
// the rule become arguments of a program; there is no shell.
func checkRule(r state.FirewallRule) error {
	tables, ok := map[string][]string{
		state.FirewallIPv4: {"filter", "nat", "mangle", "raw"},
		state.FirewallIPv6: {"filter", "nat", "mangle", "raw"},
		state.FirewallARP:  {"filter"},
	}[r.Family]
	if !ok || !slices.Contains(tables, r.Table) ||
		!slices.Contains([]string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}, r.Chain) {
		return fmt.Errorf("no such chain: %w", unix.EINVAL)
	}
	words := strings.Fields(r.Spec)
	for i, w := range words {
		for _, c := range w {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
			if !letter && !strings.ContainsRune("-.,:/[]_+!", c) {
				return fmt.Errorf("%q in a firewall rule: %w", w, unix.EINVAL)
			}
		}
		// -t is another table; -A and the like a command.
		if len(w) == 2 && w[0] == '-' && !strings.ContainsRune("sdpiomj!", rune(w[1])) {
			return fmt.Errorf("option %s in a firewall rule: %w", w, unix.EINVAL)
		}
		// iptables prints lengths of prefixes, arptables none of /32.
		network := r.Family != state.FirewallARP && (w == "-s" || w == "-d") && i+1 < len(words) && words[i+1] != "!"
		if network && !strings.Contains(words[i+1], "/") {
			return fmt.Errorf("%s %s without the length of the prefix: %w", w, words[i+1], unix.EINVAL)
		}
		if strings.HasPrefix(w, "--table") {
			return fmt.Errorf("option %s in a firewall rule: %w", w, unix.EINVAL)
		}
	}
	if canonicalSpec(r.Family, words) != r.Spec || !slices.Contains(words, "-j") {
		return fmt.Errorf("rule %q is not as the tool prints it: %w", r.Spec, unix.EINVAL)
	}
	return nil
}

// checkService refuses what the kernel would take as something else.
func checkService(s state.Service) error {
	full := 32
	if s.Is6() {
		full = 128
	}
	switch {
	case s.FWMark == 0 && protocolNumber(s.Protocol) == 0:
		return fmt.Errorf("protocol %q: %w", s.Protocol, unix.EINVAL)
	case s.PersistenceBits < 0 || s.PersistenceBits > full:
		return fmt.Errorf("persistence netmask of %d bits: %w", s.PersistenceBits, unix.EINVAL)
	case s.Engine != "" && s.Persistence == 0:
		return fmt.Errorf("persistence engine without persistence: %w", unix.EINVAL)
	case s.FWMark == 0 && s.Address.Port() == 0 && s.Persistence == 0:
		// Such a service never matches a packet.
		return fmt.Errorf("port 0 (any) without persistence: %w", unix.EINVAL)
	}
	return nil
}

func checkDestination(d state.Destination) error {
	if !slices.Contains(forwards(), d.Forward) || !slices.Contains(tunnelTypes(), d.Tunnel.Type) ||
		d.Tunnel != (state.Tunnel{}) && d.Forward != state.ForwardTUN {
		return fmt.Errorf("forwarding method %q with tunnel type %q: %w", d.Forward, d.Tunnel.Type, unix.EINVAL)
	}
	return nil
}

// checkSyncDaemon refuses what the kernel would take as "the default", which
// it then reports as a number.
func checkSyncDaemon(d state.SyncDaemon) error {
	if d.MaxLen == 0 || d.Port == 0 || d.TTL == 0 || !d.Group.IsMulticast() {
		return fmt.Errorf("needs a largest message, a port, a TTL and a multicast group: %w", unix.EINVAL)
	}
	if d.Role != state.SyncMaster && d.Role != state.SyncBackup {
		return fmt.Errorf("role %q: %w", d.Role, unix.EINVAL)
	}
	return nil
}
