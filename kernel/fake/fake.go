// Package fake stands in for a host's kernel in tests: it keeps state in
// memory and is as strict as the real one, which the conformance table of
// package kerneltest checks against both.
package fake

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Kernel is a kernel in memory. The zero value has nothing at all. Several agents
// may ask it at the same time; who reads its fields meanwhile must not.
type Kernel struct {
	mu sync.Mutex // held while State is looked at or changed, not by BeforeDo

	State state.Host
	// Modules that can be loaded, as a kernel's folder of modules would hold.
	Modules []string
	// Appears is what comes with a module when it is loaded: ipip brings the
	// device tunl0 and its settings, ip_vs its own and the timeouts.
	Appears map[string][]state.Item
	// NoProgram says, by the family of firewall rules, why none can be set.
	NoProgram map[string]string
	// BeforeDo, where set, is called ahead of every change; an error from it
	// is the change's.
	BeforeDo func(state.Change) error
	// Announced are the addresses that were announced by themselves.
	Announced []state.Address
	// ForeignSigns are what others have left on the host.
	ForeignSigns []state.Foreign
}

// Observe answers as kernel.Kernel does.
func (k *Kernel) Observe(_ context.Context, asked []state.ID) (state.Host, []state.Missing, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	host := state.Host{}
	for _, i := range k.State {
		if !i.Kind().Traits().Named { // those only when asked for
			host.Put(i)
		}
	}
	var missing []state.Missing
	for _, id := range asked {
		item, there := k.State[id]
		if family, _ := state.TableOf(id.Key); id.Kind.Traits().ByProgram && k.NoProgram[family] != "" {
			missing = append(missing, state.Missing{ID: id, Why: k.NoProgram[family]})
			continue
		}
		switch {
		case there:
			host.Put(item)
		case id.Kind == state.KindModule && !slices.Contains(k.Modules, id.Key):
			missing = append(missing, state.Missing{ID: id, Why: "not loaded, and not among the modules"})
		case id.Kind == state.KindSysctl && !k.mayCome(id.Key):
			missing = append(missing, state.Missing{ID: id, Why: "this kernel has no such setting"})
		}
	}
	return host, missing, nil
}

// mayCome reports whether a setting that is not there is that of a device that
// is not there, or of a module.
func (k *Kernel) mayCome(name string) bool {
	if device, ok := settingOf(name); ok {
		return !k.hasLink(device)
	}
	for _, items := range k.Appears {
		if slices.ContainsFunc(items, func(i state.Item) bool { return state.IDOf(i) == sysctlID(name) }) {
			return true
		}
	}
	return false
}

func sysctlID(name string) state.ID { return state.ID{Kind: state.KindSysctl, Key: name} }

// settingOf names the device that a setting is one of.
func settingOf(name string) (device string, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) != 5 || parts[2] != "conf" {
		return "", false
	}
	return strings.ReplaceAll(parts[3], "/", "."), true
}

func (k *Kernel) hasLink(name string) bool {
	_, ok := k.State[state.IDOf(state.Link{Name: name})]
	return ok
}

// Do answers as kernel.Kernel does.
func (k *Kernel) Do(_ context.Context, c state.Change) error {
	if k.BeforeDo != nil {
		if err := k.BeforeDo(c); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refuse(c); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	if k.State == nil {
		k.State = state.Host{}
	}
	_, there := k.State[c.ID()]
	if c.Op() == state.Remove {
		delete(k.State, c.ID())
	} else {
		k.State.Put(c.After)
	}
	k.follow(c, there)
	return nil
}

// ActiveConnections answers as kernel.Kernel does; nobody connects to a fake.
func (k *Kernel) ActiveConnections([]state.Destination) (uint64, error) { return 0, nil }

// Announce answers as kernel.Kernel does, and remembers.
func (k *Kernel) Announce(a state.Address) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.State.Has(a) {
		return unix.EADDRNOTAVAIL
	}
	k.Announced = append(k.Announced, a)
	return nil
}

// Foreign answers as kernel.Kernel does: in order, and each sign once.
func (k *Kernel) Foreign(ctx context.Context, _ []netip.Addr) ([]state.Foreign, error) {
	signs := slices.SortedFunc(slices.Values(k.ForeignSigns), state.CompareForeign)
	return slices.Compact(signs), ctx.Err()
}
