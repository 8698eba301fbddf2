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
	Reply      []Hop              `json:"reply"` // of a service with replies: none, none
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
	// Settings are the items of state that allow it, the very ones a plan has.
	Settings []state.Tagged `json:"settings,omitempty"`
}

// texts are the settings as plans print them.
func (c Change) texts() []string {
	var out []string
	for _, s := range c.Settings {
		out = append(out, state.Text(s.Item))
	}
	return out
}

// Explain computes the walk from a client to a real server of a service,
// through the service's first director. The inventory must pass Check, and the
// client be one of Clients.
func Explain(inv *inventory.Inventory, s *inventory.Service, client *inventory.Host, server *inventory.RealServer) Walk {
	w := &walker{
		leg:    leg{&service{Service: s, inv: inv}, s.Directors[0], server},
		client: client,
		known:  knownOf(inv, Desire(inv, nil)),
	}
	out := Walk{
		Service: s.Name, Protocol: s.Protocol, Mode: server.Mode,
		Client: client.Name, Director: w.director.Name, RealServer: server.Host.Name,
	}
	w.walk()
	// Arrays in JSON, not null, wherever the packet is lost.
	out.Request, out.Reply, out.Lost = append([]Hop{}, w.request...), append([]Hop{}, w.reply...), w.lost
	return out
}

// Clients are the hosts that use a service from outside.
func Clients(inv *inventory.Inventory, s *inventory.Service) []*inventory.Host {
	return (&service{Service: s, inv: inv}).clients()
}

// walker follows a packet. Once the packet is lost, nothing more happens to it.
type walker struct {
	leg
	client *inventory.Host
	known  *known

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
	odd      []wayBack // where the packet comes in by another device than its way back
	ended    bool      // at the real server, which does not answer
}

// over reports whether nothing more happens to the packet.
func (w *walker) over() bool { return w.lost != "" || w.ended }

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
	w.byIfSet(w.director, "marks it as the service's", itemsOf(w.marks(), state.KindFirewallRule)...)
	w.by(w.director, fmt.Sprintf("takes it for service %s in IPVS, and %s chooses %s", w.Name, w.Scheduler, w.server.Host.Name),
		itemsOf(w.virtualService(), state.KindService)...)
	w.mode().walk(w)
}

func endpoint(a netip.AddrPort) Endpoint { return Endpoint{a.Addr(), a.Port()} }

func (w *walker) lose(format string, args ...any) {
	if !w.over() {
		w.lost = fmt.Sprintf(format, args...)
	}
}

// by notes what a host does, with those of the items that it must have.
func (w *walker) by(h *inventory.Host, what string, items ...state.Item) {
	if w.over() {
		return
	}
	c := Change{By: h.Name, What: what}
	for _, i := range items {
		if w.wants(h, i) {
			c.Settings = append(c.Settings, state.Tagged{Item: i})
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
	return w.known.items[h.Name][i]
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

// vipIsFound tells how a neighbour of the director, and of nobody else, comes
// to have the VIP's MAC address.
func (w *walker) vipIsFound(asker Station) {
	asked := "ARP"
	if w.VIP.Is6() {
		asked = "neighbour solicitations"
	}
	w.by(w.director, fmt.Sprintf("answers %s for %s", asked, w.VIP), itemsOf(w.directorVIP(w.director), state.KindAddress, state.KindUp)...)
	if !w.traits().KeepsDestination {
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
		case state.FirewallRule:
			if i.Chain == "INPUT" {
				answering = append(answering, i)
			} else {
				asking = append(asking, i)
			}
		}
	}
	return answering, asking
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
	return itemsOf(w.mode().director(w.leg), state.KindDestination)[0]
}

// accept is what a real server does that has the VIP on a device. Rules
// redirect may bring the packet to another port.
func (w *walker) accept(device string, redirect []Want) {
	w.by(w.server.Host, "accepts it: the VIP is an address of its own", w.vipOn(device))
	if w.server.Redirect != 0 {
		w.by(w.server.Host, fmt.Sprintf("brings it to port %d, on which it listens", w.server.Redirect), itemsOf(redirect, state.KindFirewallRule)...)
		w.destination.Port = w.server.Redirect
	}
}

// redirectBack undoes it in the reply.
func (w *walker) redirectBack(redirect []Want) {
	if w.server.Redirect != 0 {
		w.source.Port = w.ports()[0]
		w.by(w.server.Host, fmt.Sprintf("puts port %d back in the place of %d", w.source.Port, w.server.Redirect), itemsOf(redirect, state.KindFirewallRule)...)
	}
}
