package read

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// instance is a vrrp_instance.
type instance struct {
	line     int
	master   bool
	routerID uint8
}

// role is the one of the sync daemon's that fits the instance's first state.
func (in *instance) role() string {
	if in.master {
		return "master"
	}
	return "backup"
}

const noVRRP = "no VRRP in an inventory: every director has the VIPs"

func (c *conf) instance(block *statement) {
	if !c.blockOf(block) {
		return
	}
	name, ok := "", len(block.words) == 2
	if !ok {
		c.problem(block.line, "vrrp_instance without a name, or with two", "want vrrp_instance NAME {")
	} else {
		name = block.words[1]
	}
	if first := c.instances[name]; first != nil {
		c.leave(block, c.ref(first.line, block.line)+" has the instance already; keepalived reads the first only")
		return
	}
	in := &instance{line: block.line}
	if ok {
		c.instances[name] = in
	}
	device := c.device
	known := c.found.Director.Address
	seen := map[string]*statement{}
	for _, st := range block.block {
		switch word := st.keyword(); word {
		case "interface":
			c.once(seen, word, st)
			if name, ok := c.value(st); ok && c.source.device(st.line, name) {
				device = name
			}
		case "unicast_src_ip", "mcast_src_ip":
			c.sourceAddress(st)
		case "virtual_ipaddress", "virtual_ipaddress_excluded":
		case "lvs_sync_daemon_interface":
			c.syncs = append(c.syncs, syncLine{st, in})
		case "state":
			in.master = slices.Contains(st.words[1:], "MASTER")
			c.leave(st, noVRRP)
		case "virtual_router_id":
			if value, ok := c.value(st); ok {
				id, _ := c.number(st.line, word, value, 1, 255)
				in.routerID = uint8(id)
			}
			c.leave(st, noVRRP)
		default:
			c.other(st, "vrrp_instance")
		}
	}
	if device == "" {
		device = "eth0" // keepalived.conf(5), default_interface
	}
	director := &c.found.Director
	director.NIC = cmp.Or(director.NIC, device)
	if director.Address != known {
		director.AddressNIC = device
	}
	for _, st := range block.block {
		if !strings.HasPrefix(st.keyword(), "virtual_ipaddress") || !c.blockOf(st) {
			continue
		}
		for _, line := range st.block {
			c.vip(line, device)
		}
	}
}

// sourceAddress reads the address that the director's advertisements come from.
func (c *conf) sourceAddress(st *statement) {
	value, ok := c.value(st)
	if !ok {
		return
	}
	a, ok := c.address(st.line, st.keyword(), value)
	switch d := &c.found.Director; {
	case !ok:
	case a.IsLoopback() || d.Address.IsValid() && d.Address != a:
		c.leave(st, "the director's address is taken from the first such line that has one of a NIC")
	default:
		d.Address = a
	}
}

// vip reads a line of virtual_ipaddress: what `ip address add` takes.
func (c *conf) vip(st *statement, device string) {
	if st.opened {
		c.problem(st.line, fmt.Sprintf("%q in a list of addresses has a block", st.keyword()), "is a } missing before it?")
		return
	}
	prefix, ok := c.prefix(st, st.words[0])
	if !ok {
		return
	}
	rest := ""
	for words := st.words[1:]; len(words) > 0; words = words[1:] {
		if words[0] != "dev" {
			rest = tidy(st.flat()) // with its value, in the same line
			continue
		}
		if len(words) == 1 {
			c.problem(st.line, "dev without a value", "want the name of a device")
			return
		}
		if words = words[1:]; !c.source.device(st.line, words[0]) {
			return
		}
		device = words[0]
	}
	a := prefix.Addr()
	if first, there := c.vips[a]; there {
		c.leave(st, c.ref(first, st.line)+" has the address already")
		return
	}
	c.vips[a] = st.line
	c.found.VIPs = append(c.found.VIPs, VIP{Line: st.line, Prefix: prefix, Device: device, Rest: rest})
}

// prefix reads an address with or without its length.
func (c *conf) prefix(st *statement, s string) (netip.Prefix, bool) {
	host, length, hasLength := strings.Cut(s, "/")
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" && (a.IsLoopback() || a.Is6() && a.IsLinkLocalUnicast()) {
		// VRRP over IPv6 itself needs a link-local one first (RFC 5798, 5.2.9).
		c.leave(st, "an inventory has no VIPs that mean something on one link or host only")
		return netip.Prefix{}, false
	}
	a, ok := c.address(st.line, "virtual address", host)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if hasLength {
		n, ok := c.number(st.line, "prefix length", length, 1, uint64(bits))
		if !ok {
			return netip.Prefix{}, false
		}
		bits = int(n)
	}
	return netip.PrefixFrom(a, bits), true
}
