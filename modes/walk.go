package modes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Walk is how one packet gets from a client to a real server of a service, and
// how the reply comes back, as the inventory tells it.
type Walk struct {
	Service    string             `json:"service"`
	Protocol   inventory.Protocol `json:"protocol"`
	Mode       inventory.Mode     `json:"mode"`
	Client     string             `json:"client"`
	Director   string             `json:"director"`
	RealServer string             `json:"real_server"`
	Request    []Hop              `json:"request"`
	Reply      []Hop              `json:"reply"`
	// Lost is where and why the packet does not get on; the hops end there.
	Lost string `json:"lost,omitempty"`
}

// Hop is the packet on its way from one device to the next: on a segment, into
// or out of a tunnel on one host, or to the program that listens.
type Hop struct {
	// Changes are what was done before the packet was seen so, in order. Most
	// are by the host it leaves.
	Changes     []Change `json:"changes,omitempty"`
	From        Station  `json:"from"`
	To          Station  `json:"to"`
	Outer       *Outer   `json:"outer,omitempty"` // nil: the packet is in no other
	Source      Endpoint `json:"source"`
	Destination Endpoint `json:"destination"`
}

// Station is one end of a hop.
type Station struct {
	Host   string     `json:"host,omitempty"`
	Router netip.Addr `json:"router,omitzero"`  // instead of Host: a router that is not in the inventory
	Device string     `json:"device,omitempty"` // empty: the program's socket, or a device of a Router
	MAC    string     `json:"mac,omitempty"`    // whose it is: "lb ens33's"; empty: the hop crosses no segment
}

// Outer is the header of the packet that holds the packet.
type Outer struct {
	Source      netip.Addr `json:"source"`
	Destination netip.Addr `json:"destination"`
	Protocol    string     `json:"protocol"`       // ipip, gre or gue
	Port        uint16     `json:"port,omitempty"` // destination port of gue
}

// Endpoint is an address and a port. Port 0 is one that nobody can foretell:
// the client's, or the client's choice.
type Endpoint struct {
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port,omitempty"`
}

func (e Endpoint) String() string {
	if e.Port == 0 {
		return e.Address.String()
	}
	return netip.AddrPortFrom(e.Address, e.Port).String()
}

// Change is something a host did, to the packet or for it to come this way.
type Change struct {
	By   string `json:"by"`   // host
	What string `json:"what"` // reads on from the host's name
	// Settings are the items of Desire that allow it, as state.Text prints them.
	Settings []string `json:"settings,omitempty"`
}

// Explain computes the walk from a client to a real server of a service,
// through the service's first director. The inventory must pass Check, and the
// client be one of Clients.
func Explain(inv *inventory.Inventory, s *inventory.Service, client *inventory.Host, server *inventory.RealServer) Walk {
	w := &walker{
		leg:     leg{&service{s, inv, nil}, s.Directors[0], server},
		client:  client,
		desired: Desire(inv, nil),
	}
	out := Walk{
		Service: s.Name, Protocol: s.Protocol, Mode: server.Mode,
		Client: client.Name, Director: w.director.Name, RealServer: server.Host.Name,
	}
	w.walk()
	out.Request, out.Reply, out.Lost = w.request, w.reply, w.lost
	return out
}

// Clients are the hosts that use a service from outside.
func Clients(inv *inventory.Inventory, s *inventory.Service) []*inventory.Host {
	return (&service{s, inv, nil}).clients()
}

// walker follows a packet. Once the packet is lost, nothing more happens to it.
type walker struct {
	leg
	client  *inventory.Host
	desired Desired

	at          *inventory.Host // where the packet is
	device      string          // on which it arrived; empty: it begins here
	source      Endpoint
	destination Endpoint
	outer       *Outer
	tunnel      *inventory.Tunnel // whose outer header it has; nil: the service's
	changes     []Change          // since the last hop

	answers  bool // it is the reply
	forwards []forwarded
	request  []Hop
	reply    []Hop
	lost     string
}

// forwarded is a port forward the request has met; the gateway undoes it in
// the reply.
type forwarded struct {
	gateway *inventory.Host
	*inventory.PortForward
}

func (w *walker) walk() {
	from, ok := w.clientAddress(w.client)
	if !ok {
		w.lose("%s has no route to the VIP %s", w.client.Name, w.VIP)
		return
	}
	w.at = w.client
	w.source, w.destination = Endpoint{Address: from}, endpoint(w.entry(w.client))
	w.travel(w.director)
	w.byIfSet(w.director, "marks it as the service's", itemsOf(w.marks(), state.KindRule)...)
	w.by(w.director, fmt.Sprintf("takes it for service %s in IPVS, and %s chooses %s", w.Name, w.Scheduler, w.server.Host.Name),
		itemsOf(w.virtualService(), state.KindService)...)
	modeOf(w.server.Mode).walk(w)
}

func endpoint(a netip.AddrPort) Endpoint { return Endpoint{a.Addr(), a.Port()} }

func (w *walker) lose(format string, args ...any) {
	if w.lost == "" {
		w.lost = fmt.Sprintf(format, args...)
	}
}

// by notes what a host does, with those of the items that it must have.
func (w *walker) by(h *inventory.Host, what string, items ...state.Item) {
	if w.lost != "" {
		return
	}
	c := Change{By: h.Name, What: what}
	for _, i := range items {
		if w.wants(h, i) {
			c.Settings = append(c.Settings, state.Text(i))
		}
	}
	w.changes = append(w.changes, c)
}

// byIfSet is by for what happens only because of a setting.
func (w *walker) byIfSet(h *inventory.Host, what string, items ...state.Item) {
	if slices.ContainsFunc(items, func(i state.Item) bool { return w.wants(h, i) }) {
		w.by(h, what, items...)
	}
}

func (w *walker) wants(h *inventory.Host, i state.Item) bool {
	return slices.ContainsFunc(w.desired[h.Name], func(x Want) bool { return x.Item == i })
}

// itemsOf returns the wanted items of some kinds.
func itemsOf(wants []Want, kinds ...state.Kind) []state.Item {
	var out []state.Item
	for _, w := range wants {
		if slices.Contains(kinds, w.Item.Kind()) {
			out = append(out, w.Item)
		}
	}
	return out
}

// move is one hop.
func (w *walker) move(from, to Station) {
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
		if w.lost != "" {
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
	item := forwarding(w.target(), "", "").Item
	if !w.wants(w.at, item) {
		w.lose("%s drops it: it is for %s, and %s is no gateway", w.at.Name, w.target(), w.at.Name)
		return
	}
	w.by(w.at, "passes it on", item)
}

// send takes the packet from the host it is at to the next on the way to an
// address.
func (w *walker) send(to netip.Addr) {
	if w.lost != "" {
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
	if n := onLink(w.director, to); finds && n != nil {
		facing = n.Name == device
	}
	if facing {
		w.vipIsFound(from)
	}
	w.move(from, onSegment(host, device))
	w.at, w.device = host, device
	if finds && !facing {
		w.by(w.director, "accepts it: the VIP is an address of its own", itemsOf(w.directorVIP(w.director), state.KindAddress, state.KindUp)...)
	}
}

func onSegment(h *inventory.Host, device string) Station {
	return Station{Host: h.Name, Device: device, MAC: h.Name + " " + device + "'s"}
}

// vipIsFound tells how a neighbour of the director, and of nobody else, comes
// to have the VIP's MAC address.
func (w *walker) vipIsFound(asker Station) {
	asked := "ARP"
	if w.VIP.Is6() {
		asked = "neighbour solicitations"
	}
	w.by(w.director, fmt.Sprintf("answers %s for %s", asked, w.VIP), itemsOf(w.directorVIP(w.director), state.KindAddress, state.KindUp)...)
	if w.server.Mode != inventory.ModeDR && w.server.Mode != inventory.ModeTUN {
		return
	}
	if w.ARP == inventory.ARPStatic && asker.Host != "" && w.VIP.Is4() {
		// The setting has the director's MAC address, which no inventory names.
		w.by(w.host(asker.Host), fmt.Sprintf("asks nobody: it has a permanent neighbour entry for %s", w.VIP))
	}
	answering, _ := w.arpItems()
	w.byIfSet(w.server.Host, fmt.Sprintf("does not answer ARP for %s", w.VIP), answering...)
}

// arpItems are those that keep the real server from answering ARP for the VIP,
// and those that keep it from asking in the VIP's name.
func (w *walker) arpItems() (answering, asking []state.Item) {
	for _, want := range w.quiet() {
		switch i := want.Item.(type) {
		case state.Sysctl:
			if strings.HasSuffix(i.Name, ".arp_ignore") {
				answering = append(answering, i)
			} else {
				asking = append(asking, i)
			}
		case state.Rule:
			if i.Chain == "INPUT" {
				answering = append(answering, i)
			} else {
				asking = append(asking, i)
			}
		}
	}
	return answering, asking
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
}

// rport is where IPVS masquerading sends the packet. A destination without
// a port of its own keeps that of the packet.
func (w *walker) rport() Endpoint {
	if w.server.Port == 0 {
		return Endpoint{w.rip(), w.destination.Port}
	}
	return Endpoint{w.rip(), w.server.Port}
}

// destinationItem is the real server as IPVS knows it.
func (w *walker) destinationItem() state.Item {
	return itemsOf(modeOf(w.server.Mode).director(w.leg), state.KindDestination)[0]
}

// accept is what a real server does that has the VIP on a device. Rules
// redirect may bring the packet to another port.
func (w *walker) accept(device string, redirect []Want) {
	w.by(w.server.Host, "accepts it: the VIP is an address of its own", w.vipOn(device))
	if w.server.Redirect != 0 {
		w.by(w.server.Host, fmt.Sprintf("brings it to port %d, on which it listens", w.server.Redirect), itemsOf(redirect, state.KindRule)...)
		w.destination.Port = w.server.Redirect
	}
}

// redirectBack undoes it in the reply.
func (w *walker) redirectBack(redirect []Want) {
	if w.server.Redirect != 0 {
		w.source.Port = w.ports()[0]
		w.by(w.server.Host, fmt.Sprintf("puts port %d back in the place of %d", w.source.Port, w.server.Redirect), itemsOf(redirect, state.KindRule)...)
	}
}

// deliver gives the packet to the program that listens.
func (w *walker) deliver() {
	if w.lost == "" {
		w.move(Station{Host: w.at.Name, Device: w.device}, Station{Host: w.at.Name})
	}
}

// turn makes the program answer.
func (w *walker) turn() {
	if w.lost != "" {
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
	case w.lost != "":
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
	_, asking := w.arpItems()
	w.byIfSet(w.server.Host, "asks for its neighbours in its own name, not the VIP's", asking...)
	w.travel(w.client)
	w.arrive()
}
