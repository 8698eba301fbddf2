package kerneltest

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// step is a change and what becomes of it.
type step struct {
	name   string
	change state.Change
	fails  error // what the error unwraps to; nil: the change is carried out
	// failsSomehow is for refusals whose errno is not part of the promise.
	failsSomehow bool
	// brings is what comes by itself with the change, takes what goes.
	brings []state.Item
	takes  []state.ID
}

func add(i state.Item) state.Change       { return state.Change{After: i} }
func remove(i state.Item) state.Change    { return state.Change{Before: i} }
func modify(a, b state.Item) state.Change { return state.Change{Before: a, After: b} }

func ids(items ...state.Item) []state.ID {
	out := make([]state.ID, len(items))
	for i, item := range items {
		out[i] = state.IDOf(item)
	}
	return out
}

func ip(s string) netip.Addr       { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// steps are carried out one after the other on one kernel.
func steps() []step {
	var out []step
	for _, part := range [][]step{
		moduleSteps(), fouSteps(), tunnelSteps(), sysctlSteps(), addressSteps(), routeSteps(), neighbourSteps(), upSteps(),
		ruleSteps(), timeoutSteps(), serviceSteps(), destinationSteps(), syncSteps(),
	} {
		out = append(out, part...)
	}
	return out
}

func moduleSteps() []step {
	return []step{
		{name: "load a module", change: add(state.Module{Name: Module}),
			brings: []state.Item{state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}}}, // ip_vs comes with its schedulers
		{name: "load it again", change: add(state.Module{Name: Module})},
		{name: "load one that is not there", change: add(state.Module{Name: "lvsform_no_such"}), failsSomehow: true},
		{name: "unload", change: remove(state.Module{Name: Module}), failsSomehow: true},
		{name: "load ipip", change: add(state.Module{Name: "ipip"}),
			brings: []state.Item{state.Link{Name: "tunl0", MTU: 1480}, state.Sysctl{Name: tunnelSetting, Setting: "0"}}},
		{name: "load ip_gre", change: add(state.Module{Name: "ip_gre"}), brings: []state.Item{
			state.Link{Name: "gre0", MTU: 1476}, state.Link{Name: "gretap0", MTU: 1462}, state.Link{Name: "erspan0", MTU: 1450}}},
		{name: "load sit", change: add(state.Module{Name: "sit"}), brings: []state.Item{state.Link{Name: "sit0", MTU: 1480}}},
		{name: "load ip6_tunnel", change: add(state.Module{Name: "ip6_tunnel"}), brings: []state.Item{state.Link{Name: "ip6tnl0", MTU: 1452}}},
		{name: "load ip6_gre", change: add(state.Module{Name: "ip6_gre"}), brings: []state.Item{state.Link{Name: "ip6gre0", MTU: 1448}}},
		{name: "load fou", change: add(state.Module{Name: "fou"})},
	}
}

func fouSteps() []step {
	v4, v6 := state.FOUPort{Port: 5555}, state.FOUPort{Port: 5556, IPv6: true}
	return []step{
		{name: "remove a fou port before any", change: remove(v4), fails: unix.EINVAL},
		{name: "add fou port", change: add(v4)},
		{name: "add it again", change: add(v4), fails: unix.EADDRINUSE},
		{name: "add IPv6 fou port", change: add(v6)},
		{name: "modify a fou port", change: modify(v4, v4), failsSomehow: true},
		{name: "remove fou port", change: remove(v4)},
		{name: "remove it again", change: remove(v4), fails: unix.EINVAL},
		{name: "remove IPv6 fou port", change: remove(v6)},
	}
}

func tunnelSteps() []step {
	tun := state.TunnelLink{Name: "tun1", Type: state.TunnelIPIP, Local: ip("192.0.2.1"), Remote: ip("192.0.2.2"), TTL: 64}
	other := tun
	other.Remote, other.TTL = ip("192.0.2.3"), 0
	gre := tun
	gre.Type = state.TunnelGRE
	greChecksum := gre
	greChecksum.Checksum = true
	wrong := gre
	wrong.Remote = ip("2001:db8::2")
	twin := tun
	twin.Name = "tun2"
	addressOn := state.Address{Link: "tun1", Prefix: prefix("203.0.113.9/32")}
	sixOn := state.Address{Link: "tun1", Prefix: prefix("2001:db8:9::9/64")}
	routeOn := state.Route{To: prefix("198.51.100.64/26"), Link: "tun1", Protocol: state.RouteProtocol}
	out := []step{
		{name: "add tunnel", change: add(tun), brings: []state.Item{state.Link{Name: "tun1", MTU: 1480}}},
		{name: "add it again", change: add(tun), fails: unix.EEXIST},
		{name: "modify tunnel", change: modify(tun, other)},
		{name: "modify tunnel back", change: modify(other, tun)},
		{name: "change its type", change: modify(tun, gre), brings: []state.Item{state.Link{Name: "tun1", MTU: 1476}}},
		{name: "change its type back", change: modify(gre, tun), brings: []state.Item{state.Link{Name: "tun1", MTU: 1480}}},
		{name: "bring the tunnel up", change: add(state.Up{Link: "tun1"})},
		{name: "address on the tunnel", change: add(addressOn)},
		{name: "IPv6 address on the tunnel", change: add(sixOn)},
		{name: "route through the tunnel", change: add(routeOn)},
		{name: "change the type with all that is on it", change: modify(tun, gre), brings: []state.Item{state.Link{Name: "tun1", MTU: 1476, Up: true}}},
		{name: "and back", change: modify(gre, tun), brings: []state.Item{state.Link{Name: "tun1", MTU: 1480, Up: true}}},
		{name: "remove the tunnel's route", change: remove(routeOn)},
		{name: "remove the tunnel's IPv6 address", change: remove(sixOn)},
		{name: "remove the tunnel's address", change: remove(addressOn)},
		{name: "take the tunnel down", change: remove(state.Up{Link: "tun1"})},
		{name: "add another between the same ends", change: add(twin), fails: unix.EEXIST},
		{name: "remove it as another type", change: remove(gre), fails: unix.EINVAL},
		{name: "remove tunnel", change: remove(tun), takes: ids(state.Link{Name: "tun1"})},
		{name: "remove it again", change: remove(tun), failsSomehow: true},
		{name: "modify a tunnel that is not there", change: modify(tun, other), failsSomehow: true},
		{name: "remove a device that is no tunnel", change: remove(state.TunnelLink{Name: Spare, Type: state.TunnelIPIP}), fails: unix.EINVAL},
		{name: "add tunnel in the name of a device", change: add(state.TunnelLink{Name: Spare, Type: state.TunnelIPIP, Remote: ip("192.0.2.2")}), fails: unix.EEXIST},
		{name: "mixed ends", change: add(wrong), fails: unix.EINVAL},
		{name: "unknown type", change: add(state.TunnelLink{Name: "tun1", Type: "vxlan"}), failsSomehow: true},
	}
	for _, t := range []struct {
		tunnel state.TunnelLink
		mtu    int
	}{
		{gre, 1476},
		{greChecksum, 1472},
		{state.TunnelLink{Name: "tun1", Type: state.TunnelSIT, Local: ip("192.0.2.1"), Remote: ip("192.0.2.2"), TTL: 64}, 1480},
		{state.TunnelLink{Name: "tun1", Type: state.TunnelIP6TNL, Local: ip("2001:db8::1"), Remote: ip("2001:db8::2"), TTL: 64}, 1452},
		{state.TunnelLink{Name: "tun1", Type: state.TunnelIP6GRE, Local: ip("2001:db8::1"), Remote: ip("2001:db8::2")}, 1448},
		{state.TunnelLink{Name: "tun1", Type: state.TunnelGRE, Local: ip("192.0.2.1")}, 1476},
	} {
		out = append(out,
			step{name: "add " + t.tunnel.Type, change: add(t.tunnel), brings: []state.Item{state.Link{Name: "tun1", MTU: t.mtu}}},
			step{name: "remove " + t.tunnel.Type, change: remove(t.tunnel), takes: ids(state.Link{Name: "tun1"})})
	}
	out = append(out, everyTunnel()...)
	// One that stays, for the addresses and routes below.
	return append(out, step{name: "add tunnel", change: add(tun), brings: []state.Item{state.Link{Name: "tun1", MTU: 1480}}})
}

// everyTunnel changes a tunnel from every version there is to every other.
func everyTunnel() []step {
	var versions []state.TunnelLink
	for _, of := range statetest.Versions() {
		for _, i := range of {
			if t, ok := i.(state.TunnelLink); ok {
				t.Name = "tun1"
				versions = append(versions, t)
			}
		}
	}
	mtu := map[string]int{
		state.TunnelIPIP: 1480, state.TunnelSIT: 1480, state.TunnelGRE: 1476, state.TunnelIP6TNL: 1452, state.TunnelIP6GRE: 1448,
	}
	var out []step
	to := func(c state.Change) {
		t := c.After.(state.TunnelLink)
		link := state.Link{Name: "tun1", MTU: mtu[t.Type]}
		if t.Checksum {
			link.MTU -= 4
		}
		out = append(out, step{name: "any tunnel of any other", change: c, brings: []state.Item{link}})
	}
	to(add(versions[0]))
	for i, a := range versions {
		for _, b := range versions[i+1:] {
			to(modify(a, b))
			to(modify(b, a))
		}
		if i+1 < len(versions) {
			to(modify(a, versions[i+1]))
		} else {
			out = append(out, step{name: "remove the last", change: remove(a), takes: ids(state.Link{Name: "tun1"})})
		}
	}
	return out
}

func sysctlSteps() []step {
	forwardOn, arpOne := forward, arpIgnore
	forwardOn.Setting, arpOne.Setting = "1", "1"
	gone := state.Sysctl{Name: "net.ipv4.lvsform", Setting: "0"}
	return []step{
		{name: "set", change: modify(forward, forwardOn)},
		{name: "set back", change: modify(forwardOn, forward)},
		{name: "set on a device", change: modify(arpIgnore, arpOne)},
		{name: "set what is not there", change: modify(gone, gone), failsSomehow: true},
		{name: "remove a setting", change: remove(arpOne), failsSomehow: true},
		{name: "set on a device that came with a module", change: state.Change{After: state.Sysctl{Name: tunnelSetting, Setting: "2"}}},
		{name: "set on a device that is not there", change: add(
			state.Sysctl{Name: state.ConfSysctl("ipv4", "lvs9", "rp_filter"), Setting: "2"}), failsSomehow: true},
	}
}

func address(p string) state.Address { return state.Address{Link: Device, Prefix: prefix(p)} }

func addressSteps() []step {
	deprecated := address("2001:db8::10/128")
	deprecated.Deprecated = true
	peer := state.Address{Link: "tun1", Prefix: prefix("192.0.2.129/32"), Peer: ip("192.0.2.130")}
	wide := state.Address{Link: "tun1", Prefix: prefix("192.0.2.129/30"), Peer: ip("192.0.2.130")}
	peer6 := state.Address{Link: "tun1", Prefix: prefix("2001:db8:1::1/128"), Peer: ip("2001:db8:1::2")}
	return []step{
		{name: "add address", change: add(address("192.0.2.1/24"))},
		{name: "add it again", change: add(address("192.0.2.1/24")), fails: unix.EEXIST},
		{name: "add the same address as /32", change: add(address("192.0.2.1/32"))},
		{name: "remove the /32", change: remove(address("192.0.2.1/32"))},
		{name: "remove it again", change: remove(address("192.0.2.1/32")), fails: unix.EADDRNOTAVAIL},
		{name: "add IPv6 address", change: add(address("2001:db8::10/128"))},
		{name: "add it with another length", change: add(address("2001:db8::10/64")), fails: unix.EEXIST},
		{name: "deprecate it", change: modify(address("2001:db8::10/128"), deprecated)},
		{name: "undeprecate it", change: modify(deprecated, address("2001:db8::10/128"))},
		{name: "remove it as /64", change: remove(address("2001:db8::10/64")), fails: unix.EADDRNOTAVAIL},
		{name: "remove IPv6 address", change: remove(address("2001:db8::10/128"))},
		{name: "add IPv6 address deprecated", change: add(deprecated)},
		{name: "add IPv6 network", change: add(address("2001:db8::1/64"))},
		{name: "modify an address that is not there", change: modify(address("192.0.2.9/32"), address("192.0.2.9/32")), fails: unix.EADDRNOTAVAIL},
		{name: "add to a device that is not there", change: add(state.Address{Link: "lvs9", Prefix: prefix("192.0.2.1/32")}), failsSomehow: true},
		{name: "add a device", change: add(state.Link{Name: "lvs9"}), failsSomehow: true},
		{name: "bring the tunnel up", change: add(state.Up{Link: "tun1"})},
		{name: "add address with peer", change: add(peer)},
		{name: "add it again", change: add(peer), fails: unix.EEXIST},
		{name: "remove it as one without peer", change: remove(state.Address{Link: "tun1", Prefix: prefix("192.0.2.129/30")}), fails: unix.EADDRNOTAVAIL},
		{name: "remove address with peer", change: remove(peer)},
		{name: "remove it again", change: remove(peer), fails: unix.EADDRNOTAVAIL},
		{name: "add address with peer in a network", change: add(wide)},
		{name: "add IPv6 address with peer", change: add(peer6)},
	}
}

func routeSteps() []step {
	v4 := state.Route{To: prefix("198.51.100.0/24"), Via: ip("192.0.2.254"), Link: Device, Protocol: state.RouteProtocol}
	moved := v4
	moved.Via, moved.Source = ip("192.0.2.253"), ip("192.0.2.1")
	foreign := v4
	foreign.Protocol = unix.RTPROT_STATIC
	second := v4
	second.Metric = 50
	tunnelled := state.Route{To: prefix("203.0.113.0/24"), Link: "tun1", Protocol: state.RouteProtocol}
	fallback := state.Route{To: prefix("0.0.0.0/0"), Via: ip("192.0.2.254"), Link: Device, Protocol: state.RouteProtocol}
	back := fallback
	back.Via = ip("192.0.2.253")
	v6 := state.Route{To: prefix("2001:db8:2::/64"), Metric: state.RouteMetric(prefix("::/0")), Via: ip("2001:db8::fe"), Link: Device, Protocol: state.RouteProtocol}
	moved6 := v6
	moved6.Via = ip("fe80::1")
	onLink := v6
	onLink.Via = netip.Addr{}
	default6 := state.Route{To: prefix("::/0"), Metric: state.RouteMetric(prefix("::/0")), Via: ip("2001:db8::fe"), Link: Device, Protocol: state.RouteProtocol}
	bare6 := v6
	bare6.Metric = 0
	unmasked := v4
	unmasked.To = prefix("198.51.100.1/24")
	mixed := state.Route{To: prefix("198.51.100.128/25"), Via: ip("fe80::1"), Link: Device, Protocol: state.RouteProtocol}
	return []step{
		{name: "add route", change: add(v4)},
		{name: "add it again", change: add(v4), fails: unix.EEXIST},
		{name: "add it as another's", change: add(foreign), fails: unix.EEXIST},
		{name: "add it with another metric", change: add(second)},
		{name: "move route", change: modify(v4, moved)},
		{name: "hand it over", change: modify(moved, foreign)},
		{name: "take it back", change: modify(foreign, v4)},
		{name: "remove route", change: remove(v4)},
		{name: "remove it again", change: remove(v4), fails: unix.ESRCH},
		{name: "modify a route that is not there", change: modify(v4, moved), fails: unix.ESRCH},
		{name: "remove the other metric", change: remove(second)},
		{name: "add route into the tunnel", change: add(tunnelled)},
		{name: "add default route", change: add(fallback)},
		{name: "move default route", change: modify(fallback, back)},
		{name: "remove default route", change: remove(back)},
		{name: "add IPv6 route", change: add(v6)},
		{name: "add it again", change: add(v6), fails: unix.EEXIST},
		{name: "move it to a link-local gateway", change: modify(v6, moved6)},
		{name: "make it on-link", change: modify(moved6, onLink)},
		{name: "move it back", change: modify(onLink, v6)},
		{name: "add IPv6 default route", change: add(default6)},
		{name: "remove IPv6 default route", change: remove(default6)},
		{name: "remove IPv6 route", change: remove(v6)},
		{name: "remove it again", change: remove(v6), fails: unix.ESRCH},
		{name: "add IPv4 route via IPv6", change: add(mixed)},
		{name: "IPv6 route without metric", change: add(bare6), fails: unix.EINVAL},
		{name: "route to an address inside a network", change: add(unmasked), fails: unix.EINVAL},
		{name: "route through a device that is not there", change: add(state.Route{To: prefix("198.51.100.0/24"), Link: "lvs9", Protocol: state.RouteProtocol}), failsSomehow: true},
	}
}

func neighbourSteps() []step {
	v4 := state.Neighbour{Link: Device, Address: ip("192.0.2.10"), MAC: "02:00:00:00:00:01"}
	moved := v4
	moved.MAC = "02:00:00:00:00:02"
	v6 := state.Neighbour{Link: Device, Address: ip("2001:db8::99"), MAC: "02:00:00:00:00:01"}
	return []step{
		{name: "add neighbour", change: add(v4)},
		{name: "add it again", change: add(v4), fails: unix.EEXIST},
		{name: "move neighbour", change: modify(v4, moved)},
		{name: "remove neighbour", change: remove(moved)},
		{name: "remove it again", change: remove(moved), fails: unix.ENOENT},
		{name: "modify a neighbour that is not there", change: modify(v4, moved), fails: unix.ENOENT},
		{name: "add IPv6 neighbour", change: add(v6)},
		{name: "neighbour without a MAC", change: add(state.Neighbour{Link: Device, Address: ip("192.0.2.11"), MAC: "x"}), failsSomehow: true},
		{name: "neighbour on a device that is not there", change: add(state.Neighbour{Link: "lvs9", Address: ip("192.0.2.11"), MAC: v4.MAC}), failsSomehow: true},
	}
}

func upSteps() []step {
	v4 := state.Address{Link: Spare, Prefix: prefix("203.0.113.1/30")}
	v6 := state.Address{Link: Spare, Prefix: prefix("2001:db8:3::1/64")}
	route := state.Route{To: prefix("198.51.100.0/24"), Via: ip("203.0.113.2"), Link: Spare, Protocol: state.RouteProtocol}
	neighbour := state.Neighbour{Link: Spare, Address: ip("203.0.113.2"), MAC: "02:00:00:00:00:01"}
	return []step{
		{name: "address on the spare device", change: add(v4)},
		{name: "IPv6 address on it", change: add(v6)},
		{name: "route through it", change: add(route)},
		{name: "neighbour on it", change: add(neighbour)},
		{name: "take it down", change: remove(state.Up{Link: Spare}), takes: ids(v6, route, neighbour)},
		{name: "bring it up", change: add(state.Up{Link: Spare})},
		{name: "bring it up again", change: add(state.Up{Link: Spare})},
		{name: "bring up what is not there", change: add(state.Up{Link: "lvs9"}), failsSomehow: true},
	}
}
