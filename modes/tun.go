package modes

import (
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/lvsform/lvsform/firewall"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// tun is tunnelling: the director puts the packet, as the client sent it, into
// another one to the real server, which takes it out, must have the VIP
// itself, and answers the client without the director. The two may be networks
// apart.
func tun() mode {
	return mode{
		traits: Traits{
			Forward:           state.ForwardTUN,
			KeepsDestination:  true,
			VIPWhereItArrives: true,
			Tunnelled:         true,
			Source:            SourceClient,
		},
		demands:    tunDemands,
		director:   tunDirector,
		realServer: tunRealServer,
		walk:       tunWalk,
	}
}

// What it demands of the topology.

func tunDemands(l leg) inventory.Problems {
	out := l.samePort()
	if _, ok := l.dip(); !ok {
		return append(out, l.problem(l.server.Path, "give "+l.director.Name+" a gateway or a route to it, or both a NIC in one network",
			"director %s has no route to real server %s, to which its tunnel leads", l.director.Name, l.server.Host.Name))
	}
	return append(out, l.directReply()...)
}

// encapsulation is the real server's, ipip unless said otherwise.
func (l leg) encapsulation() inventory.Encapsulation {
	e := l.server.Encapsulation
	if e.Type == "" {
		e.Type = "ipip"
	}
	return e
}

// decapsulation is what a real server needs to take packets out of the tunnel.
type decapsulation struct {
	modules []string
	device  string            // on which the inner packets arrive
	tunnel  *state.TunnelLink // where the device does not come with a module
	// overhead is what the outer headers take of the path's MTU, in bytes.
	overhead int
}

// decapsulation picks the device for the families of the VIP and of the real
// server's address. IPv4 outside uses the modules' fallback devices, which take
// packets from any director; ip6tnl0 takes only what is configured on it, so
// IPv6 outside gets a device of its own.
func (l leg) decapsulation() decapsulation {
	rip := l.rip()
	inner6, outer6 := l.VIP.Is6(), rip.Is6()
	e := l.encapsulation()
	var d decapsulation
	switch {
	case e.Type == "gre" && !outer6 && e.Checksum:
		// gre0 takes no packets with a checksum.
		d = decapsulation{modules: []string{"ip_gre"}, overhead: 20 + 4}
		d.tunnel = l.tunnelFrom(state.TunnelGRE)
	case e.Type == "gre" && !outer6:
		d = decapsulation{modules: []string{"ip_gre"}, device: "gre0", overhead: 20 + 4}
	case e.Type == "gre":
		d = decapsulation{modules: []string{"ip6_gre"}, overhead: 40 + 4}
		d.tunnel = l.tunnelFrom(state.TunnelIP6GRE)
	case outer6:
		d = decapsulation{modules: []string{"ip6_tunnel"}, overhead: 40}
		d.tunnel = l.tunnelFrom(state.TunnelIP6TNL)
	case inner6:
		d = decapsulation{modules: []string{"sit"}, device: "sit0", overhead: 20}
	default:
		d = decapsulation{modules: []string{"ipip"}, device: "tunl0", overhead: 20}
	}
	if d.tunnel != nil {
		d.device = d.tunnel.Name
	}
	switch {
	case e.Type == "gre" && e.Checksum:
		d.overhead += 4
	case e.Type == "gue":
		d.overhead += 8 + 4 // UDP and GUE
		d.modules = append(d.modules, map[bool]string{false: "fou", true: "fou6"}[outer6])
	}
	return d
}

// tunnelFrom is a tunnel device for packets from the leg's director.
func (l leg) tunnelFrom(kind string) *state.TunnelLink {
	dip, ok := l.dip()
	if !ok {
		return nil
	}
	// A device's name has 15 characters: the director's address does not fit.
	h := fnv.New32a()
	_, _ = h.Write([]byte(kind + dip.String()))
	return &state.TunnelLink{
		Name: fmt.Sprintf("lvs%08x", h.Sum32()), Type: kind, Local: l.rip(), Remote: dip, TTL: 64,
		Checksum: l.encapsulation().Type == "gre" && l.encapsulation().Checksum,
	}
}

// What each role must look like.

func tunDirector(l leg) []Want {
	w := l.destination()
	d := w.Item.(state.Destination)
	if e := l.encapsulation(); e.Type != "ipip" {
		d.Tunnel = state.Tunnel{Type: e.Type, Port: e.Port, Checksum: e.Checksum}
	}
	w.Item = d
	return []Want{w}
}

func tunRealServer(l leg) []Want {
	d := l.decapsulation()
	var out []Want
	want := func(i state.Item, id ReasonID, reason string) {
		out = append(out, Want{Item: i, Role: inventory.RoleRealServer, Reason: Reason{id, reason}})
	}
	for _, m := range d.modules {
		want(state.Module{Name: m}, ReasonDecapsulation, "takes packets out of the tunnel")
	}
	if e := l.encapsulation(); e.Type == "gue" {
		want(state.FOUPort{Port: e.Port, IPv6: l.rip().Is6()}, ReasonDecapsulation, "takes the UDP header off")
	}
	if d.tunnel != nil {
		want(*d.tunnel, ReasonDecapsulation, "packets from director "+l.director.Name+" arrive on it")
	}
	want(state.Up{Link: d.device}, ReasonDecapsulation, "packets out of the tunnel arrive on it")
	if l.VIP.Is4() {
		out = append(out, looseFilter(d.device))
	}
	out = append(out, l.quiet()...)
	out = append(out, l.redirect(d.device)...)
	out = append(out, l.clamp(d.overhead)...)
	// On the tunnel device: loose rp_filter still drops what comes in by a
	// device without an address.
	want(l.vipOn(d.device), ReasonAcceptVIP, "accepts packets for the VIP")
	return out
}

// looseFilter lets in what has a way back by any device: the client's packets
// have none by the tunnel they come out of. The kernel uses the larger of the
// device's setting and that of all.
func looseFilter(device string) Want {
	return Want{
		Item: filterSetting(device, "2"),
		Role: inventory.RoleRealServer, Reason: Reason{ReasonReversePath, "lets the client's packets in that come out of the tunnel"},
		MetBy: [][]state.Item{{filterSetting("all", "2")}},
	}
}

// redirect brings packets for the VIP's port to the port on which the real
// server listens, after they have come out of the tunnel; device may be empty.
func (l leg) redirect(device string) []Want {
	if l.server.Redirect == 0 {
		return nil
	}
	var out []Want
	for _, port := range l.ports() {
		out = append(out, Want{
			Item: firewall.Redirect{VIP: l.VIP, Device: device, Protocol: state.Protocol(l.Protocol), Port: port, To: l.server.Redirect}.Rule(),
			Role: inventory.RoleRealServer, Reason: Reason{ReasonRedirect, fmt.Sprintf("it listens on port %d", l.server.Redirect)},
		})
	}
	return out
}

// defaultMTU is assumed of devices that were not observed.
const defaultMTU = 1500

// clamp has the real server ask clients for segments that still fit when the
// director has wrapped them. A client learns it otherwise only from the
// director's ICMP, which many networks drop. UDP has no such question.
func (l leg) clamp(overhead int) []Want {
	if l.Protocol != inventory.TCP {
		return nil
	}
	var out []Want
	for _, port := range l.ports() {
		if l.server.Redirect != 0 {
			port = l.server.Redirect // the rule sees the packet before it is translated back
		}
		out = append(out, Want{
			Item: firewall.ClampMSS{VIP: l.VIP, Port: port, Size: l.segment(overhead)}.Rule(),
			Role: inventory.RoleRealServer, Reason: Reason{ReasonSegmentSize, "makes full segments fit into the tunnel"},
		})
		if l.server.Redirect != 0 {
			break
		}
	}
	return out
}

// segment is the largest TCP payload that fits: the MTU of the director's
// device towards the real server, less the outer headers, the inner IP header
// and the TCP header.
func (l leg) segment(overhead int) int {
	mtu := defaultMTU
	if nic, _ := l.director.Egress(l.rip()); nic != nil {
		if m := l.facts[l.director.Name][nic.Name].MTU; m != 0 {
			mtu = m
		}
	}
	return mtu - overhead - innerHeader(l.VIP) - 20
}

func innerHeader(vip netip.Addr) int {
	if vip.Is6() {
		return 40
	}
	return 20
}

// How a packet walks.

func tunWalk(w *walker) {
	server, e, d := w.server.Host, w.encapsulation(), w.decapsulation()
	dip, _ := w.dip()
	w.by(w.director, fmt.Sprintf("puts it as it is into another packet to %s", w.rip()), w.destinationItem())
	w.outer = &Outer{Source: dip, Destination: w.rip(), Protocol: e.Type, Port: e.Port}
	w.travel(server)
	w.by(server, "takes it out of the outer packet", itemsOf(tunRealServer(w.leg), state.KindFOUPort, state.KindTunnel, state.KindUp)...)
	w.outer = nil
	w.within(d.device)
	w.accept(d.device, w.redirect(d.device))
	w.turn()
	w.byIfSet(server, "asks for segments that fit into the tunnel", itemsOf(w.clamp(d.overhead), state.KindFirewallRule)...)
	w.redirectBack(w.redirect(d.device))
	w.replyDirectly()
}
