package fake

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/kernel"
	"github.com/lvsform/lvsform/state"
)

// refuse refuses what a kernel refuses, with the kernel's errno where the
// conformance table promises one.
func (k *Kernel) refuse(c state.Change) error {
	if c.After != nil {
		if err := kernel.Check(c.After); err != nil {
			return err
		}
	}
	item := c.After
	if c.Op() == state.Remove {
		item = c.Before
	}
	_, there := k.State[c.ID()]
	switch i := item.(type) {
	case state.Module:
		if c.Op() != state.Add {
			return unix.EOPNOTSUPP
		}
		if !there && !slices.Contains(k.Modules, i.Name) {
			return unix.ENOENT
		}
		return nil // loading twice is no error
	case state.Sysctl:
		if c.Op() == state.Remove {
			return unix.EOPNOTSUPP
		}
		return must(there, unix.ENOENT) // written, whatever was there
	case state.Timeouts:
		if c.Op() == state.Remove {
			return unix.EOPNOTSUPP
		}
		return must(there, unix.ENOENT) // the same
	case state.Up:
		return must(k.hasLink(i.Link), unix.ENODEV) // up twice is no error
	case state.FOUPort:
		if c.Op() == state.Modify {
			return unix.EOPNOTSUPP
		}
		return presence(c, there, unix.EADDRINUSE, unix.EINVAL)
	case state.FirewallRule:
		if c.Op() == state.Modify {
			return unix.EOPNOTSUPP
		}
		return presence(c, there, unix.EEXIST, unix.ENOENT)
	case state.TunnelLink:
		return k.refuseTunnel(c)
	case state.Address:
		if !k.hasLink(i.Link) {
			return unix.ENODEV
		}
		if i.Prefix.Addr().Is6() && c.Op() == state.Add && k.hasIPv6(i) {
			return unix.EEXIST // of whatever length
		}
		return presence(c, there, unix.EEXIST, unix.EADDRNOTAVAIL)
	case state.Route:
		if !k.hasLink(i.Link) {
			return unix.ENODEV
		}
		// The table takes routes only through devices that are up.
		if _, up := k.State[state.IDOf(state.Up{Link: i.Link})]; !up && c.Op() != state.Remove {
			return unix.ENETDOWN
		}
		return presence(c, there, unix.EEXIST, unix.ESRCH)
	case state.Neighbour:
		if !k.hasLink(i.Link) {
			return unix.ENODEV
		}
		return presence(c, there, unix.EEXIST, unix.ENOENT)
	case state.Service:
		if c.Op() != state.Remove && !slices.Contains(schedulers(), i.Scheduler) {
			return unix.ENOENT
		}
		return presence(c, there, unix.EEXIST, unix.ESRCH)
	case state.Destination:
		return k.refuseDestination(c, i, there)
	case state.SyncDaemon:
		return k.refuseSyncDaemon(c, i, there)
	default:
		return unix.EOPNOTSUPP
	}
}

// schedulers are the kernel's.
func schedulers() []string {
	return []string{"dh", "fo", "lblc", "lblcr", "lc", "mh", "nq", "ovf", "rr", "sed", "sh", "wlc", "wrr"}
}

func must(there bool, absent error) error {
	if !there {
		return absent
	}
	return nil
}

func presence(c state.Change, there bool, present, absent error) error {
	switch {
	case c.Op() == state.Add && there:
		return present
	case c.Op() != state.Add && !there:
		return absent
	default:
		return nil
	}
}

func (k *Kernel) refuseTunnel(c state.Change) error {
	is, there := k.State[c.ID()].(state.TunnelLink)
	name := c.ID().Key
	switch {
	case c.Op() == state.Add && (k.hasLink(name) || k.takesEnds(c.After.(state.TunnelLink))):
		return unix.EEXIST
	case c.Op() == state.Add:
		return nil
	case !k.hasLink(name):
		return unix.ENODEV
	case !there || is.Type != c.Before.(state.TunnelLink).Type:
		return unix.EINVAL
	case c.Op() == state.Modify && k.takesEnds(c.After.(state.TunnelLink)):
		return unix.EEXIST
	default:
		return nil
	}
}

// hasIPv6 reports whether the address is on the device.
func (k *Kernel) hasIPv6(a state.Address) bool {
	return slices.ContainsFunc(state.Of[state.Address](k.State), func(other state.Address) bool {
		return other.Link == a.Link && other.Prefix.Addr() == a.Prefix.Addr()
	})
}

// takesEnds reports whether another tunnel has the packets of this one.
func (k *Kernel) takesEnds(t state.TunnelLink) bool {
	return slices.ContainsFunc(state.Of[state.TunnelLink](k.State), func(other state.TunnelLink) bool {
		return other.Name != t.Name && other.SameEnds(t)
	})
}

func (k *Kernel) refuseDestination(c state.Change, d state.Destination, there bool) error {
	if _, ok := k.State[state.IDOf(state.Service{ServiceID: d.Service})]; !ok {
		return unix.ESRCH
	}
	if c.Op() != state.Remove {
		switch {
		case d.Address.Addr().Is6() != d.Service.Is6() && d.Forward != state.ForwardTUN:
			return unix.EINVAL // only a tunnel carries one family in the other
		case d.Tunnel.Type == "gue" && d.Tunnel.Port == 0:
			return unix.EINVAL
		case d.LowerThreshold > d.UpperThreshold:
			return unix.ERANGE
		}
	}
	return presence(c, there, unix.EEXIST, unix.ENOENT)
}

func (k *Kernel) refuseSyncDaemon(c state.Change, d state.SyncDaemon, there bool) error {
	if err := presence(c, there, unix.EEXIST, unix.ESRCH); err != nil || c.Op() == state.Remove {
		return err
	}
	if !k.hasLink(d.Interface) {
		return unix.ENODEV
	}
	// The messages have no room for two families in one connection.
	for _, i := range k.State {
		if dest, ok := i.(state.Destination); ok && dest.Address.Addr().Is6() != dest.Service.Is6() {
			return unix.EINVAL
		}
	}
	return nil
}
