package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// traffic opens probes from every client and looks at them from all sides
// while they are open.
func (g *gatherer) traffic(ctx context.Context, s *inventory.Service, ev *evidence) {
	listening := g.listening(ctx, s, ev)
	ports := servicePorts(s, listening)
	if len(ports) == 0 {
		if ev.missing[checkReachability] == nil { // otherwise it is not known
			ev.broken = append(ev.broken, "the service takes every port, and there is none on which all real servers listen")
		}
		return
	}
	if g.opts.StandIn {
		defer g.standIn(ctx, s, ports, listening, ev)()
	}
	targets, notes := targetsOf(g.inv, s, ports)
	ev.notes = append(ev.notes, notes...)
	if len(targets) == 0 {
		return
	}
	n := g.opts.Probes
	if n <= 0 {
		n = defaultProbes(s)
	}
	t := &trial{gatherer: g, service: s, ports: ports, targets: targets, ev: ev, seen: map[string][]flow.Sighting{}, blind: map[*inventory.Host]bool{}}
	t.limit = time.Duration(len(targets)) * (t.openLimit(n) + t.openLimit(tellsChance(s)))
	t.before(ctx)
	t.watch(ctx)
	t.open(ctx, n)
	t.stopWatching(ctx)
	t.requests()
	t.lookUpConnections(ctx)
	t.follow()
	t.takeArrivals(listening)
	t.lookUpSockets(ctx)
	t.sendReplies(ctx)
	t.close(ctx)
}

// servicePorts are the ports to probe: those of the service, or for one that
// takes every port, the lowest on which all real servers listen.
func servicePorts(s *inventory.Service, listening map[string][]netip.AddrPort) []uint16 {
	switch {
	case s.FWMark != 0:
		return s.Ports
	case s.Port != 0:
		return []uint16{s.Port}
	}
	for port := 1; port < 1<<16; port++ {
		everywhere := true
		for _, r := range s.RealServers {
			everywhere = everywhere && hears(listening[r.Host.Name], s, r, uint16(port))
		}
		if everywhere {
			return []uint16{uint16(port)}
		}
	}
	return nil
}

// trial is the test traffic to one service.
type trial struct {
	*gatherer
	service  *inventory.Service
	ports    []uint16 // of the VIP
	targets  []target
	ev       *evidence
	limit    time.Duration // of all probes together
	watchers []*inventory.Host
	blind    map[*inventory.Host]bool // could not watch
	// rewriters are the addresses that a packet may get for its source on its way
	// into a tunnel.
	rewriters []netip.Addr
	seen      map[string][]flow.Sighting // by host
}

func (t *trial) openLimit(n int) time.Duration {
	// An answer that may be late is waited for as long again.
	return time.Duration(n)*time.Second/2 + 2*t.opts.Timeout + callLimit
}

func (t *trial) addresses() []netip.AddrPort {
	var out []netip.AddrPort
	for _, p := range t.ports {
		out = append(out, netip.AddrPortFrom(t.service.VIP, p))
	}
	return out
}

// before counts the connections a persistent or least-connection service
// already has.
func (t *trial) before(ctx context.Context) {
	if !countsConnections(t.service) {
		return
	}
	for _, d := range t.service.Directors {
		table, err := ask[flow.Connections](ctx, t.gatherer, d.Name, "look up connections", callLimit, wire.MethodConnections,
			wire.ConnectionsRequest{Service: kernelID(t.service), Addresses: t.addresses()})
		if err != nil {
			t.ev.trouble(checkDistribution, err)
			continue
		}
		t.ev.active += table.Active
		t.ev.inactive += table.Inactive
		t.ev.templates += table.Templates
	}
}

// watch has the directors and the real servers look for the probes' packets.
func (t *trial) watch(ctx context.Context) {
	hosts := slices.Clone(t.service.Directors)
	for _, h := range serverHosts(t.service) {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	for _, r := range t.service.RealServers {
		if modes.TraitsFor(t.service, r).Tunnelled {
			t.rewriters = t.rewritersBefore(r)
			break // it is the way to the director that counts
		}
	}
	step := "watch for packets"
	for i, r := range askAll[wire.Nothing](ctx, t.gatherer, hosts, step, callLimit, wire.MethodWatchStart, func(h *inventory.Host) any {
		return wire.WatchRequest{Patterns: t.patterns(h), Limit: min(t.limit+3*callLimit, maxHold)}
	}) {
		if r.err != nil {
			t.watchTrouble(hosts[i], r.err)
		} else {
			t.watchers = append(t.watchers, hosts[i])
		}
	}
}

func (t *trial) watchTrouble(h *inventory.Host, err error) {
	t.blind[h] = true
	if slices.Contains(t.service.Directors, h) {
		t.ev.trouble(checkReplies, err)
	}
	if slices.Contains(serverHosts(t.service), h) {
		t.ev.trouble(checkArrival, err)
	}
}

// patterns are what a director or a real server looks for.
func (t *trial) patterns(h *inventory.Host) []flow.Pattern {
	s := t.service
	protocol := state.Protocol(s.Protocol)
	vip := []netip.Addr{s.VIP}
	var clients []netip.Addr
	for _, target := range t.targets {
		for _, a := range addressesOf(target.client) {
			if a.Is6() == s.VIP.Is6() && !slices.Contains(clients, a) {
				clients = append(clients, a)
			}
		}
	}
	if slices.Contains(s.Directors, h) {
		return append([]flow.Pattern{
			{Protocol: protocol, From: clients, To: vip, ToPorts: t.ports},
			{Protocol: protocol, From: vip, FromPorts: t.ports, To: clients},
			// Whatever the source of a probe has become on its way here.
			{Protocol: protocol, To: vip, ToPorts: t.ports, Opening: true, Others: true},
			{Protocol: protocol, From: vip, FromPorts: t.ports, Opening: true, Others: true},
		}, t.rewrittenReplies(clients)...)
	}
	var out []flow.Pattern
	own := familyOf(s.VIP, addressesOf(h))
	for _, r := range s.RealServers {
		if r.Host != h {
			continue
		}
		ports := t.serverPorts(r)
		to, all := append(own, s.VIP), append(ports, t.ports...)
		out = append(out,
			flow.Pattern{Protocol: protocol, From: clients, To: to, ToPorts: all, Opening: true},
			flow.Pattern{Protocol: protocol, To: to, ToPorts: all, Opening: true, Others: true})
		if modes.TraitsOf(r.Mode).Source == modes.SourceDirector {
			out = append(out, flow.Pattern{Protocol: protocol, From: localAddresses(s), To: own, ToPorts: ports, Opening: true})
		}
		if modes.TraitsFor(s, r).Tunnelled {
			inside := flow.Pattern{Protocol: protocol, From: clients, To: vip, ToPorts: t.ports, Opening: true, Wrapped: true}
			out = append(out, inside)
			if inside.From, inside.Others = t.rewriters, true; len(inside.From) != 0 {
				out = append(out, inside)
			}
		}
	}
	return out
}

// rewritersBefore are the addresses that a packet may get for its source on its way
// into the tunnel to a real server: from the directors, and the gateways that the
// inventory has on the clients' way to them. The filter for packets in a tunnel
// cannot tell what opens a connection, so it must not pass those from anybody, and
// it has room for few.
func (t *trial) rewritersBefore(r *inventory.RealServer) []netip.Addr {
	on := slices.Clone(t.service.Directors)
	for _, client := range t.clients() {
		walk := modes.Explain(t.inv, t.service, client, r)
		for _, h := range t.inv.Hosts {
			passes := slices.ContainsFunc(walk.Request, func(hop modes.Hop) bool { return hop.Outer == nil && hop.To.Host == h.Name })
			if h.Has(inventory.RoleGateway) && (passes || walk.Lost != "") && !slices.Contains(on, h) {
				on = append(on, h)
			}
		}
	}
	var out []netip.Addr
	for _, h := range on {
		out = append(out, familyOf(t.service.VIP, addressesOf(h))...)
	}
	return out
}

// rewrittenReplies are what the director gets back from real servers whose
// address it puts in the VIP's place. Those to its own addresses may be those
// of all its clients; of TCP the first of each connection is enough.
func (t *trial) rewrittenReplies(clients []netip.Addr) []flow.Pattern {
	var out []flow.Pattern
	protocol := state.Protocol(t.service.Protocol)
	for _, r := range t.service.RealServers {
		from := familyOf(t.service.VIP, addressesOf(r.Host))
		if modes.TraitsOf(r.Mode).KeepsDestination || len(from) == 0 {
			continue
		}
		one := flow.Pattern{Protocol: protocol, From: from, FromPorts: t.serverPorts(r), To: clients}
		out = append(out, one)
		one.Opening, one.To = true, nil
		if modes.TraitsOf(r.Mode).Source == modes.SourceDirector {
			one.To = localAddresses(t.service)
			out = append(out, one)
			one.To = nil
		}
		one.Others = true
		out = append(out, one)
	}
	return out
}

func (t *trial) serverPorts(r *inventory.RealServer) []uint16 {
	var out []uint16
	for _, p := range t.ports {
		if p = serverPort(r, p); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func familyOf(like netip.Addr, list []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return a.Is6() != like.Is6() })
}

// open opens the probes, one after the other, so that the director sees them
// in an order that tells about its scheduler.
func (t *trial) open(ctx context.Context, n int) {
	t.ev.once = t.scheduledAnew() || !t.service.Answers()
	for _, to := range t.targets {
		t.openFrom(ctx, to, n)
	}
	t.openMore(ctx)
	if t.service.Protocol != inventory.TCP {
		return
	}
	for _, r := range askAll[wire.FullSizes](ctx, t.gatherer, t.clients(), "send packets of full size", fullSizeLimit, wire.MethodFullSize,
		func(*inventory.Host) any { return wire.Nothing{} }) {
		if r.err != nil {
			t.ev.trouble(checkFullSize, r.err)
		}
		for _, sent := range r.got.Sent {
			if p := t.probeFrom(sent.Local); p != nil {
				p.full = &sent
			}
		}
	}
}

// openFrom opens so many probes from one client.
func (t *trial) openFrom(ctx context.Context, to target, n int) {
	t.opts.Progress(fmt.Sprintf("%s: %s from %s", t.service.Name, count(n, "probe"), to.client.Name))
	opened, err := ask[wire.ProbeOpened](ctx, t.gatherer, to.client.Name, "open connections", t.openLimit(n), wire.MethodProbeOpen, wire.ProbeOpenRequest{
		Protocol: state.Protocol(t.service.Protocol), Address: to.entry, Count: n, Timeout: t.opts.Timeout,
		Hold: min(t.limit+callLimit, maxHold), Once: t.ev.once, Silent: !t.service.Answers(),
	})
	if err != nil {
		t.ev.trouble(checkReachability, err)
	}
	for _, p := range opened.Probes {
		t.ev.probes = append(t.ev.probes, probe{
			client: to.client.Name, entry: to.entry, vip: to.vip,
			local: p.Local, failed: p.Failed, mark: p.Mark, repeats: p.Repeats, took: p.Took, late: p.Late,
		})
	}
}

// scheduledAnew reports whether a datagram that is sent again may come to
// another real server than before: with one_packet the director keeps no entry,
// and one that has timed out is gone.
func (t *trial) scheduledAnew() bool {
	return t.service.OnePacket || t.service.Protocol == inventory.UDP && slices.ContainsFunc(t.service.Directors, func(d *inventory.Host) bool {
		own := d.IPVS.Timeouts
		return own != nil && time.Duration(own.UDP)*time.Second <= t.opts.Timeout
	})
}

// maxHold is the longest the agent agrees to.
const maxHold = 10 * time.Minute

func (t *trial) clients() []*inventory.Host {
	var out []*inventory.Host
	for _, to := range t.targets {
		if !slices.Contains(out, to.client) {
			out = append(out, to.client)
		}
	}
	return out
}

// probeFrom is the probe with this address and port at the client.
func (t *trial) probeFrom(local netip.AddrPort) *probe {
	for i := range t.ev.probes {
		if local.IsValid() && t.ev.probes[i].local == local {
			return &t.ev.probes[i]
		}
	}
	return nil
}

// probeAt is the probe that directors know by this address: the client's, or
// what that has become on the way.
func (t *trial) probeAt(director netip.AddrPort) *probe {
	for i := range t.ev.probes {
		if director.IsValid() && t.ev.probes[i].from == director {
			return &t.ev.probes[i]
		}
	}
	return t.probeFrom(director)
}

// probeMarked is the probe with this mark.
func (t *trial) probeMarked(mark uint32) *probe {
	for i := range t.ev.probes {
		if mark != 0 && t.ev.probes[i].mark == mark {
			return &t.ev.probes[i]
		}
	}
	return nil
}

// lookUpConnections asks the directors which real server got each probe.
func (t *trial) lookUpConnections(ctx context.Context) {
	req := wire.ConnectionsRequest{Service: kernelID(t.service), Addresses: t.addresses()}
	for _, p := range t.ev.probes {
		if p.local.IsValid() {
			req.Clients = append(req.Clients, p.local)
		}
		if p.from.IsValid() {
			req.Clients = append(req.Clients, p.from)
		}
	}
	for _, r := range askAll[flow.Connections](ctx, t.gatherer, t.service.Directors, "look up connections", callLimit, wire.MethodConnections,
		func(*inventory.Host) any { return req }) {
		if r.err != nil {
			t.ev.trouble(checkServerKnown, r.err)
			for i := range t.ev.probes {
				t.ev.probes[i].noTable = true
			}
		}
		for _, row := range r.got.Found {
			// Directors that share their connections have it, too; the
			// first one has the VIP. An older row of the same client port is
			// one whose end the director has seen.
			p := t.probeAt(row.Client)
			if p != nil && (p.row == nil || p.director == r.host && endedByPeer(p.row.State)) {
				p.director, p.row, p.server = r.host, &row, serverAt(t.service, p.vip.Port(), row.Destination)
			}
		}
	}
}

func (t *trial) stopWatching(ctx context.Context) {
	for i, r := range askAll[wire.Watched](ctx, t.gatherer, t.watchers, "watch for packets", callLimit, wire.MethodWatchStop,
		func(*inventory.Host) any { return wire.Nothing{} }) {
		if r.err != nil {
			t.watchTrouble(t.watchers[i], r.err)
		}
		t.seen[r.host] = r.got.Seen
	}
}

// lookUpSockets asks the real servers what they saw. All are asked: a request
// that went around the director is at one of them, too.
func (t *trial) lookUpSockets(ctx context.Context) {
	if t.service.Protocol != inventory.TCP {
		return // sockets of UDP have no peers
	}
	var peers []uint16
	for _, p := range t.ev.probes {
		if p.local.IsValid() {
			peers = append(peers, p.local.Port())
		}
		if p.arrived != nil && p.arrived.From.Port() != p.local.Port() {
			peers = append(peers, p.arrived.From.Port())
		}
		if p.from.IsValid() {
			peers = append(peers, p.from.Port())
		}
	}
	if len(peers) == 0 {
		return
	}
	for i, r := range askAll[wire.Sockets](ctx, t.gatherer, serverHosts(t.service), "look up sockets", callLimit, wire.MethodSockets, func(h *inventory.Host) any {
		req := wire.SocketsRequest{Peers: peers}
		for _, r := range t.service.RealServers {
			for _, p := range t.ports {
				if r.Host == h {
					req.Ports = append(req.Ports, p, serverPort(r, p), listeningPort(r, p))
				}
			}
		}
		return req
	}) {
		if r.err != nil {
			t.ev.trouble(checkServerKnown, r.err)
		}
		t.matchSockets(serverHosts(t.service)[i], r.got.Found, r.err != nil)
	}
}

func (t *trial) close(ctx context.Context) {
	// The agents would do it by themselves; what is known is known.
	askAll[wire.Nothing](ctx, t.gatherer, t.clients(), "close connections", callLimit, wire.MethodProbeClose,
		func(*inventory.Host) any { return wire.Nothing{} })
}
