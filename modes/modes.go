// Package modes knows the rules of every forwarding mode. From an inventory it
// computes what each host must look like, and why, and it refuses topologies
// in which packets could not arrive. It is pure: values in, values out.
//
// Each mode has a file of its own with the same parts in the same order: what
// it demands of the topology, what each role must look like, and how a packet
// walks. What does not depend on the mode is in service.go, gateway.go,
// tunnel.go, ipvs.go and walk.go.
package modes

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Want is one item a host must have, and why.
type Want struct {
	Item   state.Item
	Role   inventory.Role // for which role of the host; empty: for the host itself
	Reason Reason         // why, for the plan
	// For names the services the item is for, or, as service/host, the real
	// servers of services; sorted. Empty: the host itself, or a tunnel.
	For []string
	// MetBy lists what serves as well: when the host has all items of any of
	// the lists, the want is met and nothing is changed. The kernel uses the
	// larger of net.ipv4.conf.all.arp_ignore and the device's own, for one.
	MetBy [][]state.Item
	// Checked is set for a reverse path filter that lvsform does not set: a plan
	// refuses a host that does not meet the want, and says what to do there.
	Checked *Arrival
}

// Arrival is a packet that comes in on a device of a host.
type Arrival struct {
	Device string
	Source netip.Addr // of the outermost header
}

// Served reports whether a host has what serves as well as the item.
func (w Want) Served(host state.Host) bool {
	return slices.ContainsFunc(w.MetBy, func(all []state.Item) bool {
		return !slices.ContainsFunc(all, func(i state.Item) bool { return !host.Has(i) })
	})
}

// Met reports whether a host has the item, or what serves as well. A filter
// that is only checked needs more than the device's own setting.
func (w Want) Met(host state.Host) bool {
	return w.Checked == nil && host.Has(w.Item) || w.Served(host)
}

// Desired is what every host of a topology must have, by host name. Hosts that
// need nothing are there with an empty list.
type Desired map[string][]Want

// Facts are the network devices that were observed, by host and device name.
// Without them what depends on a MAC address or an MTU is not computed, or
// computed for an MTU of 1500.
type Facts map[string]map[string]state.Link

// leg is the way from a service's director to one of its real servers.
type leg struct {
	*service
	director *inventory.Host
	server   *inventory.RealServer
}

// mode is what a forwarding mode is made of.
type mode struct {
	traits Traits
	// demands returns what stands in the way of packets, as the inventory
	// tells it.
	demands func(leg) inventory.Problems
	// director and realServer return what that role must have for the leg.
	director   func(leg) []Want
	realServer func(leg) []Want
	// walk takes a request that the director's IPVS has taken in on to the real
	// server, and the reply to the client.
	walk func(*walker)
}

func modeOf(m inventory.Mode) mode {
	switch m {
	case inventory.ModeNAT:
		return nat()
	case inventory.ModeDR:
		return dr()
	case inventory.ModeTUN:
		return tun()
	case inventory.ModeFullNAT:
		return fullnat()
	default:
		return unknown()
	}
}

// unknown stands for a mode the inventory accepts and this package has no file
// for, which is a bug: it lets nothing pass.
func unknown() mode {
	none := func(leg) []Want { return nil }
	return mode{
		demands: func(l leg) inventory.Problems {
			return inventory.Problems{l.problem(l.server.Path, "", "lvsform has no rules for mode %s; this is a bug", l.server.Mode)}
		},
		director:   none,
		realServer: none,
		walk:       func(*walker) {},
	}
}

// Check returns every static rule the inventory breaks: those of hosts and
// tunnels, then those of the services in their order.
func Check(inv *inventory.Inventory) inventory.Problems {
	var out inventory.Problems
	for _, t := range inv.Tunnels {
		out = append(out, tunnelDemands(inv, t)...)
	}
	for _, h := range inv.Hosts {
		out = append(out, ipvsDemands(inv, h)...)
	}
	for _, s := range services(inv, nil) {
		out = append(out, s.demands()...)
		for _, l := range s.legs() {
			out = append(out, l.mode().demands(l)...)
		}
	}
	if len(out) != 0 {
		return each(out)
	}
	_, conflicts := desire(inv, nil)
	return conflicts
}

// each are the problems, each once: two directors may have the same.
func each(problems inventory.Problems) inventory.Problems {
	told := map[inventory.Problem]bool{}
	return slices.DeleteFunc(problems, func(p inventory.Problem) bool {
		again := told[p]
		told[p] = true
		return again
	})
}

// Desire computes what every host must have. The inventory must pass Check.
func Desire(inv *inventory.Inventory, facts Facts) Desired {
	d, _ := desire(inv, facts)
	return d
}

func desire(inv *inventory.Inventory, facts Facts) (Desired, inventory.Problems) {
	d := &draft{inv: inv, wants: Desired{}, seen: map[string]map[state.ID]first{}}
	for _, h := range inv.Hosts {
		d.wants[h.Name] = nil
		d.seen[h.Name] = map[state.ID]first{}
		d.add(h, h.Path, "", nicAddresses(h))
		d.add(h, h.Path, "", gateway(h))
		d.add(h, h.Path, "", ipvsSettings(h, facts))
	}
	for _, t := range inv.Tunnels {
		for _, e := range t.Ends {
			d.add(e.Host, e.Path, "", tunnelEnd(t, e))
		}
	}
	all := services(inv, facts)
	for _, s := range all {
		for i, h := range s.Directors {
			d.add(h, s.Path, s.Name, s.virtualService())
			d.add(h, s.Path, s.Name, s.marks())
			if i == 0 {
				d.add(h, s.Path, s.Name, s.directorVIP(h))
			}
		}
		for _, l := range s.legs() {
			m := l.mode()
			to := s.Name + "/" + l.server.Host.Name
			d.add(l.director, l.server.Path, to, m.director(l))
			d.add(l.server.Host, l.server.Path, to, m.realServer(l))
		}
		for _, h := range inv.Hosts {
			d.add(h, s.Path, s.Name, s.staticNeighbour(h))
		}
	}
	if len(d.conflicts) == 0 {
		d.reversePaths(all)
	}
	return d.wants, d.conflicts
}

// draft is a Desired while it is put together.
type draft struct {
	inv       *inventory.Inventory
	wants     Desired
	seen      map[string]map[state.ID]first // by host
	conflicts inventory.Problems
}

// first is the first to want an item.
type first struct {
	item  state.Item
	path  string // YAML path
	index int    // among the host's wants
}

// serve notes what else an item is for.
func (w *Want) serve(what string) {
	if at, there := slices.BinarySearch(w.For, what); what != "" && !there {
		w.For = slices.Insert(w.For, at, what)
	}
}

// add merges wants into a host's, for what the third argument names: see
// Want.For. Of several for one item the first stays; two that want different
// values of one thing are a conflict.
func (d *draft) add(h *inventory.Host, path, serves string, wants []Want) {
	seen := d.seen[h.Name]
	for _, w := range wants {
		id := state.IDOf(w.Item)
		before, there := seen[id]
		switch {
		case there && before.item == w.Item:
			// What the host itself wants it wants without the services, too.
			if want := &d.wants[h.Name][before.index]; len(want.For) != 0 {
				want.serve(serves)
			}
		case !there:
			if twin := d.twin(h, w.Item); twin != "" {
				d.conflicts = append(d.conflicts, d.inv.Problem(path,
					fmt.Sprintf("wants %s on %s, and %s wants one of the same type between the same addresses there; the kernel takes one such", state.Text(w.Item), h.Name, twin),
					"use one tunnel for both, or other addresses"))
				continue
			}
			seen[id] = first{w.Item, path, len(d.wants[h.Name])}
			w.serve(serves)
			d.wants[h.Name] = append(d.wants[h.Name], w)
		default:
			d.conflicts = append(d.conflicts, d.inv.Problem(path,
				fmt.Sprintf("wants %s on %s, and %s wants %s there", state.Text(w.Item), h.Name, before.path, state.Text(before.item)),
				"make the two agree, or use different hosts"))
		}
	}
}

// twin is the YAML path of what wants a tunnel on the host that would take the
// packets of this one; empty: nothing does.
func (d *draft) twin(h *inventory.Host, i state.Item) string {
	t, ok := i.(state.TunnelLink)
	if !ok {
		return ""
	}
	for _, w := range d.wants[h.Name] {
		if other, ok := w.Item.(state.TunnelLink); ok && other.SameEnds(t) {
			return d.seen[h.Name][state.IDOf(other)].path
		}
	}
	return ""
}

// nicAddresses is what manage_addresses asks for.
func nicAddresses(h *inventory.Host) []Want {
	if !h.ManageAddresses {
		return nil
	}
	var out []Want
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			out = append(out, Want{
				Item:   state.Address{Link: n.Name, Prefix: a},
				Reason: Reason{ReasonOwnAddress, "the NIC's own address (manage_addresses)"},
			})
		}
	}
	return out
}
