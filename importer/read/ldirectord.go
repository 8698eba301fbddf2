package read

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// Ldirectord reads an ldirectord.cf(8). Defaults are those of ldirectord 4
// (read_config in ldirectord.in): scheduler wrr, weight 1, tcp, and udp on port
// 53. A real server has no default for the forwarding method: it must say one.
func Ldirectord(file string, data []byte) (*Found, error) {
	c := cf{source: newSource(file), directive: regexp.MustCompile(`^([A-Za-z0-9_]+)\s*(?:=\s*(.*))?$`)}
	for i, line := range c.lines(data) {
		c.line(i+1, line)
	}
	c.endSection()
	return c.done()
}

// cf is what an ldirectord.cf says, while it is read.
type cf struct {
	*source
	directive *regexp.Regexp
	section   *section // the virtual that indented lines belong to
}

// section is a virtual with its indented lines.
type section struct {
	reading
	six     bool // virtual6
	ok      bool
	reals   []noted
	netmask noted
	flags   noted
}

// line reads one line: indented ones belong to the virtual before, and an empty
// one ends it.
func (c *cf) line(line int, s string) {
	s = strings.ReplaceAll(s, "\t", "    ")
	body := strings.TrimSpace(s)
	indent := len(s) - len(strings.TrimLeft(s, " "))
	switch {
	case strings.HasPrefix(body, "#"):
		return
	case body == "":
		c.endSection()
		return
	case indent > 0:
		body, _, _ = strings.Cut(body, "#")
		body = strings.TrimSpace(body)
		switch {
		case indent < 4:
			c.problem(line, fmt.Sprintf("%q is indented by %d", keyOf(body), indent), "indent it by at least 4 spaces, or not at all")
		case c.section == nil:
			c.problem(line, fmt.Sprintf("%q is indented and belongs to no virtual", keyOf(body)), "an empty line ends a virtual: is there one before it?")
		default:
			c.option(line, body)
		}
		return
	}
	c.endSection()
	c.global(line, body)
}

// keyOf is the first word of a line; what is after it may be secret.
func keyOf(s string) string {
	if i := strings.IndexAny(s, "= \""); i >= 0 {
		s = s[:i]
	}
	return tidy(s)
}

// split reads key = value.
func (c *cf) split(line int, s string) (key, value string, ok bool) {
	m := c.directive.FindStringSubmatch(s)
	if m == nil {
		return "", "", c.problem(line, fmt.Sprintf("%q is not a directive", keyOf(s)), "want key = value")
	}
	return m[1], strings.TrimSpace(m[2]), true
}

// leave lists a directive as not carried over.
func (c *cf) leave(line int, key, value, why string) {
	words := strings.Fields(value)
	if strings.HasPrefix(value, `"`) {
		words = []string{strings.Trim(value, `"`)}
	}
	switch {
	case len(words) == 0:
		c.left(line, key, why)
	case key == "login" || key == "database":
		c.left(line, key+"="+mask, why)
	default:
		c.left(line, strings.Replace(masked(append([]string{key}, words...)), " ", "=", 1), why)
	}
}

const (
	noChecks        = "no health checks in an inventory: real servers stay until it says otherwise"
	aboutLdirectord = "it is about ldirectord itself"
)

// foreign says why an inventory does not have a directive.
func foreign(key string) string {
	switch key {
	case "checktimeout", "negotiatetimeout", "checkinterval", "checkcount", "failurecount", "checktype", "checkcommand",
		"checkport", "request", "receive", "httpmethod", "virtualhost", "login", "passwd", "database", "secret", "load",
		"service", "quiescent", "readdquiescent", "maintenancedir", "monitorfile":
		return noChecks
	case "fallback", "fallback6", "fallbackcommand":
		return "no fallback servers in an inventory: they would take over when checks fail"
	case "autoreload", "callback", "logfile", "execute", "fork", "supervised", "emailalert", "emailalertfreq",
		"emailalertstatus", "emailalertfrom", "smtp", "cleanstop", "comment":
		return aboutLdirectord
	}
	return ""
}

func (c *cf) global(line int, s string) {
	key, value, ok := c.split(line, s)
	switch {
	case !ok:
	case key == "virtual" || key == "virtual6":
		c.virtual(line, key, value)
	case foreign(key) != "":
		c.leave(line, key, value, foreign(key))
	case key == "real" || key == "real6" || key == "scheduler" || key == "persistent" || key == "protocol" || key == "netmask":
		c.problem(line, key+" belongs to a virtual", "indent it by at least 4 spaces")
	default:
		c.leave(line, key, value, "ldirectord directive lvsform does not know")
	}
}

// virtual begins a section.
func (c *cf) virtual(line int, key, value string) {
	value, _, _ = strings.Cut(value, "#")
	value = strings.TrimSpace(value)
	six := key == "virtual6"
	v := &section{six: six}
	v.Line, v.Scheduler, v.Protocol = line, "wrr", inventory.TCP
	c.section = v
	if isMark(value) {
		n, ok := c.number(line, "firewall mark", value, 1, math.MaxUint32)
		v.FWMark, v.IPv6, v.Protocol, v.ok = uint32(n), six, "", ok
		return
	}
	at, ok := c.endpoint(line, "VIP", value, six)
	v.ok = ok
	v.VIP, v.Port = at.Addr(), at.Port()
	if ok && v.Port == 0 {
		v.ok = c.problem(line, fmt.Sprintf("virtual %q has no port", value), "want one such as virtual=192.0.2.30:80")
	}
	if v.Port == 53 {
		v.Protocol = inventory.UDP
	}
}

func isMark(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// endpoint reads an address with a port or, as port 0, without.
func (c *cf) endpoint(line int, noun, s string, six bool) (netip.AddrPort, bool) {
	host, portText, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		host, portText, hasPort = s[:i], s[i+1:], true
	}
	a, ok := c.host(line, noun, host, six)
	var port uint16
	if hasPort {
		var fine bool
		port, fine = c.namedPort(line, portText)
		ok = ok && fine
	}
	return netip.AddrPortFrom(a, port), ok
}

// host reads an address of the section's family; IPv6 stands in brackets.
func (c *cf) host(line int, noun, s string, six bool) (netip.Addr, bool) {
	inside, bracketed := s, false
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		inside, bracketed = s[1:len(s)-1], true
	}
	a, ok := c.address(line, noun, inside)
	switch {
	case !ok:
		return a, false
	case a.Is6() && !bracketed:
		return a, c.problem(line, fmt.Sprintf("%s %s without brackets", noun, a), fmt.Sprintf("write [%s]", a))
	case a.Is4() && (six || bracketed):
		return a, c.problem(line, fmt.Sprintf("%s %s is not an IPv6 address", noun, s), "use virtual and real for IPv4, virtual6 and real6 for IPv6")
	case a.Is6() && !six:
		return a, c.problem(line, fmt.Sprintf("%s %s is not an IPv4 address", noun, s), "use virtual and real for IPv4, virtual6 and real6 for IPv6")
	}
	return a, true
}

// option reads an indented line.
func (c *cf) option(line int, s string) {
	v := c.section
	key, value, ok := c.split(line, s)
	if !ok {
		v.ok = false
		return
	}
	fine := true
	switch key {
	case "real", "real6":
		if (key == "real6") != v.six {
			fine = c.problem(line, key+" in a virtual of the other family", "use virtual and real for IPv4, virtual6 and real6 for IPv6")
			break
		}
		v.reals = append(v.reals, noted{line, value})
	case "scheduler":
		v.Scheduler = c.scheduler(line, value, s)
	case "schedflags":
		v.flags = noted{line, value}
	case "persistent":
		v.Persistence.Timeout, fine = c.timeout(line, "persistence timeout", value, 1)
	case "netmask":
		v.netmask = noted{line, value}
	case "protocol":
		if v.FWMark != 0 {
			fine = c.oneOf(line, "protocol of a firewall mark", value, []string{"fwm"})
			break
		}
		fine = c.oneOf(line, "protocol", value, []string{"tcp", "udp"})
		v.Protocol = inventory.Protocol(value)
	case "ops":
		fine = c.oneOf(line, "ops", value, []string{"yes", "no"})
		v.OnePacket, v.onePacket = value == "yes", noted{line, s}
	case "servicename":
		if v.Name = c.plain(value); v.Name == "" {
			c.leave(line, key, value, "it is no name an inventory can have, or another service's")
		}
	case "virtual", "virtual6":
		fine = c.problem(line, key+" is indented", "it begins a section: do not indent it")
	default:
		why := foreign(key)
		if why == "" {
			why = "ldirectord directive lvsform does not know"
		}
		c.leave(line, key, value, why)
	}
	v.ok = v.ok && fine
}

// endSection makes the service of a virtual whose lines are all read.
func (c *cf) endSection() {
	v := c.section
	c.section = nil
	if v == nil {
		return
	}
	if v.flags.line > 0 {
		v.Flags = c.flags(v.Scheduler, wordsAt(v.flags.line, strings.Split(v.flags.text, ",")))
	}
	if v.netmask.line > 0 && (v.VIP.IsValid() || v.FWMark != 0) {
		v.Persistence.Bits, _ = c.netmask(v.netmask.line, v.netmask.text, &v.Service)
		v.reading.netmask = noted{v.netmask.line, "netmask=" + v.netmask.text}
	}
	for _, real := range v.reals {
		servers, ok := c.real(real, v)
		v.ok = v.ok && ok
		v.RealServers = append(v.RealServers, servers...)
		if c.full(len(v.RealServers), v.Line) {
			return
		}
	}
	if v.ok {
		c.add(v.reading)
	}
}

// real reads ADDRESS[->ADDRESS][:PORT] METHOD [WEIGHT] ["REQUEST", "RECEIVE"]
// [l:LOWER] [u:UPPER].
func (c *cf) real(at noted, v *section) ([]RealServer, bool) {
	line := at.line
	where, rest, _ := strings.Cut(at.text, " ")
	r := RealServer{Line: line, Weight: 1}
	first, end, isRange := strings.Cut(where, "->")
	if !isRange {
		end = first
	}
	last, ok := c.endpoint(line, "real server", end, v.six)
	addresses := []netip.Addr{last.Addr()}
	r.Port = last.Port()
	if isRange && ok {
		from, fine := c.host(line, "real server", first, v.six)
		if fine {
			addresses, fine = c.addresses(line, from, last.Addr())
		}
		ok = fine
	}
	rest = strings.TrimSpace(rest)
	if check, before, after := quotedPair(rest); check != "" {
		c.left(line, masked(strings.Fields(check)), noChecks)
		rest = before + " " + after
	}
	ok = c.realFlags(&r, strings.Fields(rest)) && ok
	if !ok {
		return nil, false
	}
	all := make([]RealServer, len(addresses))
	for i, a := range addresses {
		all[i] = r
		all[i].Address = a
	}
	return all, true
}

// quotedPair cuts "REQUEST", "RECEIVE" out of a real server's line.
func quotedPair(s string) (pair, before, after string) {
	i, j := strings.IndexByte(s, '"'), strings.LastIndexByte(s, '"')
	if i < 0 || i == j || strings.Count(s, `"`) < 4 {
		return "", s, ""
	}
	return s[i : j+1], s[:i], s[j+1:]
}

func (c *cf) realFlags(r *RealServer, words []string) bool {
	method := ""
	if len(words) > 0 {
		method = words[0]
		words = words[1:]
	}
	switch method {
	case "gate":
		r.Mode = inventory.ModeDR
	case "masq":
		r.Mode = inventory.ModeNAT
	case "ipip":
		r.Mode, r.Encapsulation = inventory.ModeTUN, inventory.Encapsulation{Type: "ipip"}
	default:
		return c.problem(r.Line, fmt.Sprintf("unknown forwarding method %q", method), "known: gate, masq, ipip; every real server says one")
	}
	ok := true
	for i, word := range words {
		var fine bool
		switch {
		case strings.HasPrefix(word, "l:"):
			r.LowerThreshold, fine = c.threshold(r.Line, "lower threshold", word[2:])
		case strings.HasPrefix(word, "u:"):
			r.UpperThreshold, fine = c.threshold(r.Line, "upper threshold", word[2:])
		case i == 0:
			r.Weight, fine = c.weight(r.Line, word, 0)
		default:
			fine = c.problem(r.Line, fmt.Sprintf("%q is too much", word), `want ADDRESS:PORT METHOD WEIGHT "REQUEST", "RECEIVE"`)
		}
		ok = ok && fine
	}
	return ok
}
