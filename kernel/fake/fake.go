// Package fake stands in for a host's kernel in tests: it keeps state in
// memory and is as strict as the real one, which the conformance table of
// package kerneltest checks against both.
package fake

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Kernel is a kernel in memory. The zero value has nothing at all.
type Kernel struct {
	State state.Host
	// Modules that can be loaded, as a kernel's folder of modules would hold.
	Modules []string
	// BeforeDo, where set, is called ahead of every change; an error from it
	// is the change's.
	BeforeDo func(state.Change) error
}

// Observe answers as kernel.Kernel does.
func (k *Kernel) Observe(_ context.Context, asked []state.ID) (state.Host, []state.Missing, error) {
	host := state.Host{}
	for _, i := range k.State {
		switch i.Kind() {
		case state.KindModule, state.KindSysctl:
			// only when asked for
		default:
			host.Put(i)
		}
	}
	var missing []state.Missing
	for _, id := range asked {
		item, there := k.State[id]
		switch {
		case there:
			host.Put(item)
		case id.Kind == state.KindModule && !slices.Contains(k.Modules, id.Key):
			missing = append(missing, state.Missing{ID: id, Why: "not loaded, and not among the modules"})
		case id.Kind == state.KindSysctl:
			missing = append(missing, state.Missing{ID: id, Why: "this kernel has no such setting"})
		}
	}
	return host, missing, nil
}

// Do answers as kernel.Kernel does.
func (k *Kernel) Do(_ context.Context, c state.Change) error {
	if k.BeforeDo != nil {
		if err := k.BeforeDo(c); err != nil {
			return err
		}
	}
	if err := k.check(c); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	if c.ID().Kind == state.KindUp {
		k.setUp(c.ID().Key, c.Op() != state.Remove)
	}
	if c.Op() == state.Remove {
		delete(k.State, c.ID())
		if s, ok := c.Before.(state.Service); ok {
			k.dropDestinations(s.ServiceID)
		}
		return nil
	}
	if k.State == nil {
		k.State = state.Host{}
	}
	k.State.Put(c.After)
	return nil
}

// check refuses what a kernel refuses.
func (k *Kernel) check(c state.Change) error {
	_, there := k.State[c.ID()]
	switch id := c.ID(); id.Kind {
	case state.KindModule:
		if c.Op() != state.Add {
			return unix.EOPNOTSUPP
		}
		if !there && !slices.Contains(k.Modules, id.Key) {
			return unix.ENOENT
		}
		return nil // loading twice is no error
	case state.KindSysctl:
		if c.Op() == state.Remove {
			return unix.EOPNOTSUPP
		}
		if !there {
			return unix.ENOENT
		}
		return nil // written, whatever was there
	case state.KindUp:
		if _, ok := k.State[state.IDOf(state.Link{Name: id.Key})]; !ok {
			return unix.ENODEV
		}
		return nil // up twice is no error
	case state.KindAddress:
		return k.checkAddress(c, there)
	case state.KindService:
		return checkPresence(c, there, unix.ESRCH)
	case state.KindDestination:
		return k.checkDestination(c, there)
	default:
		return unix.EOPNOTSUPP
	}
}

func (k *Kernel) checkAddress(c state.Change, there bool) error {
	a, _ := c.After.(state.Address)
	if c.Op() == state.Remove {
		a, _ = c.Before.(state.Address)
	}
	if _, ok := k.State[state.IDOf(state.Link{Name: a.Link})]; !ok {
		return unix.ENODEV
	}
	return checkPresence(c, there, unix.EADDRNOTAVAIL)
}

func (k *Kernel) checkDestination(c state.Change, there bool) error {
	d, _ := c.After.(state.Destination)
	if c.Op() == state.Remove {
		d, _ = c.Before.(state.Destination)
	}
	if _, ok := k.State[state.IDOf(state.Service{ServiceID: d.Service})]; !ok {
		return unix.ESRCH
	}
	return checkPresence(c, there, unix.ENOENT)
}

func checkPresence(c state.Change, there bool, absent error) error {
	switch {
	case c.Op() == state.Add && there:
		return unix.EEXIST
	case c.Op() != state.Add && !there:
		return absent
	default:
		return nil
	}
}

// setUp makes the fact of a device follow its Up.
func (k *Kernel) setUp(name string, up bool) {
	l := k.State[state.IDOf(state.Link{Name: name})].(state.Link)
	l.Up = up
	k.State.Put(l)
}

// dropDestinations does what the kernel does when a service goes.
func (k *Kernel) dropDestinations(service state.ServiceID) {
	for id, i := range k.State {
		if d, ok := i.(state.Destination); ok && d.Service == service {
			delete(k.State, id)
		}
	}
}

// ActiveConnections answers as kernel.Kernel does; nobody connects to a fake.
func (k *Kernel) ActiveConnections([]state.Destination) (uint64, error) { return 0, nil }

// String is the whole state, an item a line.
func (k *Kernel) String() string {
	var b strings.Builder
	for _, i := range k.State.Items() {
		b.WriteString(state.Text(i) + "\n")
	}
	return b.String()
}
