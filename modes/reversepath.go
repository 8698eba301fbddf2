package modes

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// The kernel's reverse path filter (fib_validate_source in fib_frontend.c)
// drops a packet where the route back to its source does not lead to the device
// on which it came in, if rp_filter is 1, and where there is no route back at
// all, if it is 1 or 2. The larger of the device's setting and that of all
// counts. IPv6 has no such filter.

// wayBack is a host's own route to the source of a packet, where it does not
// lead to the device on which the packet came in.
type wayBack struct {
	Arrival
	at *inventory.Host
	by string // the device to which the route leads; empty: there is no route
}

// wayBack is about the packet where it is now; nil: it begins here, or its way
// back is the device on which it came in.
func (w *walker) wayBack() *wayBack {
	source := w.source.Address
	if w.outer != nil {
		source = w.outer.Source
	}
	if w.over() || w.device == "" || !source.Is4() {
		return nil
	}
	n, _ := w.nextHop(source)
	if n.device == w.device {
		return nil
	}
	return &wayBack{Arrival{w.device, source}, w.at, n.device}
}

// comesIn notes what lets the packet in on the device where it is now.
func (w *walker) comesIn() {
	b := w.wayBack()
	if b == nil {
		return
	}
	w.odd = append(w.odd, *b)
	what := fmt.Sprintf("lets it in although its way back is not %s", b.Device)
	if b.by == "" {
		what = "lets it in although it has no way back"
	}
	w.byIfSet(b.at, what, b.setting())
}

// setting is the value of the device's filter with which the packet comes in
// whatever that of all is, as far as the kernel has one.
func (b wayBack) setting() state.Item {
	if b.by == "" {
		return filterSetting(b.Device, "0")
	}
	return filterSetting(b.Device, "2")
}

func filterSetting(device, value string) state.Sysctl {
	return state.Sysctl{Name: state.ConfSysctl("ipv4", device, "rp_filter"), Setting: value}
}

// filterOff are the settings with which nothing is filtered on the device.
func filterOff(device string) []state.Item {
	return []state.Item{filterSetting(device, "0"), filterSetting("all", "0")}
}

// want is what the host must have to let the packet in. It is met by less, too.
// Where there is no way back at all, a route may be what is missing: that is
// for the user to decide.
func (b wayBack) want(role inventory.Role) Want {
	w := Want{Item: b.setting(), Role: role, MetBy: [][]state.Item{filterOff(b.Device)}}
	if b.by == "" {
		w.Checked = &b.Arrival
		w.Reason = Reason{ReasonReversePath, fmt.Sprintf("lets packets from %s in, to which it has no route", b.Source)}
		return w
	}
	w.MetBy = append(w.MetBy, []state.Item{filterSetting("all", "2")})
	w.Reason = Reason{ReasonReversePath, fmt.Sprintf("lets packets from %s in, whose way back is %s", b.Source, b.by)}
	return w
}

// filterNeed is what a device has to let in.
type filterNeed struct {
	wayBack // of several with one way to let them in, the first
	role    inventory.Role
	serves  []string
}

// filterPlace is what there is one need for: a device, which one setting makes
// let in all whose way back is another; and every source without a way back,
// because the host may have a route to the one and not to the other.
type filterPlace struct {
	host, device string
	source       netip.Addr // the zero value: those with a way back
}

func (b wayBack) place() filterPlace {
	p := filterPlace{host: b.at.Name, device: b.Device}
	if b.by == "" {
		p.source = b.Source
	}
	return p
}

func (p filterPlace) compare(q filterPlace) int {
	return cmp.Or(cmp.Compare(p.host, q.host), cmp.Compare(p.device, q.device), p.source.Compare(q.source))
}

// reversePaths sends a packet from every client through every director to every
// real server and back, and adds what the hosts on its way need to let it in.
func (d *draft) reversePaths(services []*service) {
	needs := map[filterPlace]*filterNeed{}
	known := knownOf(d.inv, d.wants)
	walked := map[path][]wayBack{}
	for _, s := range services {
		clients := s.clients()
		for _, l := range s.legs() {
			for _, c := range clients {
				p := l.path(c)
				odd, done := walked[p]
				if !done {
					w := &walker{leg: l, client: c, known: known}
					w.walk()
					if w.lost == "" || l.director == l.Directors[0] { // routers may know but that one
						odd = w.odd
					}
					walked[p] = odd
				}
				for _, b := range odd {
					at := b.place()
					if needs[at] == nil {
						needs[at] = &filterNeed{wayBack: b, role: l.roleOf(b.at)}
					}
					needs[at].add(b, l)
				}
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(needs), filterPlace.compare) {
		n := needs[at]
		slices.Sort(n.serves)
		serves := slices.Compact(n.serves)
		w := n.want(n.role)
		if w.Checked != nil {
			d.check(n.at, serves, w)
			continue
		}
		for _, what := range serves {
			d.add(n.at, n.at.Path, what, []Want{w})
		}
	}
}

// check adds a want that is only checked. Nothing is set for it: it agrees with
// whatever else is wanted of the same item. What serves it serves the others,
// too, or lvsform would undo what it tells the user to do.
func (d *draft) check(h *inventory.Host, serves []string, w Want) {
	for i, other := range d.wants[h.Name] {
		if state.IDOf(other.Item) != state.IDOf(w.Item) {
			continue
		}
		for _, all := range w.MetBy {
			if !slices.ContainsFunc(other.MetBy, func(m []state.Item) bool { return slices.Equal(m, all) }) {
				d.wants[h.Name][i].MetBy = append(d.wants[h.Name][i].MetBy, all)
			}
		}
	}
	w.For = serves
	d.wants[h.Name] = append(d.wants[h.Name], w)
}

// add counts in what comes in there on the way of a leg.
func (n *filterNeed) add(b wayBack, l leg) {
	if role := l.roleOf(b.at); role != n.role {
		n.role = "" // for more than one: before all of them
	}
	n.serves = append(n.serves, l.Name+"/"+l.server.Host.Name)
	if cmp.Or(b.Source.Compare(n.Source), cmp.Compare(b.by, n.by)) < 0 {
		n.wayBack = b
	}
}

// roleOf is what a host is for the leg; empty: a host on the way.
func (l leg) roleOf(h *inventory.Host) inventory.Role {
	switch h {
	case l.server.Host:
		return inventory.RoleRealServer
	case l.director:
		return inventory.RoleDirector
	default:
		return ""
	}
}

// path is all that the way of a packet depends on: services that differ in
// nothing of it have the same.
type path struct {
	client, director, server *inventory.Host
	entry, vip, rip, local   netip.Addr
	mode                     inventory.Mode
	tunnel                   inventory.Encapsulation
	answers                  bool // there is a way back
}

func (l leg) path(c *inventory.Host) path {
	p := path{
		client: c, director: l.director, server: l.server.Host,
		entry: l.entry(c).Addr(), vip: l.VIP, rip: l.rip(), mode: l.server.Mode, tunnel: l.encapsulation(), answers: l.Answers(),
	}
	if len(l.LocalAddresses) != 0 {
		p.local = l.LocalAddresses[0]
	}
	return p
}

// known is what hosts have and must have, so that it is found quickly.
type known struct {
	nics      map[netip.Addr]nicOf // every address is on one
	items     map[string]map[state.Item]bool
	routes    map[string][]state.Route
	addresses map[string]map[netip.Addr]bool
	peers     map[string][]state.Address
}

// nicOf is a NIC and its host.
type nicOf struct {
	host *inventory.Host
	nic  *inventory.NIC
}

func knownOf(inv *inventory.Inventory, desired Desired) *known {
	k := &known{
		nics:      map[netip.Addr]nicOf{},
		items:     map[string]map[state.Item]bool{},
		routes:    map[string][]state.Route{},
		addresses: map[string]map[netip.Addr]bool{},
		peers:     map[string][]state.Address{},
	}
	for _, h := range inv.Hosts {
		for _, n := range h.NICs {
			for _, p := range n.Addresses {
				k.nics[p.Addr()] = nicOf{h, n}
			}
		}
	}
	for host, wants := range desired {
		k.items[host] = make(map[state.Item]bool, len(wants))
		k.addresses[host] = map[netip.Addr]bool{}
		for _, w := range wants {
			k.items[host][w.Item] = true
			switch i := w.Item.(type) {
			case state.Route:
				k.routes[host] = append(k.routes[host], i)
			case state.Address:
				k.addresses[host][i.Prefix.Addr()] = true
				if i.Peer.IsValid() {
					k.peers[host] = append(k.peers[host], i)
				}
			}
		}
	}
	return k
}
