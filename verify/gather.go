package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// callLimit is how long a host may take to answer a question that needs no
// waiting: reading a connection table with millions of rows is the longest.
const callLimit = 20 * time.Second

// gatherer asks the hosts.
type gatherer struct {
	inv   *inventory.Inventory
	hosts map[string]wire.Caller
	opts  Options
	macs  map[string]macsAnswer // by host
}

type macsAnswer struct {
	wire.MACs
	err error
}

// ask puts one question to a host. The step says what it is about.
func ask[Out any](ctx context.Context, g *gatherer, host, step string, limit time.Duration, method wire.Method, request any) (Out, error) {
	var out Out
	caller := g.hosts[host]
	if caller == nil {
		return out, fmt.Errorf("%s: %s: not connected", host, step)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := caller.Call(ctx, method, request, &out); err != nil {
		// Some callers name their host, too.
		return out, fmt.Errorf("%s: %s: %s", host, step, strings.TrimPrefix(err.Error(), host+": "))
	}
	return out, nil
}

// collectMACs learns every host's devices, to name who answers for a VIP.
func (g *gatherer) collectMACs(ctx context.Context) {
	answers := make([]macsAnswer, len(g.inv.Hosts))
	var all sync.WaitGroup
	for i, h := range g.inv.Hosts {
		all.Go(func() {
			answers[i].MACs, answers[i].err = ask[wire.MACs](ctx, g, h.Name, "list devices", callLimit, wire.MethodMACs, wire.Nothing{})
		})
	}
	all.Wait()
	g.macs = map[string]macsAnswer{}
	for i, h := range g.inv.Hosts {
		g.macs[h.Name] = answers[i]
	}
}

// gather finds out all there is to know about a service.
func (g *gatherer) gather(ctx context.Context, s *inventory.Service) *evidence {
	ev := &evidence{}
	if cannotVerify(s) != "" {
		return ev
	}
	clients, notes := clientsOf(g.inv, s)
	ev.notes = notes
	n := g.opts.Probes
	if n <= 0 {
		n = defaultProbes(s)
	}
	for _, c := range clients {
		g.opts.Progress(fmt.Sprintf("%s: %s from %s", s.Name, count(n, "probe"), c.Name))
		g.probe(ctx, s, c, n, ev)
	}
	g.opts.Progress(s.Name + ": asking who has " + s.VIP.String())
	g.askForVIP(ctx, s, ev)
	return ev
}

// clientsOf lists the hosts that can send test traffic to the service, and
// says which clients cannot.
func clientsOf(inv *inventory.Inventory, s *inventory.Service) (clients []*inventory.Host, notes []string) {
	for _, h := range inv.Hosts {
		if !h.Has(inventory.RoleClient) {
			continue
		}
		isServer := slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return r.Host == h })
		switch {
		case slices.Contains(s.Directors, h):
			notes = append(notes, fmt.Sprintf("no probe from client %s: it is the service's director and would talk to itself", h.Name))
		case isServer:
			notes = append(notes, fmt.Sprintf("no probe from client %s: it is a real server of the service and would talk to itself", h.Name))
		default:
			clients = append(clients, h)
		}
	}
	return clients, notes
}

// probe opens connections from one client and looks at them from all sides
// while they are open.
func (g *gatherer) probe(ctx context.Context, s *inventory.Service, client *inventory.Host, n int, ev *evidence) {
	service := netip.AddrPortFrom(s.VIP, s.Port)
	openLimit := time.Duration(n)*time.Second/2 + g.opts.Timeout + callLimit

	watch := wire.WatchRequest{Service: service, Clients: addressesOf(client), Limit: openLimit + 3*callLimit}
	var watching []*inventory.Host
	blind := false
	for _, d := range s.Directors {
		if _, err := ask[wire.Nothing](ctx, g, d.Name, "watch for packets", callLimit, wire.MethodWatchStart, watch); err != nil {
			ev.trouble(checkBypass, err)
			blind = true
			continue
		}
		watching = append(watching, d)
	}

	opened, err := ask[wire.ProbeOpened](ctx, g, client.Name, "open connections", openLimit, wire.MethodProbeOpen,
		wire.ProbeOpenRequest{Address: service, Count: n, Timeout: g.opts.Timeout})
	if err != nil {
		ev.trouble(checkReachability, err)
	}
	probes := make([]probe, len(opened.Probes))
	for i, p := range opened.Probes {
		probes[i] = probe{client: client.Name, local: p.Local, failed: p.Failed}
	}
	if len(probes) != 0 {
		g.lookUpConnections(ctx, s, probes, ev)
		g.lookUpSockets(ctx, s, probes, ev)
	}
	for _, d := range watching {
		seen, err := ask[wire.Watched](ctx, g, d.Name, "watch for packets", callLimit, wire.MethodWatchStop, wire.Nothing{})
		if err != nil {
			ev.trouble(checkBypass, err)
			blind = true
			continue
		}
		ev.others += seen.Others
		countPackets(seen, probes, ev)
	}
	for i := range probes {
		probes[i].noWatch = blind
	}
	if len(opened.Probes) != 0 {
		// The agent would do it by itself; what is known is known.
		_, _ = ask[wire.Nothing](ctx, g, client.Name, "close connections", callLimit, wire.MethodProbeClose, wire.Nothing{})
	}
	ev.probes = append(ev.probes, probes...)
}

func addressesOf(h *inventory.Host) []netip.Addr {
	var out []netip.Addr
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			out = append(out, a.Addr())
		}
	}
	return out
}

// lookUpConnections asks the directors which real server got each probe.
func (g *gatherer) lookUpConnections(ctx context.Context, s *inventory.Service, probes []probe, ev *evidence) {
	req := wire.ConnectionsRequest{Service: state.ServiceID{
		Protocol: state.Protocol(s.Protocol),
		Address:  netip.AddrPortFrom(s.VIP, s.Port),
	}}
	for _, p := range probes {
		if p.local.IsValid() {
			req.Clients = append(req.Clients, p.local)
		}
	}
	for _, d := range s.Directors {
		table, err := ask[wire.Connections](ctx, g, d.Name, "look up connections", callLimit, wire.MethodConnections, req)
		if err != nil {
			ev.trouble(checkServerKnown, err)
			for i := range probes {
				probes[i].noTable = true
			}
			continue
		}
		for i := range probes {
			p := &probes[i]
			for _, row := range table.Found {
				if row.Client == p.local {
					p.director, p.row, p.server = d.Name, &row, serverAt(s, row.Destination)
				}
			}
		}
		if len(ev.probes) == 0 { // of a second client, the first one's are among them
			ev.active += table.Active
			ev.inactive += table.Inactive
		}
	}
}

// serverAt is the service's real server with this address, nil if none has it.
func serverAt(s *inventory.Service, dest netip.AddrPort) *inventory.RealServer {
	for _, r := range s.RealServers {
		if r.Port == dest.Port() && slices.Contains(addressesOf(r.Host), dest.Addr()) {
			return r
		}
	}
	return nil
}

// lookUpSockets asks the real servers what they saw. All are asked: a request
// that went around the director is at one of them, too.
func (g *gatherer) lookUpSockets(ctx context.Context, s *inventory.Service, probes []probe, ev *evidence) {
	var ports []uint16
	for _, p := range probes {
		if p.local.IsValid() {
			ports = append(ports, p.local.Port())
		}
	}
	tables := make([]wire.Sockets, len(s.RealServers))
	errs := make([]error, len(s.RealServers))
	var all sync.WaitGroup
	for i, r := range s.RealServers {
		all.Go(func() {
			tables[i], errs[i] = ask[wire.Sockets](ctx, g, r.Host.Name, "look up sockets", callLimit, wire.MethodSockets,
				wire.SocketsRequest{Port: r.Port, Peers: ports})
		})
	}
	all.Wait()
	for i, r := range s.RealServers {
		if errs[i] != nil {
			ev.trouble(checkServerKnown, errs[i])
		}
		for j := range probes {
			p := &probes[j]
			if p.row != nil && p.server != r {
				continue
			}
			p.noSockets = p.noSockets || errs[i] != nil
			if found := g.socketOf(p, tables[i].Found); found != nil {
				p.server, p.socket = r, found
			}
		}
	}
}

// socketOf finds a probe among a real server's sockets: the one whose peer is
// the client, or else one from the same port of another host of the inventory,
// which has rewritten the source on the way and, as the kernel does when it
// can, kept the port.
func (g *gatherer) socketOf(p *probe, sockets []wire.Socket) *wire.Socket {
	var rewritten *wire.Socket
	for _, s := range sockets {
		if s.Remote == p.local {
			return &s
		}
		if p.row == nil || s.Remote.Port() != p.local.Port() {
			continue
		}
		for _, h := range g.inv.Hosts {
			if slices.Contains(addressesOf(h), s.Remote.Addr()) {
				rewritten = &s
			}
		}
	}
	return rewritten
}

// countPackets gives each probe what a director saw of it. What else the
// client host opened is somebody else's.
func countPackets(seen wire.Watched, probes []probe, ev *evidence) {
	for _, f := range seen.Flows {
		i := slices.IndexFunc(probes, func(p probe) bool { return p.local == f.Client })
		if i < 0 {
			ev.others += f.Opening
			continue
		}
		probes[i].requests += f.Requests
		probes[i].replies += f.Replies
	}
}
