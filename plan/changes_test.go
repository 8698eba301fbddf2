package plan

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// changing is a host with two devices, and what an item needs to be there.
func changing(of state.Item, live state.Item) *fake.Kernel {
	k := fake.Booted()
	k.Plug("eth0", "02:00:00:00:00:01")
	k.Plug("eth1", "02:00:00:00:00:02")
	if live != nil || of.Kind().Traits().Balancer { // with its module
		k.State.Put(state.Module{Name: "ip_vs"})
		for _, i := range k.Appears["ip_vs"] {
			k.State.Put(i)
		}
	}
	if d, ok := of.(state.Destination); ok {
		k.State.Put(state.Service{ServiceID: d.Service, Scheduler: "rr", PersistenceBits: 32})
	}
	delete(k.State, state.IDOf(of))
	if live == nil {
		return k
	}
	if t, ok := live.(state.TunnelLink); ok {
		k.State.Put(state.Link{Name: t.Name, MTU: 1480})
	}
	k.State.Put(live)
	return k
}

// carryOut does what an agent does with the actions of a host.
func carryOut(k *fake.Kernel, h Host) error {
	for _, a := range h.Actions {
		c := a.Change()
		is := k.State[c.ID()]
		if c.Before == nil && is != nil && c.After.Kind().Traits().ComesByItself {
			c.Before = is
		}
		if c.Before != is {
			return errors.New(a.Change().String() + " is stale")
		}
		if c.Before == c.After {
			continue
		}
		if err := k.Do(context.Background(), c); err != nil {
			return err
		}
	}
	return nil
}

// Whatever version of a thing a host has, and whatever version it is to have:
// the change is one that the kernel makes, or the plan refuses the host. The
// fake refuses what the kernel refuses (kerneltest).
func TestEveryChangeCanBeMade(t *testing.T) {
	for _, versions := range statetest.Versions() {
		kind := versions[0].Kind()
		if !kind.Traits().Journalled {
			continue
		}
		found := append([]state.Item{nil}, versions...)
		for _, is := range found {
			for _, want := range versions {
				if is == want {
					continue
				}
				for _, ours := range []bool{false, true} {
					k := changing(want, is)
					obs := wire.Observed{State: k.State, Journal: journal.Journal{Topology: "t"}}
					if ours && is != nil {
						obs.Journal.Entries = []journal.Entry{{After: state.Tagged{Item: is}}}
					}
					var h Host
					h.diff([]modes.Want{{Item: state.Module{Name: "ip_vs"}}, {Item: want}}, Observation{Observed: obs})
					if refused := len(h.Errors) != 0; refused != (kind.Traits().Whole && is != nil && !ours) {
						t.Errorf("%v to %s, made by lvsform %t: refused: %v", is, state.Text(want), ours, h.Errors)
						continue
					} else if refused {
						continue
					}
					if err := carryOut(k, h); err != nil {
						t.Errorf("%v to %s, made by lvsform %t: %v", is, state.Text(want), ours, err)
					} else if !k.State.Has(want) {
						t.Errorf("%v to %s, made by lvsform %t: is %v now", is, state.Text(want), ours, k.State[state.IDOf(want)])
					}
				}
			}
		}
		// And back to what was found, wherever it has gone from what was set.
		for _, was := range found {
			for _, set := range versions {
				for _, is := range found {
					k := changing(set, is)
					var h Host
					h.diff(nil, Observation{Force: true, Observed: wire.Observed{State: k.State, Journal: journal.Journal{Topology: "t", Entries: []journal.Entry{
						{Before: state.Tagged{Item: was}, After: state.Tagged{Item: set}},
					}}}})
					err := carryOut(k, h)
					if err != nil || len(h.Errors) != 0 {
						t.Errorf("found as %v, set to %s, %v now, and back: %v %v", was, state.Text(set), is, err, h.Errors)
					} else if k.State[state.IDOf(set)] != was && len(h.Forget) == 0 {
						t.Errorf("found as %v, set to %s, %v now, and back: is %v", was, state.Text(set), is, k.State[state.IDOf(set)])
					}
				}
			}
		}
	}
}

// What keeps the kernel from taking an item goes first if the plan removes it,
// and is refused before the first change if it does not.
func TestThingsInTheWay(t *testing.T) {
	gre := state.TunnelLink{Name: "tun1", Type: state.TunnelGRE, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2"), TTL: 64}
	old := gre
	old.Name, old.TTL = "tun0", 0
	keyed := state.Link{Name: "tun1", MTU: 1472, Up: true} // a tunnel that lvsform has no words for
	six := func(prefix string) state.Address {
		return state.Address{Link: "eth0", Prefix: netip.MustParsePrefix(prefix)}
	}
	peer := func(peer string) state.Address {
		return state.Address{Link: "eth0", Prefix: netip.MustParsePrefix("2001:db8::1/128"), Peer: netip.MustParseAddr(peer)}
	}
	made := func(i state.Item) []journal.Entry { return []journal.Entry{{After: state.Tagged{Item: i}}} }
	for what, c := range map[string]struct {
		live, want state.Item
		journal    []journal.Entry
		refused    string
	}{
		"a device of that name":             {keyed, gre, nil, "tunnel tun1: there is a device of that name, which is no tunnel of a kind that lvsform makes; remove it (ip link del tun1), or give the tunnel another name"},
		"a tunnel between the same ends":    {old, gre, nil, "tunnel tun1: the device tun0 is of the same type between the same addresses, and the kernel takes one such; keep its name, or remove it first (ip link del tun0, or apply without the tunnel)"},
		"lvsform's own, by its former name": {old, gre, made(old), "tunnel tun1: the device tun0 is of the same type between the same addresses, and the kernel takes one such; keep its name, or remove it first (ip link del tun0, or apply without the tunnel)"},
		"somebody's IPv6 address":           {six("2001:db8::1/64"), six("2001:db8::1/128"), nil, "address 2001:db8::1/128 on eth0: the kernel has an IPv6 address once on a device, and there it is 2001:db8::1/64 on eth0; remove that: ip address del 2001:db8::1/64 dev eth0"},
		"lvsform's own IPv6 address":        {six("2001:db8::1/64"), six("2001:db8::1/48"), made(six("2001:db8::1/64")), ""},
		"lvsform's own, with another peer":  {peer("2001:db8::2"), peer("2001:db8::3"), made(peer("2001:db8::2")), ""},
		"an IPv4 address of another length": {six("192.0.2.1/24"), six("192.0.2.1/25"), made(six("192.0.2.1/24")), ""},
	} {
		k := changing(c.want, nil)
		k.State.Put(c.live)
		if tunnel, ok := c.live.(state.TunnelLink); ok {
			k.State.Put(state.Link{Name: tunnel.Name, MTU: 1476})
		}
		var h Host
		h.diff([]modes.Want{{Item: c.want}}, Observation{Observed: wire.Observed{State: k.State, Journal: journal.Journal{Topology: "t", Entries: c.journal}}})
		refused := ""
		for _, e := range h.Errors {
			refused += e.Message
		}
		if refused != c.refused {
			t.Errorf("%s: refused: %q, want %q", what, refused, c.refused)
			continue
		}
		if refused == "" {
			if err := carryOut(k, h); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if !k.State.Has(c.want) || k.State.Has(c.live) {
				t.Errorf("%s: is %v now", what, k.State.Items())
			}
		}
	}
}
