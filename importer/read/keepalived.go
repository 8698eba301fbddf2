package read

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
)

// Keepalived reads a keepalived.conf(5). Defaults are those of keepalived 2.3
// (check_data.c, check_parser.c): NAT, weight 1, scheduler wlc, persistence for
// 360 seconds where no time is given, and UDP where there is no protocol. Files
// that it includes are read in their place.
func Keepalived(file string, data []byte, around Around) (*Found, error) {
	c := &conf{
		source: newSource(file), foreign: foreignKeywords(),
		groups: map[string]*group{}, instances: map[string]*instance{}, vips: map[netip.Addr]int{},
	}
	all := c.statements(data, around)
	// Definitions that others refer to stand in any order.
	for _, st := range all {
		switch st.keyword() {
		case "global_defs":
			c.globals(st)
		case "virtual_server_group":
			c.group(st)
		}
	}
	for _, st := range all {
		switch st.keyword() {
		case "global_defs", "virtual_server_group":
		case "vrrp_instance":
			c.instance(st)
		case "virtual_server":
			c.virtualServer(st)
		default:
			c.other(st, "the file")
		}
	}
	c.syncDaemons()
	c.unusedGroups()
	return c.done()
}

// conf is what a keepalived.conf says, while it is read.
type conf struct {
	*source
	foreign   map[string]string // keywords that no inventory has, with the reason
	device    string            // default_interface
	groups    map[string]*group
	order     []*group
	targets   int // of all groups
	instances map[string]*instance
	vips      map[netip.Addr]int // the line of each
	syncs     []syncLine
}

// syncLine is a line that asks for sync daemons: lvs_sync_daemon, or
// lvs_sync_daemon_interface in an instance.
type syncLine struct {
	*statement
	in *instance // nil: it stands in global_defs
}

// leave lists a statement with its block as not carried over.
func (c *conf) leave(st *statement, why string) { c.left(st.line, st.flat(), why) }

// other takes a statement that its block has no use for.
func (c *conf) other(st *statement, where string) {
	word := st.keyword()
	why, known := c.foreign[word]
	switch {
	case known:
		c.leave(st, why)
	case !st.opened:
		c.leave(st, "keepalived keyword lvsform does not know")
	case word == "vrrp_instance" || word == "virtual_server" || word == "virtual_server_group" || word == "global_defs" || word == "real_server":
		c.problem(st.line, fmt.Sprintf("%s in %s", word, where), "is a } missing before it, or too early?")
	case word != "{": // reported there
		c.problem(st.line, fmt.Sprintf("unknown block %q in %s", word, where), "want those of keepalived.conf(5)")
	}
}

// value returns the one value of a keyword.
func (c *conf) value(st *statement) (string, bool) {
	if len(st.words) < 2 {
		return "", c.problem(st.line, st.keyword()+" without a value", "")
	}
	c.noMore(st, 2)
	return st.words[1], true
}

// noMore lists words that keepalived does not read.
func (c *conf) noMore(st *statement, words int) {
	if len(st.words) > words {
		c.leave(st, fmt.Sprintf("keepalived does not read what follows %q", st.words[words-1]))
	}
	if st.opened {
		c.problem(st.line, st.keyword()+" has no block", "leave the braces out")
	}
}

// once lists what a later line of the same block replaces.
func (c *conf) once(seen map[string]*statement, keyword string, st *statement) {
	if first := seen[keyword]; first != nil {
		c.leave(first, c.ref(st.line, first.line)+" says it again, and counts")
	}
	seen[keyword] = st
}

// blockOf reports a keyword whose block is not there.
func (c *conf) blockOf(st *statement) bool {
	return st.opened || c.problem(st.line, "the block of "+st.keyword()+" is missing", "want { after it")
}

func (c *conf) globals(block *statement) {
	if !c.blockOf(block) {
		return
	}
	seen := map[string]*statement{}
	for _, st := range block.block {
		switch word := st.keyword(); word {
		case "router_id", "lvs_id": // lvs_id until keepalived 1.1
			c.once(seen, "router_id", st)
			if name, ok := c.value(st); ok {
				c.found.Director.Name = tidy(name)
			}
		case "default_interface":
			c.once(seen, word, st)
			if name, ok := c.value(st); ok && c.source.device(st.line, name) {
				c.device = name
			}
		case "lvs_timeouts":
			c.once(seen, word, st)
			c.lvsTimeouts(st)
		case "lvs_sync_daemon":
			c.syncs = append(c.syncs, syncLine{st, nil})
		default:
			c.other(st, "global_defs")
		}
	}
}

// lvsTimeouts reads lvs_timeouts tcp 900 tcpfin 120 udp 300; those that are not
// there are left as they are.
func (c *conf) lvsTimeouts(st *statement) {
	var all inventory.Timeouts
	names := map[string]*uint32{"tcp": &all.TCP, "tcpfin": &all.TCPFin, "udp": &all.UDP}
	ok := c.pairs(st, 1, func(name, value string) bool {
		to := names[name]
		if to == nil {
			return c.problem(st.line, fmt.Sprintf("unknown timeout %q", name), "known: tcp, tcpfin, udp")
		}
		n, fine := c.timeout(st.line, "timeout", value, 0)
		*to = n
		return fine
	})
	if ok {
		c.timeouts(st.line, st.flat(), all)
	}
}

// pairs reads names with their values from a place in the statement on.
func (c *conf) pairs(st *statement, from int, read func(name, value string) bool) bool {
	words := st.words[min(from, len(st.words)):]
	ok := true
	for ; len(words) > 0; words = words[min(2, len(words)):] {
		if len(words) == 1 {
			return c.problem(st.line, fmt.Sprintf("%s without a value", words[0]), "")
		}
		ok = read(words[0], words[1]) && ok
	}
	return ok
}

// syncDaemons reads the first line that asks for sync daemons, wherever it
// stands: keepalived reads no other.
func (c *conf) syncDaemons() {
	slices.SortStableFunc(c.syncs, func(a, b syncLine) int { return cmp.Compare(a.line, b.line) })
	for i, sync := range c.syncs {
		switch {
		case i > 0:
			c.leave(sync.statement, c.ref(c.syncs[0].line, sync.line)+" asks for sync daemons already; keepalived reads the first only")
		case sync.in != nil:
			c.instanceSync(sync)
		default:
			c.syncDaemon(sync.statement)
		}
	}
}

// instanceSync reads lvs_sync_daemon_interface: a daemon that follows its
// instance. Its id is 0, not the VRID (vrrp_complete_init in vrrp.c).
func (c *conf) instanceSync(st syncLine) {
	d := inventory.SyncDefaults()
	name, ok := c.value(st.statement)
	if !ok || !c.source.device(st.line, name) {
		return
	}
	d.Interface, d.Role = name, st.in.role()
	c.leave(st.statement, foreverRole(d.Role))
	c.addSync(st.line, d)
}

// foreverRole is why a daemon does not follow an instance.
func foreverRole(role string) string {
	return fmt.Sprintf("no VRRP in an inventory: the daemon is a %s for good", role)
}

// syncDaemon reads lvs_sync_daemon. Both daemons run, unless they follow an
// instance; then the one of its first state is carried over.
func (c *conf) syncDaemon(st *statement) {
	if len(st.words) < 2 {
		c.problem(st.line, "lvs_sync_daemon without an interface", "want one such as eth0")
		return
	}
	d := inventory.SyncDefaults()
	d.Interface = st.words[1]
	ok := c.source.device(st.line, d.Interface)
	from, name, hasID := 2, "", false
	old := func(word string) bool {
		switch word {
		case "inst", "id", "maxlen", "port", "ttl", "group":
			return false
		}
		return true
	}
	// lvs_sync_daemon eth0 VI_1 51, without inst and id, is of keepalived 1.2.
	if len(st.words) > 2 && old(st.words[2]) {
		from, name = 3, st.words[2]
		if len(st.words) > 3 && old(st.words[3]) {
			from, hasID = 4, true
			ok = c.syncOption(st.line, &d, "id", st.words[3]) && ok
		}
	}
	ok = c.pairs(st, from, func(option, value string) bool {
		switch {
		case option == "inst":
			name = value
			return true
		case old(option):
			return c.problem(st.line, fmt.Sprintf("unknown option %q of lvs_sync_daemon", option), "known: inst, id, maxlen, port, ttl, group")
		}
		hasID = hasID || option == "id"
		return c.syncOption(st.line, &d, option, value)
	}) && ok
	roles := []string{"master", "backup"}
	if name != "" {
		in := c.instances[name]
		if in == nil {
			c.problem(st.line, fmt.Sprintf("lvs_sync_daemon follows vrrp_instance %q, which is not there", name), "want the name of one")
			return
		}
		if !hasID {
			d.ID = in.routerID // keepalived.conf(5): the default is the VRID
		}
		roles = []string{in.role()}
		c.leave(st, foreverRole(roles[0]))
	}
	for _, d.Role = range roles {
		ok = ok && c.addSync(st.line, d)
	}
}
