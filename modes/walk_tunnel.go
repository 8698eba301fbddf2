package modes

import (
	"fmt"

	"github.com/lvsform/lvsform/inventory"
)

// TunnelWalk is how an echo request gets from one end of a point-to-point tunnel
// to the other, and how the reply comes back, as the inventory tells it.
type TunnelWalk struct {
	Tunnel  string `json:"tunnel"`
	Type    string `json:"type"` // gre or ipip
	From    string `json:"from"` // host of the first end
	To      string `json:"to"`
	Request []Hop  `json:"request"`
	Reply   []Hop  `json:"reply"`
	// Lost is where and why the packet does not get on; the hops end there.
	Lost string `json:"lost,omitempty"`
}

// ExplainTunnel computes the walk from the first end of a tunnel to the second,
// and back. The inventory must pass Check.
func ExplainTunnel(inv *inventory.Inventory, t *inventory.Tunnel) TunnelWalk {
	from, to := t.Ends[0], t.Ends[1]
	none := &inventory.Host{} // no director has a part in it
	w := &walker{
		leg:    leg{&service{Service: &inventory.Service{}, inv: inv}, none, &inventory.RealServer{Host: none}},
		client: from.Host,
		known:  knownOf(inv, Desire(inv, nil)),
		at:     from.Host,
		source: Endpoint{Address: from.Address}, destination: Endpoint{Address: to.Address},
	}
	w.travel(to.Host)
	w.turn()
	w.travel(from.Host)
	w.deliver()
	return TunnelWalk{
		Tunnel: t.Name, Type: t.Type, From: from.Host.Name, To: to.Host.Name,
		Request: append([]Hop{}, w.request...), Reply: append([]Hop{}, w.reply...), Lost: w.lost, // arrays in JSON, not null
	}
}

func (walk TunnelWalk) title() string {
	return fmt.Sprintf("%s  %s tunnel  %s -> %s", walk.Tunnel, walk.Type, walk.From, walk.To)
}
