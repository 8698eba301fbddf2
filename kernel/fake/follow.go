package fake

import (
	"strings"

	"github.com/lvsform/lvsform/state"
)

// follow does what a kernel does by itself after a change.
func (k *Kernel) follow(c state.Change, there bool) {
	switch i := firstOf(c).(type) {
	case state.Module:
		if there {
			return // it was loaded before
		}
		for _, item := range k.Appears[i.Name] {
			k.State.Put(item)
		}
	case state.TunnelLink:
		switch c.Op() {
		case state.Add:
			k.addLink(i)
		case state.Modify:
			if !c.Before.(state.TunnelLink).InPlace(i) {
				k.replaceLink(i)
			}
		case state.Remove:
			k.removeLink(i.Name)
		}
	case state.Up:
		k.setUp(i.Link, c.Op() != state.Remove)
	case state.Service:
		if c.Op() == state.Remove {
			k.remove(func(item state.Item) bool {
				d, ok := item.(state.Destination)
				return ok && d.Service == i.ServiceID
			})
		}
	}
}

func firstOf(c state.Change) state.Item {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// addLink makes the device of a tunnel, down, with a copy of the settings that
// the host has for "default".
func (k *Kernel) addLink(t state.TunnelLink) {
	k.State.Put(state.Link{Name: t.Name, MTU: tunnelMTU(t)})
	for _, s := range state.Of[state.Sysctl](k.State) {
		if device, ok := settingOf(s.Name); ok && device == "default" {
			s.Name = strings.Replace(s.Name, ".default.", "."+strings.ReplaceAll(t.Name, ".", "/")+".", 1)
			k.State.Put(s)
		}
	}
}

// tunnelMTU is 1500 bytes less the outer header; IPv6's with the encapsulation
// limit.
func tunnelMTU(t state.TunnelLink) int {
	mtu := map[string]int{
		state.TunnelIPIP: 1480, state.TunnelSIT: 1480, state.TunnelGRE: 1476, state.TunnelIP6TNL: 1452, state.TunnelIP6GRE: 1448,
	}[t.Type]
	if t.Checksum {
		mtu -= 4
	}
	return mtu
}

// replaceLink makes the device anew; what is on it stays.
func (k *Kernel) replaceLink(t state.TunnelLink) {
	l, _ := k.State[state.IDOf(state.Link{Name: t.Name})].(state.Link)
	l.MTU = tunnelMTU(t)
	k.State.Put(l)
}

func (k *Kernel) removeLink(name string) {
	k.setUp(name, false)
	k.remove(func(i state.Item) bool {
		switch i := i.(type) {
		case state.Link:
			return i.Name == name
		case state.Up:
			return i.Link == name
		case state.Address:
			return i.Link == name
		case state.Sysctl:
			device, ok := settingOf(i.Name)
			return ok && device == name
		default:
			return false
		}
	})
}

// setUp makes the fact of a device follow its Up. A device that goes down
// loses its routes, its neighbours and its IPv6 addresses.
func (k *Kernel) setUp(name string, up bool) {
	l, ok := k.State[state.IDOf(state.Link{Name: name})].(state.Link)
	if !ok {
		return
	}
	l.Up = up
	k.State.Put(l)
	if up {
		return
	}
	k.remove(func(i state.Item) bool {
		switch i := i.(type) {
		case state.Route:
			return i.Link == name
		case state.Neighbour:
			return i.Link == name
		case state.Address:
			return i.Link == name && i.Prefix.Addr().Is6()
		default:
			return false
		}
	})
}

func (k *Kernel) remove(which func(state.Item) bool) {
	for id, i := range k.State {
		if which(i) {
			delete(k.State, id)
		}
	}
}
