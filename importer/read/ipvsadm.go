package read

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// IPVSAdm reads what `ipvsadm -Sn` prints, or a script of ipvsadm commands that
// add. Options and defaults are those of ipvsadm(8) 1.31. A dump has neither
// thresholds nor timeouts: ipvsadm does not save them.
func IPVSAdm(file string, data []byte) (*Found, error) {
	d := dump{source: newSource(file), places: map[serviceKey]int{}, known: options()}
	for i, line := range d.lines(data) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if strings.HasPrefix(line, "IP Virtual Server version") {
			d.problem(i+1, "this is a list for people, which leaves settings out", "import what ipvsadm -Sn prints")
			break
		}
		d.command(i+1, line, words)
	}
	for _, s := range d.services {
		d.add(s)
	}
	return d.done()
}

// dump is a script of ipvsadm commands.
type dump struct {
	*source
	services []reading
	places   map[serviceKey]int // places in services
	known    []option
}

// command carries one line out.
func (d *dump) command(line int, raw string, words []string) {
	if name := words[0]; name == "sudo" || name == "ipvsadm" || strings.HasSuffix(name, "/ipvsadm") {
		words = words[1:]
		if len(words) > 0 && strings.HasSuffix(words[0], "ipvsadm") {
			words = words[1:]
		}
	}
	c := &call{line: line, raw: raw, options: map[string]string{}}
	if len(words) == 0 || !d.split(c, words) {
		return
	}
	switch c.command {
	case "add-service":
		d.addService(c)
	case "add-server":
		d.addServer(c)
	case "set":
		d.set(c)
	case "start-daemon":
		d.startDaemon(c)
	case "clear":
		d.services, d.places = nil, map[serviceKey]int{}
	case "zero", "list", "save":
		d.left(line, raw, "it sets nothing")
	default:
		d.problem(line, "ipvsadm --"+c.command+" changes what is there, and only what adds is read", "run the commands, and import what ipvsadm -Sn prints")
	}
}

// service reads which virtual service is meant.
func (d *dump) service(c *call) (s Service, ok bool) {
	s = Service{Line: c.line, Scheduler: defaultScheduler}
	given := 0
	if value, there := c.options["fwmark-service"]; there {
		given++
		var n uint64
		n, ok = d.number(c.line, "firewall mark", value, 1, math.MaxUint32)
		s.FWMark = uint32(n)
		_, s.IPv6 = c.options["ipv6"]
	}
	for _, protocol := range []inventory.Protocol{inventory.TCP, inventory.UDP, inventory.SCTP} {
		value, there := c.options[string(protocol)+"-service"]
		if !there {
			continue
		}
		given++
		s.Protocol = protocol
		s.VIP, s.Port, _, ok = d.endpoint(c.line, "VIP", value)
	}
	if given != 1 {
		return s, d.problem(c.line, "want exactly one virtual service", "write one of -t, -u, --sctp-service and -f")
	}
	return s, ok
}

// endpoint reads an address with or without a port. Without -n, ipvsadm prints
// names in place of both.
func (d *dump) endpoint(line int, noun, value string) (a netip.Addr, port uint16, hasPort, ok bool) {
	host, portText := value, ""
	if inside, found := strings.CutPrefix(value, "["); found {
		host, portText, found = strings.Cut(inside, "]")
		hasPort = strings.HasPrefix(portText, ":")
		if !found || !hasPort && portText != "" {
			return a, 0, false, d.problem(line, fmt.Sprintf("%s %q is not [address]:port", noun, value), "want one such as [2001:db8::7]:80")
		}
		portText = strings.TrimPrefix(portText, ":")
	} else if i := strings.LastIndexByte(value, ':'); i >= 0 && strings.Count(value, ":") == 1 {
		host, portText, hasPort = value[:i], value[i+1:], true
	}
	if isName(host) {
		ok = d.problem(line, fmt.Sprintf("%s %q is a name", noun, host), "host names are not looked up: import what ipvsadm -Sn prints, with -n")
	} else {
		a, ok = d.address(line, noun, host)
	}
	if hasPort {
		var fine bool
		port, fine = d.namedPort(line, portText)
		ok = ok && fine
	}
	return a, port, hasPort, ok
}

// isName reports whether somebody may have called a host or a port so.
func isName(s string) bool {
	return !strings.Contains(s, ":") && strings.ContainsFunc(s, func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' })
}

func (d *dump) addService(c *call) {
	if !d.only(c, "scheduler", "persistent", "netmask", "ops", "pe", "sched-flags", "ipv6") {
		return
	}
	s, ok := d.service(c)
	if !ok {
		return
	}
	at := noted{c.line, c.raw}
	r := reading{Service: s, onePacket: at, engine: at, netmask: at}
	if name, there := c.options["scheduler"]; there {
		r.Scheduler = d.scheduler(c.line, name, c.raw)
	}
	if names, there := c.options["sched-flags"]; there {
		r.Flags = d.flags(r.Scheduler, wordsAt(c.line, strings.Split(names, ",")))
	}
	p := &r.Persistence
	if value, there := c.options["persistent"]; there {
		p.Timeout = 300 // ipvsadm(8), -p without a value
		if value != "" {
			p.Timeout, _ = d.timeout(c.line, "persistence timeout", value, 1)
		}
	} else if s.Port == 0 && s.FWMark == 0 {
		d.problem(c.line, "port 0 is every port, which IPVS has in persistent services only", "write the port, or -p")
	}
	if value, there := c.options["netmask"]; there {
		p.Bits, _ = d.netmask(c.line, value, &s)
	}
	if value, there := c.options["pe"]; there && d.oneOf(c.line, "persistence engine", value, []string{"sip"}) {
		p.Engine = value
	}
	if _, r.OnePacket = c.options["ops"]; r.OnePacket && s.FWMark == 0 && s.Protocol != inventory.UDP {
		d.problem(c.line, "one packet scheduling is for udp only, and the service is "+string(s.Protocol), "leave -o out")
	}
	if first, there := d.places[s.key()]; there {
		d.problem(c.line, fmt.Sprintf("duplicate virtual service %s, first in line %d", &s, d.services[first].Line), "want each once")
		return
	}
	d.places[s.key()] = len(d.services)
	d.services = append(d.services, r)
}

func (d *dump) addServer(c *call) {
	if !d.only(c, "real-server", "gatewaying", "ipip", "masquerading", "weight", "u-threshold", "l-threshold",
		"tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum", "ipv6") {
		return
	}
	s, ok := d.service(c)
	if !ok {
		return
	}
	value, there := c.options["real-server"]
	if !there {
		d.problem(c.line, "no real server", "write -r and its address")
		return
	}
	r := RealServer{Line: c.line, Weight: 1, Mode: inventory.ModeDR}
	var hasPort, fine bool
	if r.Address, r.Port, hasPort, ok = d.endpoint(c.line, "real server", value); !hasPort {
		r.Port = s.Port
	}
	r.Mode, fine = d.forwarding(c)
	ok = ok && fine
	r.Encapsulation, fine = d.tunnel(c, r.Mode)
	ok = ok && fine
	if value, there := c.options["weight"]; there {
		r.Weight, fine = d.weight(c.line, value, 0)
		ok = ok && fine
	}
	if value, there := c.options["u-threshold"]; there {
		r.UpperThreshold, fine = d.threshold(c.line, "upper threshold", value)
		ok = ok && fine
	}
	if value, there := c.options["l-threshold"]; there {
		r.LowerThreshold, fine = d.threshold(c.line, "lower threshold", value)
		ok = ok && fine
	}
	place, known := d.places[s.key()]
	switch {
	case !known:
		d.problem(c.line, fmt.Sprintf("virtual service %s is not there", &s), "add it before its real servers, with -A")
	case ok:
		d.services[place].RealServers = append(d.services[place].RealServers, r)
	}
}

// forwarding reads the mode: -g unless said otherwise, as in ipvsadm(8).
func (d *dump) forwarding(c *call) (inventory.Mode, bool) {
	mode, given := inventory.ModeDR, 0
	for option, m := range map[string]inventory.Mode{
		"gatewaying": inventory.ModeDR, "ipip": inventory.ModeTUN, "masquerading": inventory.ModeNAT,
	} {
		if _, there := c.options[option]; there {
			mode, given = m, given+1
		}
	}
	if given > 1 {
		return mode, d.problem(c.line, "more than one forwarding method", "want one of -g, -i and -m")
	}
	return mode, true
}

func (d *dump) tunnel(c *call, mode inventory.Mode) (inventory.Encapsulation, bool) {
	u := tunnel{kind: "ipip"}
	said := 0
	for _, checksum := range []string{"nocsum", "csum", "remcsum"} {
		if _, there := c.options["tun-"+checksum]; there {
			u.checksum = checksum
			said++
		}
	}
	if said > 1 {
		return inventory.Encapsulation{}, d.problem(c.line, "more than one --tun checksum option", "want one of --tun-nocsum, --tun-csum and --tun-remcsum")
	}
	if kind, there := c.options["tun-type"]; there {
		u.kind = kind
		said++
	}
	if port, there := c.options["tun-port"]; there {
		var ok bool
		if u.port, ok = d.port(c.line, port, 1); !ok {
			return inventory.Encapsulation{}, false
		}
		said++
	}
	switch {
	case modes.TraitsOf(mode).Tunnelled:
		return d.encapsulation(c.line, c.raw, u)
	case said > 0:
		return inventory.Encapsulation{}, d.problem(c.line, "tunnel options without a tunnel", "write -i, or leave them out")
	default:
		return inventory.Encapsulation{}, true
	}
}

// set reads the three timeouts; 0 keeps what is there.
func (d *dump) set(c *call) {
	if len(c.arguments) != 3 {
		d.problem(c.line, fmt.Sprintf("--set with %d values", len(c.arguments)), "want three: tcp, tcpfin and udp, in seconds")
		return
	}
	var all inventory.Timeouts
	ok := true
	for i, to := range []*uint32{&all.TCP, &all.TCPFin, &all.UDP} {
		var fine bool
		*to, fine = d.timeout(c.line, "timeout", c.arguments[i], 0)
		ok = ok && fine
	}
	if ok {
		d.timeouts(c.line, c.raw, all)
	}
}

func (d *dump) startDaemon(c *call) {
	role := c.options["start-daemon"]
	if !d.only(c, "start-daemon", "mcast-interface", "syncid", "sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl") ||
		!d.oneOf(c.line, "sync role", role, []string{"master", "backup"}) {
		return
	}
	s := inventory.SyncDefaults()
	s.Role, s.Interface = role, "eth0" // DEF_MCAST_IFN of ipvsadm
	if name, there := c.options["mcast-interface"]; there {
		s.Interface = name
	}
	ok := d.device(c.line, s.Interface)
	for _, o := range []struct{ option, name string }{
		{"syncid", "id"}, {"sync-maxlen", "maxlen"}, {"mcast-group", "group"}, {"mcast-port", "port"}, {"mcast-ttl", "ttl"},
	} {
		if value, there := c.options[o.option]; there {
			ok = d.syncOption(c.line, &s, o.name, value) && ok
		}
	}
	if ok {
		d.addSync(c.line, s)
	}
}
