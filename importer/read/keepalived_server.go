package read

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// persistenceDefault is keepalived's, in seconds (IPVS_SVC_PERSISTENT_TIMEOUT
// in libipvs.h); ipvsadm has another.
const persistenceDefault = 360

// virtual is a virtual_server.
type virtual struct {
	reading
	method    forwarding
	flags     []noted
	mask      *statement
	weight    uint32 // of real servers that say nothing else
	servers   []server
	isGroup   bool
	marked    bool // a target is a firewall mark
	ipv6      bool // the family of those
	family    bool // it is told
	wantsPort bool // a target has none
	ok        bool
}

// forwarding is what lb_kind or lvs_method says.
type forwarding struct {
	mode          inventory.Mode // empty: not said
	encapsulation inventory.Encapsulation
}

// server is a real_server.
type server struct {
	RealServer
	method    forwarding
	hasWeight bool
}

func (c *conf) virtualServer(block *statement) {
	if !c.blockOf(block) {
		return
	}
	targets, ok := c.targetsOf(block)
	if !ok {
		return
	}
	v := &virtual{weight: 1, ok: true, isGroup: block.words[1] == "group"}
	v.Line = block.line
	v.Scheduler = defaultScheduler
	for _, at := range targets {
		v.wantsPort = v.wantsPort || at.port == 0 && at.mark == 0
		v.marked = v.marked || at.mark != 0
	}
	seen := map[string]*statement{}
	for _, st := range block.block {
		c.virtualKeyword(v, seen, st)
	}
	c.complete(v)
	for _, at := range targets {
		if c.build(v, at); c.full(0, v.Line) {
			return
		}
	}
}

// targetsOf returns what a virtual server serves: an address, or a group.
func (c *conf) targetsOf(block *statement) ([]target, bool) {
	words := block.words[1:]
	switch {
	case len(words) == 0:
		return nil, c.problem(block.line, "virtual_server without an address", "want virtual_server ADDRESS PORT {")
	case words[0] == "fwmark":
		at, ok := c.mark(block, words[1:])
		return []target{at}, ok
	case len(words) > 2:
		return nil, c.problem(block.line, fmt.Sprintf("virtual_server with %d words", len(words)), "want virtual_server ADDRESS PORT {")
	case words[0] == "group":
		if len(words) < 2 || c.groups[words[1]] == nil {
			return nil, c.problem(block.line, "virtual_server of a group that is not there", "want the name of a virtual_server_group")
		}
		g := c.groups[words[1]]
		g.used = true
		return g.targets, true
	}
	var at target
	fine := true
	address, ok := c.address(block.line, "VIP", words[0])
	at.address = address
	if len(words) > 1 {
		at.port, fine = c.port(block.line, words[1], 0)
	}
	return []target{at}, ok && fine
}

func (c *conf) virtualKeyword(v *virtual, seen map[string]*statement, st *statement) {
	word := st.keyword()
	switch word {
	case "lvs_sched":
		word = "lb_algo"
	case "lvs_method":
		word = "lb_kind"
	}
	switch word {
	case "lb_algo", "lb_kind", "persistence_timeout", "persistence_granularity", "persistence_engine", "protocol", "weight", "ops", "ip_family":
		c.once(seen, word, st)
	}
	fine := true
	switch word {
	case "lb_algo":
		if name, ok := c.value(st); ok {
			v.Scheduler = c.scheduler(st.line, name, st.flat())
		}
	case "lb_kind":
		v.method, fine = c.forwarding(st)
	case "flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback":
		c.noMore(st, 1)
		v.flags = append(v.flags, noted{st.line, word})
	case "ops":
		v.OnePacket, v.onePacket = true, noted{st.line, st.flat()}
	case "persistence_timeout":
		v.Persistence.Timeout, fine = c.persistence(st)
	case "persistence_granularity":
		v.mask = st
	case "persistence_engine":
		name, ok := c.value(st)
		fine = ok && c.oneOf(st.line, "persistence engine", name, []string{"sip"})
		v.Persistence.Engine, v.engine = name, noted{st.line, st.flat()}
	case "ip_family":
		if !v.marked {
			c.other(st, "virtual_server")
			break
		}
		name, ok := c.value(st)
		fine = ok && c.oneOf(st.line, word, name, []string{"inet", "inet6"})
		v.ipv6, v.family = name == "inet6", true
	case "protocol":
		name, ok := c.value(st)
		name = strings.ToLower(name) // proto_handler does not care either
		fine = ok && c.oneOf(st.line, "protocol", name, []string{"tcp", "udp", "sctp"})
		v.Protocol = inventory.Protocol(name)
	case "weight":
		if value, ok := c.value(st); ok {
			v.weight, fine = c.weight(st.line, value, 1)
		}
	case "real_server":
		c.realServer(v, st)
	default:
		c.other(st, "virtual_server")
	}
	v.ok = v.ok && fine
}

func (c *conf) persistence(st *statement) (uint32, bool) {
	if len(st.words) < 2 {
		c.noMore(st, 1)
		return persistenceDefault, true
	}
	value, _ := c.value(st)
	n, ok := c.timeout(st.line, "persistence timeout", value, 0)
	if ok && n == 0 {
		c.leave(st, "0 seconds are no persistence")
	}
	return n, ok
}

// forwarding reads NAT, DR or TUN type gue port 6080 csum
// (svr_forwarding_handler in check_parser.c).
func (c *conf) forwarding(st *statement) (f forwarding, ok bool) {
	if len(st.words) < 2 {
		return f, c.problem(st.line, st.keyword()+" without a value", "want NAT, DR or TUN")
	}
	switch kind := st.words[1]; kind {
	case "NAT":
		f.mode = inventory.ModeNAT
	case "DR":
		f.mode = inventory.ModeDR
	case "TUN":
		f.mode = inventory.ModeTUN
	default:
		return f, c.problem(st.line, fmt.Sprintf("unknown %s %q", st.keyword(), kind), "known: NAT, DR, TUN")
	}
	if !modes.TraitsOf(f.mode).Tunnelled {
		c.noMore(st, 2)
		return f, true
	}
	u := tunnel{kind: "ipip"}
	for words := st.words[2:]; len(words) > 0; words = words[1:] {
		switch word := words[0]; word {
		case "nocsum", "csum", "remcsum":
			u.checksum = word
			continue
		case "type", "port":
		default:
			return f, c.problem(st.line, fmt.Sprintf("unknown tunnel option %q", word), "known: type, port, nocsum, csum, remcsum")
		}
		if len(words) == 1 {
			return f, c.problem(st.line, words[0]+" without a value", "")
		}
		if words[0] == "type" {
			u.kind = words[1]
		} else if u.port, ok = c.port(st.line, words[1], 1); !ok {
			return f, false
		}
		words = words[1:]
	}
	f.encapsulation, ok = c.encapsulation(st.line, st.flat(), u)
	return f, ok
}

func (c *conf) realServer(v *virtual, block *statement) {
	words := block.words[1:]
	if len(words) == 0 || len(words) > 2 {
		v.ok = c.problem(block.line, fmt.Sprintf("real_server with %d words", len(words)), "want real_server ADDRESS PORT {")
		return
	}
	r := server{RealServer: RealServer{Line: block.line}, method: v.method}
	address, ok := c.address(block.line, "real server", words[0])
	r.Address = address
	if len(words) > 1 {
		var fine bool
		r.Port, fine = c.port(block.line, words[1], 0)
		ok = ok && fine
	}
	ok = c.blockOf(block) && ok
	seen := map[string]*statement{}
	for _, st := range block.block {
		ok = c.realKeyword(&r, seen, st) && ok
	}
	v.ok = v.ok && ok
	if ok {
		v.servers = append(v.servers, r)
	}
}

func (c *conf) realKeyword(r *server, seen map[string]*statement, st *statement) (ok bool) {
	word := st.keyword()
	switch word {
	case "weight", "lvs_method", "uthreshold", "lthreshold":
		c.once(seen, word, st)
	default:
		c.other(st, "real_server")
		return true
	}
	if word == "lvs_method" {
		r.method, ok = c.forwarding(st)
		return ok
	}
	value, ok := c.value(st)
	if !ok {
		return false
	}
	switch word {
	case "weight":
		r.Weight, ok = c.weight(st.line, value, 0)
		r.hasWeight = true
	case "uthreshold":
		r.UpperThreshold, ok = c.threshold(st.line, "upper threshold", value)
	case "lthreshold":
		r.LowerThreshold, ok = c.threshold(st.line, "lower threshold", value)
	}
	return ok
}

// complete gives a virtual server and its real servers what they do not say
// (validate_check_config in check_data.c).
func (c *conf) complete(v *virtual) {
	if v.Protocol == "" {
		v.Protocol = inventory.UDP
	}
	// A granularity and a port 0 make a service persistent.
	if v.Persistence.Timeout == 0 && (v.mask != nil || v.wantsPort) {
		v.Persistence.Timeout = persistenceDefault
	}
	// The first real server tells the family of a mark (check_parser.c).
	if !v.family && len(v.servers) > 0 {
		v.ipv6 = v.servers[0].Address.Is6()
	}
	if v.mask != nil {
		v.netmask = noted{v.mask.line, v.mask.flat()}
	}
	v.Flags = c.flags(v.Scheduler, v.flags)
	method := v.method
	if method.mode == "" {
		method.mode = inventory.ModeNAT
	}
	for i := range v.servers {
		r := &v.servers[i]
		if r.method.mode == "" {
			r.method = method
		}
		if !r.hasWeight {
			r.Weight = v.weight
		}
		r.Mode, r.Encapsulation = r.method.mode, r.method.encapsulation
	}
}

// build makes the service of one address and port.
func (c *conf) build(v *virtual, at target) {
	d := v.reading
	d.VIP, d.Port = at.address, at.port
	if at.mark != 0 {
		d.FWMark, d.IPv6, d.Protocol = at.mark, v.ipv6, "" // keepalived ignores the protocol
		if first, there := c.services[d.key()]; there && v.isGroup {
			// Groups have addresses with each protocol, and marks with all of them.
			c.left(v.Line, d.String(), c.ref(first, v.Line)+" has a virtual server of the mark already")
			return
		}
	}
	if v.mask != nil {
		if d.Persistence.Bits = c.granularity(v.mask, &d.Service); d.Persistence.Bits == 0 {
			return
		}
	}
	if !v.ok || c.full(len(v.servers), v.Line) {
		return
	}
	d.RealServers = nil
	first := map[netip.AddrPort]int{} // the line of each
	for _, r := range v.servers {
		// Not in groups: ipvs_group_cmd takes the real server's own port.
		if r.Port == 0 && !v.isGroup {
			r.Port = at.port
		}
		to := netip.AddrPortFrom(r.Address, r.Port)
		if line, there := first[to]; there {
			c.left(r.Line, "real_server "+to.String(), c.ref(line, r.Line)+" has the real server already; keepalived takes the first only")
			continue
		}
		first[to] = r.Line
		d.RealServers = append(d.RealServers, r.RealServer)
	}
	c.add(d)
}

// granularity reads a netmask for IPv4, a prefix length for IPv6; 0 is neither.
func (c *conf) granularity(st *statement, of *Service) int {
	value, ok := c.value(st)
	if !ok {
		return 0
	}
	bits, _ := c.netmask(st.line, value, of)
	return bits
}
