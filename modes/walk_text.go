package modes

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
)

// WalksVersion is the format_version of Walks.
const WalksVersion = "2"

// Walks are several walks as one document.
type Walks struct {
	FormatVersion string `json:"format_version"`
	Walks         []Walk `json:"walks"`
	// Tunnels are those of the point-to-point tunnels.
	Tunnels []TunnelWalk `json:"tunnels,omitempty"`
}

// drawn is what both forms draw of a walk.
type drawn struct {
	title, start   string // start is the host where it begins
	sees           string // what the host at the end does with the packet
	request, reply []Hop
	lost           string
}

// all are the walks in the order in which they are drawn.
func (ws Walks) all() []drawn {
	var out []drawn
	for _, w := range ws.Walks {
		out = append(out, drawn{w.title(), w.Client, "its program sees", w.Request, w.Reply, w.Lost})
	}
	for _, w := range ws.Tunnels {
		out = append(out, drawn{w.title(), w.From, "it gets", w.Request, w.Reply, w.Lost})
	}
	return out
}

// WriteText draws the walks for people, from the top down: who has the packet,
// what it does, and below the bar what the packet then looks like.
func (ws Walks) WriteText(w io.Writer) error {
	var b bytes.Buffer
	for i, walk := range ws.all() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s\n", walk.title)
		writeWay(&b, "request", walk.request, walk.sees)
		writeWay(&b, "reply", walk.reply, walk.sees)
		if walk.lost != "" {
			fmt.Fprintf(&b, "\n  LOST: %s\n", walk.lost)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (walk Walk) title() string {
	return fmt.Sprintf("%s  %s  %s  %s -> %s", walk.Service, walk.Protocol, walk.Mode, walk.Client, walk.RealServer)
}

func writeWay(b *bytes.Buffer, name string, hops []Hop, sees string) {
	if len(hops) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", name)
	for i, h := range hops {
		if i == 0 || !h.From.sameAs(hops[i-1].From) {
			fmt.Fprintf(b, "  %s\n", h.From.name())
		}
		for _, c := range h.Changes {
			what := c.What
			if c.By != h.From.Host {
				what = c.By + " " + c.What
			}
			fmt.Fprintf(b, "    - %s\n", what)
			for _, s := range c.texts() {
				fmt.Fprintf(b, "        %s\n", s)
			}
		}
		if h.toProgram() {
			fmt.Fprintf(b, "    = %s %s\n", sees, h.addresses())
			continue
		}
		inner := ""
		if h.Outer != nil {
			fmt.Fprintf(b, "      |  %s\n", h.Outer)
			inner = "  "
		}
		fmt.Fprintf(b, "      |  %s%s\n      v  %s\n", inner, h.addresses(), h.place())
	}
	if last := hops[len(hops)-1]; !last.toProgram() {
		fmt.Fprintf(b, "  %s\n", last.To.name())
	}
}

// toProgram reports whether the hop hands the packet to the program that
// listens, or waits for the reply.
func (h Hop) toProgram() bool { return h.To.Router == netip.Addr{} && h.To.Device == "" }

// sameAs reports whether two stations are on one host.
func (s Station) sameAs(other Station) bool {
	return s.Host == other.Host && s.Router == other.Router
}

func (s Station) name() string {
	if s.Router.IsValid() {
		return "router " + s.Router.String() + " (not in the inventory)"
	}
	return s.Host
}

func (h Hop) addresses() string { return fmt.Sprintf("%s -> %s", h.Source, h.Destination) }

func (o Outer) String() string {
	return fmt.Sprintf("%s -> %s %s", o.Source, Endpoint{o.Destination, o.Port}, o.Protocol)
}

// place is where the hop leads.
func (h Hop) place() string {
	if h.From.MAC == "" {
		return "device " + h.To.Device
	}
	return fmt.Sprintf("MAC %s -> %s", h.From.MAC, h.To.MAC)
}
