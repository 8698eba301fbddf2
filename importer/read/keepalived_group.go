package read

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// group is a virtual_server_group.
type group struct {
	st      *statement
	name    string
	targets []target
	used    bool
}

// target is an address and port of a virtual server, or a firewall mark.
type target struct {
	address netip.Addr
	port    uint16
	mark    uint32
}

func (c *conf) group(block *statement) {
	if !c.blockOf(block) {
		return
	}
	if len(block.words) != 2 {
		c.problem(block.line, "virtual_server_group without a name, or with two", "want virtual_server_group NAME {")
		return
	}
	g := &group{st: block, name: block.words[1]}
	if first := c.groups[g.name]; first != nil {
		c.problem(block.line, fmt.Sprintf("duplicate virtual_server_group %s, first in %s", g.name, c.ref(first.st.line, block.line)), "want each once")
		return
	}
	c.groups[g.name] = g
	c.order = append(c.order, g)
	if len(block.block) == 0 {
		c.problem(block.line, fmt.Sprintf("virtual_server_group %s is empty", g.name), "want addresses and ports in it")
	}
	for _, st := range block.block {
		c.groupEntry(g, st)
	}
}

// groupEntry reads an address or range, with or without port, or a mark.
func (c *conf) groupEntry(g *group, st *statement) {
	if st.keyword() == "fwmark" {
		if at, ok := c.mark(st, st.words[1:]); ok {
			c.targets++
			g.targets = append(g.targets, at)
		}
		return
	}
	var port uint16
	ok := true
	c.noMore(st, 2)
	if len(st.words) > 1 {
		port, ok = c.port(st.line, st.words[1], 0)
	}
	addresses, fine := c.rangeOf(st.line, st.keyword())
	if c.targets += len(addresses); !ok || !fine || c.full(c.targets, st.line) {
		return
	}
	for _, a := range addresses {
		g.targets = append(g.targets, target{address: a, port: port})
	}
}

// mark reads the number after fwmark.
func (c *conf) mark(st *statement, words []string) (at target, ok bool) {
	if len(words) != 1 {
		return at, c.problem(st.line, fmt.Sprintf("fwmark with %d words", len(words)), "want the number of a firewall mark after it")
	}
	n, ok := c.number(st.line, "firewall mark", words[0], 1, math.MaxUint32)
	return target{mark: uint32(n)}, ok
}

// rangeOf reads 192.0.2.7, 192.0.2.7-20, 192.0.2.7-192.0.3.20 or 192.0.2.8/29
// (alloc_vsg_entry in check_data.c).
func (c *conf) rangeOf(line int, s string) ([]netip.Addr, bool) {
	if host, length, found := strings.Cut(s, "/"); found {
		return c.network(line, host, length)
	}
	host, end, found := strings.Cut(s, "-")
	first, ok := c.address(line, "virtual address", host)
	if !ok || !found {
		return []netip.Addr{first}, ok
	}
	var last netip.Addr
	if strings.ContainsAny(end, ".:") {
		last, ok = c.address(line, "virtual address", end)
	} else {
		last, ok = c.lastOf(line, first, end)
	}
	if !ok {
		return nil, false
	}
	return c.addresses(line, first, last)
}

// lastOf puts the end of a range into the last number of its first address:
// decimal for IPv4, hexadecimal for IPv6.
func (c *conf) lastOf(line int, first netip.Addr, end string) (netip.Addr, bool) {
	base, size := 10, 8
	if first.Is6() {
		base, size = 16, 16
	}
	n, err := strconv.ParseUint(end, base, size)
	if err != nil {
		return first, c.problem(line, fmt.Sprintf("%q is not the end of a range from %s", end, first), "want one such as 192.0.2.10-20 or 2001:db8::10-1f")
	}
	b := first.AsSlice()
	b[len(b)-1] = byte(n)
	if first.Is6() {
		b[len(b)-2] = byte(n >> 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last, true
}

// network lists every address of a prefix, as keepalived does, the first and
// the last too.
func (c *conf) network(line int, host, length string) ([]netip.Addr, bool) {
	first, ok := c.address(line, "virtual address", host)
	if !ok {
		return nil, false
	}
	n, ok := c.number(line, "prefix length", length, 1, uint64(first.BitLen()))
	if !ok {
		return nil, false
	}
	p := netip.PrefixFrom(first, int(n))
	if p != p.Masked() {
		return nil, c.problem(line, fmt.Sprintf("%s has bits set beyond its length", p), "write "+p.Masked().String())
	}
	b := first.AsSlice()
	for bit := p.Bits(); bit < first.BitLen(); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return c.addresses(line, first, last)
}

func (c *conf) unusedGroups() {
	for _, g := range c.order {
		if !g.used {
			c.leave(g.st, "no virtual_server uses the group")
		}
	}
}
