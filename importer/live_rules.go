package importer

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// The rules that lvsform itself sets, read back. Rules of others are not
// observed.

// maxPool bounds the sources of a fullnat service.
const maxPool = 1024

// mark is a rule that marks packets for a VIP and port.
type mark struct {
	vip      netip.Addr
	protocol inventory.Protocol
	port     uint16
	mark     uint32
}

func parseMark(r state.FirewallRule) (mark, bool) {
	m := match(r, "mangle", "PREROUTING", `^-d (\S+)/\d+ -p (\w+) -m \w+ --dport (\d+) -j MARK --set-xmark (0x[0-9a-f]+)/0xffffffff$`)
	if m == nil {
		return mark{}, false
	}
	vip, err := netip.ParseAddr(m[1])
	number, err2 := strconv.ParseUint(m[4], 0, 32)
	port, ok := parsePort(m[3])
	return mark{vip, inventory.Protocol(m[2]), port, uint32(number)}, err == nil && err2 == nil && ok
}

// parseDNAT is a gateway's port forward, nil for any other rule.
func parseDNAT(r state.FirewallRule) *inventory.PortForward {
	m := match(r, "nat", "PREROUTING", `^-d (\S+)/\d+ -p (\w+) -m \w+ --dport (\d+) -j DNAT --to-destination (\S+)$`)
	if m == nil {
		return nil
	}
	listen, err := netip.ParseAddr(m[1])
	to, err2 := netip.ParseAddrPort(m[4])
	port, ok := parsePort(m[3])
	if err != nil || err2 != nil || !ok {
		return nil
	}
	return &inventory.PortForward{Listen: netip.AddrPortFrom(listen, port), To: to, Protocol: inventory.Protocol(m[2])}
}

// redirect is a real server's rule that brings packets for the VIP to another
// port.
type redirect struct {
	vip      netip.Addr
	protocol inventory.Protocol
	port, to uint16
}

func parseRedirect(r state.FirewallRule) (redirect, bool) {
	m := match(r, "nat", "PREROUTING", `^-d (\S+)/\d+(?: -i \S+)? -p (\w+) -m \w+ --dport (\d+) -j REDIRECT --to-ports (\d+)$`)
	if m == nil {
		return redirect{}, false
	}
	vip, err := netip.ParseAddr(m[1])
	port, ok := parsePort(m[3])
	to, ok2 := parsePort(m[4])
	return redirect{vip, inventory.Protocol(m[2]), port, to}, err == nil && ok && ok2
}

// snat is a director's rule that gives IPVS' connections a source.
type snat struct {
	server netip.Addr // one real server; zero: all behind the device
	device string
	vip    netip.Addr
	port   uint16 // 0: every port
	pool   []netip.Addr
}

func parseSNAT(r state.FirewallRule) (snat, bool) {
	m := match(r, "nat", "POSTROUTING", `^(?:-d (\S+)/\d+ )?-o (\S+) -m ipvs --vaddr (\S+)(?: --vport (\d+))? -j SNAT --to-source ([^\s-]+)(?:-(\S+))?$`)
	if m == nil {
		return snat{}, false
	}
	out := snat{device: m[2]}
	var err error
	if m[1] != "" {
		if out.server, err = netip.ParseAddr(m[1]); err != nil {
			return out, false
		}
	}
	if out.vip, err = netip.ParseAddr(m[3]); err != nil {
		return out, false
	}
	if m[4] != "" {
		var ok bool
		if out.port, ok = parsePort(m[4]); !ok {
			return out, false
		}
	}
	first, err := netip.ParseAddr(m[5])
	if err != nil {
		return out, false
	}
	last := first
	if m[6] != "" {
		if last, err = netip.ParseAddr(m[6]); err != nil {
			return out, false
		}
	}
	for a := first; a.IsValid() && len(out.pool) < maxPool; a = a.Next() {
		out.pool = append(out.pool, a)
		if a == last {
			return out, true
		}
	}
	return out, false
}

func match(r state.FirewallRule, table, chain, pattern string) []string {
	if r.Table != table || r.Chain != chain {
		return nil
	}
	return regexp.MustCompile(pattern).FindStringSubmatch(r.Spec)
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n != 0
}

// addGateways takes the port forwards of hosts, and gives the role to those
// that pass packets on between networks.
func (l *live) addGateways() {
	for _, h := range l.hosts {
		if h.inv == nil {
			continue
		}
		for _, r := range h.rules("nat", "PREROUTING") {
			if f := parseDNAT(r); f != nil {
				h.inv.Forwards = append(h.inv.Forwards, f)
			}
		}
		forwards := h.forwards(false) || h.forwards(true)
		if len(h.inv.Forwards) == 0 && (!forwards || !l.routesForOthers(h)) {
			continue
		}
		h.inv.Roles = append(h.inv.Roles, inventory.RoleGateway)
		// The role means every family the host speaks.
		for _, is6 := range []bool{false, true} {
			if forwards && !h.forwards(is6) {
				l.silence(h, is6)
			}
		}
	}
}

// routesForOthers reports whether a host is a router: others send by it, but
// for the real servers whose replies it must see as their director, or it
// joins networks and does nothing else.
func (l *live) routesForOthers(h *liveHost) bool {
	for _, other := range l.hosts {
		if other.inv == nil || other == h || l.repliesBy(other, h) {
			continue
		}
		hops := slices.Clone(other.inv.Gateways)
		for _, r := range other.inv.Routes {
			hops = append(hops, r.Via)
		}
		if slices.ContainsFunc(hops, func(a netip.Addr) bool { return h.inv.NICWith(a) != nil }) {
			return true
		}
	}
	return len(h.inv.NICs) > 1 && len(state.Of[state.Service](h.State)) == 0 && !l.serves(h)
}

// repliesBy reports whether a host is a real server of a director that
// masquerades.
func (l *live) repliesBy(server, director *liveHost) bool {
	return slices.ContainsFunc(state.Of[state.Destination](director.State), func(d state.Destination) bool {
		return d.Forward == state.ForwardNAT && server.inv.NICWith(d.Address.Addr()) != nil
	})
}

// serves reports whether a host is a real server of any director.
func (l *live) serves(h *liveHost) bool {
	return slices.ContainsFunc(l.hosts, func(d *liveHost) bool {
		return slices.ContainsFunc(state.Of[state.Destination](d.State), func(d state.Destination) bool {
			return h.inv.NICWith(d.Address.Addr()) != nil
		})
	})
}

// silence leaves out the addresses of a family that a router does not route.
func (l *live) silence(h *liveHost, is6 bool) {
	for _, n := range h.inv.NICs {
		n.Addresses = slices.DeleteFunc(n.Addresses, func(p netip.Prefix) bool {
			if p.Addr().Is6() != is6 {
				return false
			}
			l.skip(h, state.Address{Link: n.Name, Prefix: p}, "the host is a router, and does not pass this family on")
			return true
		})
	}
	h.inv.NICs = slices.DeleteFunc(h.inv.NICs, func(n *inventory.NIC) bool { return len(n.Addresses) == 0 })
	h.inv.Gateways = slices.DeleteFunc(h.inv.Gateways, func(a netip.Addr) bool { return a.Is6() == is6 })
	h.inv.Routes = slices.DeleteFunc(h.inv.Routes, func(r *inventory.Route) bool { return r.Via.Is6() == is6 })
}
