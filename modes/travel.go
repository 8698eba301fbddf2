package modes

import (
	"fmt"
	"net/netip"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// move is one hop.
func (w *walker) move(from, to Station) {
	if w.over() {
		return
	}
	h := Hop{
		Changes: w.changes, From: from, To: to, Outer: w.outer,
		Source: w.source, Destination: w.destination,
	}
	w.changes = nil
	if w.answers {
		w.reply = append(w.reply, h)
	} else {
		w.request = append(w.request, h)
	}
}

// maxHops ends packets that go in a circle, as their TTL does.
const maxHops = 64

// travel sends the packet from host to host until it is at the given one, or
// at one that it is addressed to.
func (w *walker) travel(until *inventory.Host) {
	for range maxHops {
		w.send(w.target())
		if w.over() {
			return
		}
		if w.outer == nil && w.source.Address.Is4() && w.has(w.at, w.source.Address) {
			w.lose("%s drops it: its source %s is an address of its own", w.at.Name, w.source.Address)
			return
		}
		if w.tunnel != nil && w.has(w.at, w.outer.Destination) {
			w.leaveTunnel()
		}
		w.portForward()
		if w.at == until || w.has(w.at, w.target()) {
			return
		}
		w.passOn()
	}
	w.lose("it goes in a circle")
}

// target is the address by which the packet is routed.
func (w *walker) target() netip.Addr {
	if w.outer != nil {
		return w.outer.Destination
	}
	return w.destination.Address
}

// passOn is what a host does with a packet that is for somebody else.
func (w *walker) passOn() {
	item := forwarding(w.target(), "", passesOn()).Item
	if !w.wants(w.at, item) {
		w.lose("%s drops it: it is for %s, and %s is no gateway", w.at.Name, w.target(), w.at.Name)
		return
	}
	w.by(w.at, "passes it on", item)
}

// send takes the packet from the host it is at to the next on the way to an
// address.
func (w *walker) send(to netip.Addr) {
	if w.over() {
		return
	}
	n, ok := w.nextHop(to)
	if !ok {
		w.lose("%s has no route to %s", w.at.Name, to)
		return
	}
	if n.route != nil {
		w.by(w.at, "takes its "+routeName(n.route.To), *n.route)
	}
	if t := w.tunnelOn(n.device); t != nil {
		w.enterTunnel(t)
		return
	}
	hop := to
	if n.router.IsValid() {
		hop = n.router
	}
	from := onSegment(w.at, n.device)
	host, device := w.holder(n.network, hop)
	if host == nil {
		if !n.router.IsValid() {
			w.lose("nobody in network %s has %s", n.network.Name, hop)
			return
		}
		router := Station{Router: n.router, MAC: "router " + n.router.String() + "'s"}
		w.move(from, router)
		from = router
		if host, device = w.behindRouter(to); host == nil {
			w.lose("no host of the inventory has %s", to)
			return
		}
	}
	finds := host == w.director && to == w.VIP && !w.answers
	facing := false
	if n := w.director.NICToward(to); finds && n != nil {
		facing = n.Name == device
	}
	if facing {
		w.vipIsFound(from)
	}
	w.move(from, onSegment(host, device))
	w.at, w.device = host, device
	w.comesIn()
	if finds && !facing {
		w.by(w.director, "accepts it: the VIP is an address of its own", itemsOf(w.directorVIP(w.director), state.KindAddress, state.KindUp)...)
	}
}

func onSegment(h *inventory.Host, device string) Station {
	return Station{Host: h.Name, Device: device, MAC: h.Name + " " + device + "'s"}
}

// portForward is a gateway's own translation, and its undoing in the reply.
func (w *walker) portForward() {
	if w.outer != nil {
		return
	}
	if w.answers {
		for _, f := range w.forwards {
			if f.gateway == w.at && endpoint(f.To) == w.source {
				w.source = endpoint(f.Listen)
				w.by(w.at, fmt.Sprintf("puts %s back in the place of %s", f.Listen, f.To), dnat(f.PortForward))
			}
		}
		return
	}
	for _, f := range w.at.Forwards {
		if f.Protocol == w.Protocol && endpoint(f.Listen) == w.destination {
			w.destination = endpoint(f.To)
			w.forwards = append(w.forwards, forwarded{w.at, f})
			w.by(w.at, fmt.Sprintf("puts %s in the place of %s", f.To, f.Listen), dnat(f))
			return
		}
	}
}

// enterTunnel routes the packet into a point-to-point tunnel.
func (w *walker) enterTunnel(t *inventory.Tunnel) {
	if w.outer != nil {
		w.lose("%s puts it into tunnel %s while it is in a tunnel already; this is as far as lvsform can tell", w.at.Name, t.Name)
		return
	}
	end := endOf(t, w.at)
	w.move(Station{Host: w.at.Name, Device: w.device}, Station{Host: w.at.Name, Device: t.Name})
	local, remote := outerAddresses(t, end)
	w.outer, w.tunnel = &Outer{Source: local, Destination: remote, Protocol: t.Type}, t
	w.by(w.at, fmt.Sprintf("puts it into another packet to %s", remote), itemsOf(tunnelEnd(t, end), state.KindTunnel, state.KindUp, state.KindAddress)...)
	w.send(remote)
}

// leaveTunnel takes it out again at the other end.
func (w *walker) leaveTunnel() {
	t := w.tunnel
	w.by(w.at, "takes it out of the outer packet", itemsOf(tunnelEnd(t, endOf(t, w.at)), state.KindTunnel, state.KindUp, state.KindAddress)...)
	w.outer, w.tunnel = nil, nil
	w.within(t.Name)
}

// within moves the packet to another device of the host it is on.
func (w *walker) within(device string) {
	w.move(Station{Host: w.at.Name, Device: w.device}, Station{Host: w.at.Name, Device: device})
	w.device = device
	w.comesIn()
}

// deliver gives the packet to the program that listens.
func (w *walker) deliver() {
	w.move(Station{Host: w.at.Name, Device: w.device}, Station{Host: w.at.Name})
}

// turn makes the program answer. Where it answers nothing the walk ends.
func (w *walker) turn() {
	if w.over() {
		return
	}
	if !w.Answers() {
		if w.traits().KeepsDestination {
			w.asksInItsOwnName()
		}
		w.by(w.server.Host, "takes it, and sends no reply (replies: none)")
		w.deliver()
		w.ended = true
		return
	}
	w.deliver()
	w.answers, w.device = true, ""
	w.source, w.destination = w.destination, w.source
}

// arrive ends the reply at the client, which takes it only from the address it
// has asked.
func (w *walker) arrive() {
	asked := endpoint(w.entry(w.client))
	switch {
	case w.over():
	case w.source != asked:
		w.lose("%s drops it: it has asked %s, and %s answers", w.client.Name, asked, w.source)
	default:
		w.deliver()
	}
}

// toDirector takes the reply to the director, which must see it.
func (w *walker) toDirector() {
	w.travel(w.director)
	if w.at != w.director {
		w.arrive()
	}
}

// replyDirectly is the way back that does not pass the director.
func (w *walker) replyDirectly() {
	w.asksInItsOwnName()
	w.travel(w.client)
	w.arrive()
}

func (w *walker) asksInItsOwnName() {
	_, asking := w.arpItems()
	w.byIfSet(w.server.Host, "asks for its neighbours in its own name, not the VIP's", asking...)
}
