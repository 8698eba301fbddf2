// Package kerneltest is one table of changes and what a kernel must make of
// them. The fake and the real kernel are both held to it, so what is proven
// with the fake holds on hosts.
package kerneltest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

// Kernel is what is held to the table.
type Kernel interface {
	Observe(context.Context, []state.ID) (state.Host, []state.Missing, error)
	Do(context.Context, state.Change) error
}

// Device is the network device the table works on: Ethernet-like, up, MTU
// 1500, without IPv4 addresses. Forwarding is off.
const Device = "lvs0"

// Spare is another device, up, that nothing else uses.
const Spare = "lvs1"

// Module is one that can be loaded and is not needed by the table otherwise.
// So can ipip, which brings the device tunl0.
const Module = "ip_vs_sed"

// tunnelSetting is of a device that only comes with a module.
const tunnelSetting = "net.ipv4.conf.tunl0.rp_filter"

var (
	forward   = state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"}
	arpIgnore = state.Sysctl{Name: state.ConfSysctl("ipv4", Device, "arp_ignore"), Setting: "0"}
)

// Run holds a kernel to the table: after every step the observed state must be
// the one before with the step's change made, or the same when it is refused.
func Run(t *testing.T, k Kernel) {
	ctx := context.Background()
	asked := []state.ID{state.IDOf(forward), state.IDOf(arpIgnore), {Kind: state.KindSysctl, Key: tunnelSetting}}
	for _, m := range []string{Module, "ipip", "ip_gre", "sit", "ip6_tunnel", "ip6_gre", "fou"} {
		asked = append(asked, state.IDOf(state.Module{Name: m}))
	}
	observe := func() state.Host {
		t.Helper()
		h, missing, err := k.Observe(ctx, asked)
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) != 0 {
			t.Fatalf("missing: %v", missing)
		}
		return h
	}
	want := observe()
	if want.Has(state.Module{Name: Module}) {
		t.Logf("module %s was loaded before; its first step proves nothing", Module)
	}
	tried := map[state.Kind]bool{}
	for _, s := range steps() {
		tried[s.change.ID().Kind] = true
		err := k.Do(ctx, s.change)
		switch {
		case s.failsSomehow && err == nil:
			t.Errorf("%s: %s was carried out, want an error", s.name, s.change)
		case s.failsSomehow:
		case !errors.Is(err, s.fails):
			t.Errorf("%s: %s: error %v, want %v", s.name, s.change, err, s.fails)
		}
		if err == nil {
			apply(want, s)
		}
		if diff := cmp.Diff(want, observe(), cmp.Comparer(func(a, b state.Item) bool { return a == b })); diff != "" {
			t.Fatalf("%s: after %s (-want +observed):\n%s", s.name, s.change, diff)
		}
	}
	for _, kind := range state.Kinds() {
		if !tried[kind] && !kind.Traits().Observed {
			t.Errorf("%s: the table has no step with one", kind)
		}
	}

	_, missing, err := k.Observe(ctx, []state.ID{
		state.IDOf(state.Module{Name: "lvsform_no_such"}), state.IDOf(state.Sysctl{Name: "net.ipv4.lvsform"})})
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) != 2 || missing[0].Why == "" || missing[1].Why == "" {
		t.Errorf("missing = %v, want a module and a setting with the reason why", missing)
	}
}

func apply(h state.Host, s step) {
	for _, i := range s.brings {
		h.Put(i)
	}
	for _, id := range s.takes {
		delete(h, id)
	}
	c := s.change
	if up, ok := c.After.(state.Up); ok {
		setUp(h, up.Link, true)
	}
	if up, ok := c.Before.(state.Up); ok && c.Op() == state.Remove {
		setUp(h, up.Link, false)
	}
	if c.Op() != state.Remove {
		h.Put(c.After)
		return
	}
	delete(h, c.ID())
	if s, ok := c.Before.(state.Service); ok {
		for id, i := range h {
			if d, ok := i.(state.Destination); ok && d.Service == s.ServiceID {
				delete(h, id)
			}
		}
	}
}

// setUp makes the fact of a device follow its Up.
func setUp(h state.Host, name string, up bool) {
	if l, ok := h[state.IDOf(state.Link{Name: name})].(state.Link); ok {
		l.Up = up
		h.Put(l)
	}
}
