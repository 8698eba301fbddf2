package importer

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// LiveHost is a host that was looked at.
type LiveHost struct {
	Name  string // of one label
	SSH   inventory.SSH
	State state.Host // with the settings that Asked names
}

// Asked lists the settings that an import needs to know of a host with such a
// state. They are read only when named.
func Asked(host state.Host) []state.ID {
	setting := func(name string) state.ID { return state.IDOf(state.Sysctl{Name: name}) }
	out := []state.ID{setting("net.ipv4.ip_forward")}
	devices := []string{"all"}
	for _, l := range state.Of[state.Link](host) {
		devices = append(devices, l.Name)
	}
	for _, device := range devices {
		for _, name := range []string{"arp_announce", "arp_ignore", "rp_filter", "send_redirects"} {
			out = append(out, setting(state.ConfSysctl("ipv4", device, name)))
		}
		for _, name := range []string{"accept_redirects", "forwarding"} {
			out = append(out, setting(state.ConfSysctl("ipv6", device, name)))
		}
	}
	if len(state.Of[state.Timeouts](host)) != 0 { // ip_vs is loaded
		for _, s := range vsSettings() {
			out = append(out, setting("net.ipv4.vs."+s.name))
		}
	}
	return out
}

// Live makes an inventory of hosts as they are: one whose plan is empty,
// wherever an inventory can say what they have.
func Live(hosts []LiveHost, hints Hints) (*Result, error) {
	l := &live{sketch: newSketch(hints.Topology), hints: hints, why: map[foundItem]string{}}
	for _, h := range hosts {
		l.hosts = append(l.hosts, &liveHost{LiveHost: h})
	}
	l.findServices()
	l.findNICs()
	l.findRoutes()
	l.addGateways()
	l.addDirectors()
	l.addServices()
	l.addTunnels()
	l.addClients()
	l.addOwnRoutes()
	l.shareSSH()
	l.nameTopology()
	if len(l.inv.Hosts) == 0 {
		return nil, fmt.Errorf("no host has an address in a network: there is nothing an inventory could be made of")
	}
	// What differs is known only when there is an inventory.
	r, err := l.finish(hints)
	if err != nil || len(r.Problems) != 0 {
		return r, err
	}
	l.compare(r)
	if len(l.left) == len(r.Left) {
		return r, nil
	}
	pending := r.Pending
	if r, err = l.finish(hints); err == nil {
		r.Pending = pending
	}
	return r, err
}

// live is the import of live hosts.
type live struct {
	*sketch
	hints    Hints
	hosts    []*liveHost
	services []*liveService
	why      map[foundItem]string // items that are left for a reason of their own
}

// liveHost is a host with what it became in the inventory, nil where it became
// nothing.
type liveHost struct {
	LiveHost
	inv *inventory.Host
}

// foundItem is an item on a host.
type foundItem struct {
	host string
	id   state.ID
}

// skip notes why an item is not carried over.
func (l *live) skip(h *liveHost, i state.Item, why string, args ...any) {
	key := foundItem{h.Name, state.IDOf(i)}
	if l.why[key] == "" {
		l.why[key] = fmt.Sprintf(why, args...)
		l.leave(0, h.Name+": "+state.Text(i), "%s", l.why[key])
	}
}

// of is the host that was looked at and became the inventory's, or nil.
func (l *live) of(h *inventory.Host) *liveHost {
	for _, x := range l.hosts {
		if x.inv == h {
			return x
		}
	}
	return nil
}

func (h *liveHost) setting(name string) string {
	s, _ := h.State[state.IDOf(state.Sysctl{Name: name})].(state.Sysctl)
	return s.Setting
}

// forwards reports whether the host passes packets of a family on.
func (h *liveHost) forwards(is6 bool) bool {
	if is6 {
		return h.setting(state.ConfSysctl("ipv6", "all", "forwarding")) == "1"
	}
	return h.setting("net.ipv4.ip_forward") == "1"
}

// rules are lvsform's own of one chain, the only ones that are observed.
func (h *liveHost) rules(table, chain string) []state.FirewallRule {
	var out []state.FirewallRule
	for _, r := range state.Of[state.FirewallRule](h.State) {
		if r.Table == table && r.Chain == chain {
			out = append(out, r)
		}
	}
	return out
}

// facts are the devices of all hosts.
func (l *live) facts() modes.Facts {
	out := modes.Facts{}
	for _, h := range l.hosts {
		out[h.Name] = map[string]state.Link{}
		for _, link := range state.Of[state.Link](h.State) {
			out[h.Name][link.Name] = link
		}
	}
	return out
}

// lacks lists the wants that the hosts do not meet. Modules count as there:
// they are not observed unless named, and harm nobody.
func (l *live) lacks(wants modes.Desired, concerns func(modes.Want) bool) (missing []Note, wanted int) {
	for _, h := range l.hosts {
		for _, w := range wants[h.Name] {
			if _, module := w.Item.(state.Module); module || !concerns(w) {
				continue
			}
			wanted++
			if !w.Met(h.State) {
				missing = append(missing, Note{h.Name + ": " + state.Text(w.Item), w.Reason.Text})
			}
		}
	}
	return missing, wanted
}

// compare tells what a plan would change, and what is there that the
// inventory does not have.
func (l *live) compare(r *Result) {
	desired := modes.Desire(r.Inventory, l.facts())
	r.Pending, _ = l.lacks(desired, func(modes.Want) bool { return true })
	for _, h := range l.hosts {
		known := map[state.ID]bool{}
		for _, w := range desired[h.Name] {
			known[state.IDOf(w.Item)] = true
		}
		for _, i := range h.State.Items() {
			if !known[state.IDOf(i)] {
				l.sweep(h, i)
			}
		}
	}
}

// sweep leaves an item that the inventory neither wants nor takes as a fact.
func (l *live) sweep(h *liveHost, i state.Item) {
	if i.Kind().Traits().ComesByItself {
		return
	}
	switch i := i.(type) {
	case state.Neighbour:
		if l.owner(i.Address) != nil {
			l.skip(h, i, "nothing in the inventory asks for it")
		}
	case state.Address:
		a := i.Prefix.Addr()
		if h.inv == nil || h.inv.NICWith(a) == nil && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			l.skip(h, i, "nothing in the inventory asks for it")
		}
	case state.Route:
		if h.inv == nil || !isFact(h.inv, i) {
			l.skip(h, i, "it leads to nothing of the topology")
		}
	default:
		l.skip(h, i, "nothing in the inventory asks for it")
	}
}

// isFact reports whether the inventory has a route among the host's facts.
func isFact(h *inventory.Host, r state.Route) bool {
	return slices.Contains(h.Gateways, r.Via) && r.To.Bits() == 0 ||
		slices.ContainsFunc(h.Routes, func(f *inventory.Route) bool { return f.To == r.To && f.Via == r.Via })
}

// shareSSH reaches hosts that were not looked at as the others are reached.
func (l *live) shareSSH() {
	var known []*inventory.Host
	for _, h := range l.hosts {
		if h.inv != nil {
			h.inv.SSH = h.SSH
			known = append(known, h.inv)
		}
	}
	for _, h := range l.inv.Hosts {
		if !slices.Contains(known, h) {
			h.SSH = commonSSH(known)
		}
	}
}

func (l *live) nameTopology() {
	if l.inv.Name != "" {
		return
	}
	for _, role := range []inventory.Role{inventory.RoleDirector, ""} {
		for _, h := range l.inv.Hosts {
			if l.inv.Name == "" && (role == "" || h.Has(role)) {
				l.inv.Name = h.Name
			}
		}
	}
}

// addClients gives a role to hosts that have none. They are clients, as far as
// the hosts are set up for them; the rest are real servers of nothing, which
// asks for nothing.
func (l *live) addClients() {
	var idle []*inventory.Host
	for _, h := range l.inv.Hosts {
		if len(h.Roles) == 0 {
			h.Roles = []inventory.Role{inventory.RoleClient}
			idle = append(idle, h)
		}
	}
	if l.chooseWays(); l.lackingAll() == 0 || len(idle) == 0 {
		return
	}
	for _, h := range idle {
		h.Roles = []inventory.Role{inventory.RoleRealServer}
	}
	l.chooseWays()
	best := l.lackingAll()
	for _, h := range idle {
		h.Roles = []inventory.Role{inventory.RoleClient}
		l.chooseWays()
		if now := l.lackingAll(); now <= best {
			best = now
			continue
		}
		h.Roles = []inventory.Role{inventory.RoleRealServer}
	}
	l.chooseWays()
}

// lackingAll counts what hosts lack of the whole inventory; broken rules weigh
// more than anything.
func (l *live) lackingAll() int {
	inv := *l.inv
	if problems := modes.Check(&inv); len(problems) != 0 {
		return math.MaxInt32 * len(problems)
	}
	lacks, _ := l.lacks(modes.Desire(&inv, l.facts()), func(modes.Want) bool { return true })
	return len(lacks)
}

// usable reports whether a host of an inventory can have the address.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() &&
		(a.Is4() || !a.IsLinkLocalUnicast())
}
