package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// crossing is what was found out about one direction of a tunnel.
type crossing struct {
	from, to *inventory.TunnelEnd
	echo     wire.Echo
	// outer is what brought the request to the other end; nil: nothing did.
	outer *flow.Sighting
}

// tunnelEvidence is all that was found out about a tunnel.
type tunnelEvidence struct {
	crossings []crossing
	missing   []*fault.Error // what could not be asked
}

// tunnel asks for an echo from each end of a tunnel to the other's inner
// address, and has the other end look at how the request comes in.
func (g *gatherer) tunnel(ctx context.Context, t *inventory.Tunnel) *tunnelEvidence {
	ev := &tunnelEvidence{}
	for i, from := range t.Ends {
		c, err := g.cross(ctx, from, t.Ends[1-i])
		if err != nil {
			ev.missing = append(ev.missing, fault.From(err))
			continue
		}
		ev.crossings = append(ev.crossings, c)
	}
	return ev
}

func (g *gatherer) cross(ctx context.Context, from, to *inventory.TunnelEnd) (crossing, error) {
	c := crossing{from: from, to: to}
	g.opts.Progress(fmt.Sprintf("%s -> %s through their tunnel", from.Host.Name, to.Host.Name))
	limit := g.opts.Timeout + callLimit
	watch := wire.WatchRequest{Limit: limit + 2*callLimit, Patterns: []flow.Pattern{
		{Protocol: "icmp", From: []netip.Addr{from.Address}, To: []netip.Addr{to.Address}, Wrapped: true},
	}}
	if _, err := ask[wire.Nothing](ctx, g, to.Host.Name, "watch for packets", callLimit, wire.MethodWatchStart, watch); err != nil {
		return c, err
	}
	var err error
	c.echo, err = ask[wire.Echo](ctx, g, from.Host.Name, "ask for an echo", limit, wire.MethodEcho,
		wire.EchoRequest{From: from.Address, To: to.Address, Timeout: g.opts.Timeout})
	seen, stopErr := ask[wire.Watched](ctx, g, to.Host.Name, "watch for packets", callLimit, wire.MethodWatchStop, wire.Nothing{})
	if err == nil {
		err = stopErr
	}
	for _, s := range seen.Seen {
		c.outer = &s
	}
	return c, err
}

// judgeTunnel turns evidence into a verdict. It is pure.
func judgeTunnel(t *inventory.Tunnel, ev *tunnelEvidence) Tunnel {
	out := Tunnel{Name: t.Name, Type: t.Type, Checks: []Check{judgeEchoes(ev), judgeOuter(t, ev)}}
	out.Outcome = outcomeOf(out.Checks)
	return out
}

// judgeEchoes checks that each end reaches the other.
func judgeEchoes(ev *tunnelEvidence) Check {
	var wrong, seen []string
	for _, c := range ev.crossings {
		way := fmt.Sprintf("%s (%s) -> %s (%s)", c.from.Host.Name, c.from.Address, c.to.Host.Name, c.to.Address)
		switch {
		case c.echo.Failed != "":
			wrong = append(wrong, way+": "+c.echo.Failed)
		case !c.echo.Answered && c.outer != nil:
			wrong = append(wrong, fmt.Sprintf("%s: no answer to %s, which came in there", way, count(c.echo.Asked, "echo request")))
		case !c.echo.Answered:
			wrong = append(wrong, fmt.Sprintf("%s: no answer to %s, which did not come in through the tunnel", way, count(c.echo.Asked, "echo request")))
		default:
			text := way + ": answered"
			if c.echo.Asked > 1 {
				text += fmt.Sprintf(" after %d echo requests", c.echo.Asked)
			}
			seen = append(seen, text)
		}
	}
	return ev.check(checkBothWays, wrong, nil, seen)
}

// judgeOuter checks what the inner packets travelled in.
func judgeOuter(t *inventory.Tunnel, ev *tunnelEvidence) Check {
	var wrong, open, seen []string
	for _, c := range ev.crossings {
		if c.outer == nil && c.echo.Failed != "" {
			open = append(open, fmt.Sprintf("%s sent nothing to %s, so nothing could come in there", c.from.Host.Name, c.to.Host.Name))
			continue
		}
		if c.outer == nil {
			wrong = append(wrong, fmt.Sprintf("%s saw no packet of %s come in through a tunnel", c.to.Host.Name, c.from.Host.Name))
			continue
		}
		text := outerText(c.outer)
		if c.outer.Tunnel == t.Type && endHas(c.from, c.outer.OuterFrom) && endHas(c.to, c.outer.OuterTo) {
			seen = append(seen, fmt.Sprintf("%s saw %s come in", c.to.Host.Name, text))
		} else {
			wrong = append(wrong, fmt.Sprintf("%s saw %s instead of %s between the two", c.to.Host.Name, text, t.Type))
		}
	}
	return ev.check(checkOuter, wrong, open, seen)
}

// endHas reports whether an outer address is the one the inventory names for
// the end, or any of its host's when it names none.
func endHas(e *inventory.TunnelEnd, a netip.Addr) bool {
	if e.Outer.IsValid() {
		return a == e.Outer
	}
	return slices.Contains(addressesOf(e.Host), a)
}

func (ev *tunnelEvidence) check(name string, wrong, open, seen []string) Check {
	return finding{
		wrong: wrong, open: open, missing: ev.missing, seen: strings.Join(seen, "; "),
		facts: Facts{Counted: len(ev.crossings), Right: len(seen)},
	}.check(name)
}

// outerOf is the header of the packet that a request came in.
func outerOf(s *flow.Sighting) *modes.Outer {
	return &modes.Outer{Source: s.OuterFrom, Destination: s.OuterTo, Protocol: s.Tunnel, Port: s.OuterPort}
}

func outerText(s *flow.Sighting) string { return tunnelText(*outerOf(s)) }

// tunnelText names a tunnel's packet: gue 192.0.2.3 -> 203.0.113.6 port 5555.
func tunnelText(o modes.Outer) string {
	text := fmt.Sprintf("%s %s -> %s", o.Protocol, o.Source, o.Destination)
	if o.Port != 0 {
		text += fmt.Sprintf(" port %d", o.Port)
	}
	return text
}
