// Package kerneltest is one table of changes and what a kernel must make of
// them. The fake and the real kernel are both held to it, so what is proven
// with the fake holds on hosts.
package kerneltest

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

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
const Module = "ip_vs_sed"

var (
	v4Service = state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.10:80")}
	v6Service = state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("[2001:db8::10]:53")}
	forward   = state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"}
	forwardOn = state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"}
	arpIgnore = state.Sysctl{Name: state.ConfSysctl("ipv4", Device, "arp_ignore"), Setting: "0"}
	arpOne    = state.Sysctl{Name: arpIgnore.Name, Setting: "1"}
)

func address(prefix string) state.Address {
	return state.Address{Link: Device, Prefix: netip.MustParsePrefix(prefix)}
}

func rr(id state.ServiceID) state.Service {
	s := state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32}
	if id.Is6() {
		s.PersistenceBits = 128
	}
	return s
}

func dest(service state.ServiceID, addr string, weight uint32) state.Destination {
	return state.Destination{Service: service, Address: netip.MustParseAddrPort(addr), Forward: state.ForwardDR, Weight: weight}
}

type step struct {
	name   string
	change state.Change
	fails  error // what the error unwraps to; nil: the change is carried out
	// failsSomehow is for refusals whose errno is not part of the promise.
	failsSomehow bool
}

func add(i state.Item) state.Change       { return state.Change{After: i} }
func remove(i state.Item) state.Change    { return state.Change{Before: i} }
func modify(a, b state.Item) state.Change { return state.Change{Before: a, After: b} }

// steps are carried out one after the other on one kernel.
func steps() []step {
	persistent := rr(v4Service)
	persistent.Scheduler, persistent.Persistence, persistent.PersistenceBits = "sh", 300, 24
	persistent.Flags = "flag-1,flag-2"
	ops := rr(v6Service)
	ops.OnePacket = true
	heavy := dest(v4Service, "192.0.2.21:80", 5)
	heavy.UpperThreshold, heavy.LowerThreshold = 100, 50
	gue := dest(v4Service, "192.0.2.22:80", 1)
	gue.Forward, gue.Tunnel = state.ForwardTUN, state.Tunnel{Type: "gue", Port: 5555, Checksum: true}
	ipip := gue
	ipip.Tunnel = state.Tunnel{}
	masq := dest(v4Service, "192.0.2.23:8080", 0)
	masq.Forward = state.ForwardNAT
	deprecated := address("2001:db8::10/128")
	deprecated.Deprecated = true

	return []step{
		{name: "load a module", change: add(state.Module{Name: Module})},
		{name: "load it again", change: add(state.Module{Name: Module})},
		{name: "load one that is not there", change: add(state.Module{Name: "lvsform_no_such"}), failsSomehow: true},
		{name: "unload", change: remove(state.Module{Name: Module}), failsSomehow: true},

		{name: "set", change: modify(forward, forwardOn)},
		{name: "set back", change: modify(forwardOn, forward)},
		{name: "set on a device", change: modify(arpIgnore, arpOne)},
		{name: "set what is not there", change: modify(
			state.Sysctl{Name: "net.ipv4.lvsform", Setting: "0"}, state.Sysctl{Name: "net.ipv4.lvsform", Setting: "1"}), failsSomehow: true},
		{name: "remove a setting", change: remove(arpOne), failsSomehow: true},

		{name: "take a device down", change: remove(state.Up{Link: Spare})},
		{name: "bring it up", change: add(state.Up{Link: Spare})},
		{name: "bring up what is not there", change: add(state.Up{Link: "lvs9"}), failsSomehow: true},

		{name: "add address", change: add(address("192.0.2.1/24"))},
		{name: "add it again", change: add(address("192.0.2.1/24")), fails: unix.EEXIST},
		{name: "add the same address as /32", change: add(address("192.0.2.1/32"))},
		{name: "remove the /32", change: remove(address("192.0.2.1/32"))},
		{name: "remove it again", change: remove(address("192.0.2.1/32")), fails: unix.EADDRNOTAVAIL},
		{name: "add IPv6 address", change: add(address("2001:db8::10/128"))},
		{name: "deprecate it", change: modify(address("2001:db8::10/128"), deprecated)},
		{name: "undeprecate it", change: modify(deprecated, address("2001:db8::10/128"))},
		{name: "remove it as /64", change: remove(address("2001:db8::10/64")), fails: unix.EADDRNOTAVAIL},
		{name: "remove IPv6 address", change: remove(address("2001:db8::10/128"))},
		{name: "add IPv6 address deprecated", change: add(deprecated)},
		{name: "modify an address that is not there", change: modify(address("192.0.2.9/32"), address("192.0.2.9/32")), fails: unix.EADDRNOTAVAIL},
		{name: "add to a device that is not there", change: add(state.Address{Link: "lvs9", Prefix: netip.MustParsePrefix("192.0.2.1/32")}), failsSomehow: true},
		{name: "add a device", change: add(state.Link{Name: "lvs9"}), failsSomehow: true},

		{name: "destination before its service", change: add(dest(v4Service, "192.0.2.21:80", 1)), fails: unix.ESRCH},
		{name: "add service", change: add(rr(v4Service))},
		{name: "add it again", change: add(rr(v4Service)), fails: unix.EEXIST},
		{name: "add IPv6 service", change: add(rr(v6Service))},
		{name: "modify service", change: modify(rr(v4Service), persistent)},
		{name: "one-packet scheduling", change: modify(rr(v6Service), ops)},
		{name: "add destination", change: add(dest(v4Service, "192.0.2.21:80", 1))},
		{name: "add it again", change: add(dest(v4Service, "192.0.2.21:80", 1)), fails: unix.EEXIST},
		{name: "modify destination", change: modify(dest(v4Service, "192.0.2.21:80", 1), heavy)},
		{name: "modify a destination that is not there", change: modify(dest(v4Service, "192.0.2.99:80", 1), dest(v4Service, "192.0.2.99:80", 2)), fails: unix.ENOENT},
		{name: "add tunnel destination", change: add(gue)},
		{name: "change its encapsulation", change: modify(gue, ipip)},
		{name: "add NAT destination with weight 0", change: add(masq)},
		{name: "add IPv6 destination", change: add(dest(v6Service, "[2001:db8::21]:53", 1))},
		{name: "remove destination", change: remove(ipip)},
		{name: "remove it again", change: remove(ipip), fails: unix.ENOENT},
		{name: "remove service with its destinations", change: remove(persistent)},
		{name: "remove it again", change: remove(persistent), fails: unix.ESRCH},
	}
}

// Run holds a kernel to the table: after every step the observed state must be
// the one before with the step's change made, or the same when it is refused.
func Run(t *testing.T, k Kernel) {
	ctx := context.Background()
	asked := []state.ID{state.IDOf(state.Module{Name: Module}), state.IDOf(forward), state.IDOf(arpIgnore)}
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
	for _, s := range steps() {
		err := k.Do(ctx, s.change)
		switch {
		case s.failsSomehow && err == nil:
			t.Errorf("%s: %s was carried out, want an error", s.name, s.change)
		case s.failsSomehow:
		case !errors.Is(err, s.fails):
			t.Errorf("%s: %s: error %v, want %v", s.name, s.change, err, s.fails)
		}
		if err == nil {
			apply(want, s.change)
		}
		if diff := cmp.Diff(want, observe(), cmp.Comparer(func(a, b state.Item) bool { return a == b })); diff != "" {
			t.Fatalf("%s: after %s (-want +observed):\n%s", s.name, s.change, diff)
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

func apply(h state.Host, c state.Change) {
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
