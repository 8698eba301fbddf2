package agenttest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Traffic is what the hosts of a fleet see of test traffic while the topology
// works: the director alone answers for a VIP, and gives the connections to it
// to the real servers in turns. Each arrives as it was sent: as of direct
// routing, source and destination stay. Nothing comes in through a tunnel.
//
// It is safe for concurrent use. Hosts are named as in the inventory.
type Traffic struct {
	inv *inventory.Inventory

	mu        sync.Mutex
	opened    []opened // in their order, also those that are closed
	held      map[string]int
	watching  map[string]bool
	listening map[string][]netip.AddrPort
	standing  map[string][]netip.AddrPort
	broken    map[question]bool
	replied   map[netip.AddrPort]uint32 // packets of full size, by the client
	repeats   map[int]int               // of requests, by their number
}

// opened is a connection that a client opened, or a datagram that it sent.
type opened struct {
	service     *inventory.Service
	client, vip netip.AddrPort
	server      *inventory.Host
	mark        uint32
}

type question struct {
	host   string
	method wire.Method
}

// ErrBroken is the answer to what was broken.
var ErrBroken = errors.New("out of order")

func newTraffic(inv *inventory.Inventory) *Traffic {
	return &Traffic{
		inv: inv, held: map[string]int{}, watching: map[string]bool{},
		listening: map[string][]netip.AddrPort{}, standing: map[string][]netip.AddrPort{}, broken: map[question]bool{}, replied: map[netip.AddrPort]uint32{},
	}
}

// Break makes a host's kernel answer one of verify's methods with ErrBroken. A
// method that ends something then leaves it as it is.
func (t *Traffic) Break(host string, method wire.Method) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken[question{host, method}] = true
}

// Repeat has requests be sent again before they are answered: how often, by
// their number among all, from 0.
func (t *Traffic) Repeat(requests map[int]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.repeats = requests
}

// Listen has programs of a host listen at addresses.
func (t *Traffic) Listen(host string, addresses ...netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listening[host] = append(t.listening[host], addresses...)
}

// Held is how many probes each host holds open; hosts with none are left out.
func (t *Traffic) Held() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]int{}
	for host, n := range t.held {
		if n != 0 {
			out[host] = n
		}
	}
	return out
}

// Watching are the hosts that watch for packets, in no order.
func (t *Traffic) Watching() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for host, on := range t.watching {
		if on {
			out = append(out, host)
		}
	}
	return out
}

// StandingIn are the hosts on which the agent stands in for a server, in no order.
func (t *Traffic) StandingIn() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for host := range t.standing {
		out = append(out, host)
	}
	return out
}

// of is the traffic as one host sees it.
func (t *Traffic) of(host string) agent.Traffic {
	index := slices.IndexFunc(t.inv.Hosts, func(h *inventory.Host) bool { return h.Name == host })
	return &hostTraffic{t, t.inv.Hosts[index]}
}

// hostTraffic implements agent.Traffic.
type hostTraffic struct {
	*Traffic
	host *inventory.Host
}

// begin takes the lock for an answer. The error is ErrBroken where that is to
// be the answer.
func (h *hostTraffic) begin(method wire.Method) (unlock func(), err error) {
	h.mu.Lock()
	if h.broken[question{h.host.Name, method}] {
		err = ErrBroken
	}
	return h.mu.Unlock, err
}

// addressOf is a host's first address of the family that another has.
func addressOf(h *inventory.Host, like netip.Addr) netip.Addr {
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			if a.Addr().Is6() == like.Is6() {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

func (h *hostTraffic) OpenProbes(_ context.Context, req wire.ProbeOpenRequest) ([]wire.Probe, error) {
	unlock, err := h.begin(wire.MethodProbeOpen)
	defer unlock()
	if err != nil {
		return nil, err
	}
	var out []wire.Probe
	for range req.Count {
		out = append(out, h.open(req))
	}
	return out, nil
}

func (h *hostTraffic) open(req wire.ProbeOpenRequest) wire.Probe {
	n := len(h.opened)
	p := wire.Probe{Local: netip.AddrPortFrom(addressOf(h.host, req.Address.Addr()), uint16(40000+n))}
	at := slices.IndexFunc(h.inv.Services, func(s *inventory.Service) bool { return s.VIP == req.Address.Addr() })
	if at < 0 {
		p.Failed = "connection refused"
		return p
	}
	s := h.inv.Services[at]
	turn := 0
	for _, o := range h.opened {
		if o.service == s {
			turn++
		}
	}
	p.Repeats, p.Took = h.repeats[n], time.Millisecond+time.Duration(h.repeats[n])*time.Second
	o := opened{s, p.Local, req.Address, s.RealServers[turn%len(s.RealServers)].Host, uint32(n + 1)}
	p.Mark = o.mark
	h.opened = append(h.opened, o)
	h.held[h.host.Name]++
	return p
}

func (h *hostTraffic) FullSize(context.Context) ([]wire.FullSize, error) {
	unlock, err := h.begin(wire.MethodFullSize)
	defer unlock()
	if err != nil {
		return nil, err
	}
	var out []wire.FullSize
	for _, o := range h.opened {
		if o.client.Addr() == addressOf(h.host, o.client.Addr()) {
			out = append(out, wire.FullSize{Local: o.client, Octets: 1500, Acknowledged: true, Reply: 1500, Announced: 1460})
		}
	}
	return out, nil
}

func (h *hostTraffic) FullReplies(_ context.Context, req wire.FullRepliesRequest) ([]wire.FullReplySent, error) {
	unlock, err := h.begin(wire.MethodFullReplies)
	defer unlock()
	if err != nil {
		return nil, err
	}
	var out []wire.FullReplySent
	for _, r := range req.Replies {
		h.replied[r.To]++
		out = append(out, wire.FullReplySent{Octets: r.Octets})
	}
	return out, nil
}

func (h *hostTraffic) DataIn(_ context.Context, req wire.DataInRequest) ([]wire.DataInOf, error) {
	unlock, err := h.begin(wire.MethodDataIn)
	defer unlock()
	if err != nil {
		return nil, err
	}
	var out []wire.DataInOf
	for _, b := range req.Before {
		out = append(out, wire.DataInOf{Local: b.Local, Received: wire.Received{Segments: h.replied[b.Local]}})
	}
	return out, nil
}

func (h *hostTraffic) CloseProbes() error {
	unlock, err := h.begin(wire.MethodProbeClose)
	defer unlock()
	if err == nil {
		h.held[h.host.Name] = 0
	}
	return err
}

func (h *hostTraffic) FindConnections(_ context.Context, _ state.ServiceID, addresses, clients []netip.AddrPort) (flow.Connections, error) {
	unlock, err := h.begin(wire.MethodConnections)
	defer unlock()
	var out flow.Connections
	if err != nil {
		return out, err
	}
	for _, o := range h.opened {
		if slices.Contains(o.service.Directors, h.host) && slices.Contains(addresses, o.vip) && slices.Contains(clients, o.client) {
			server := netip.AddrPortFrom(addressOf(o.server, o.vip.Addr()), o.vip.Port())
			out.Found = append(out.Found, flow.Connection{Client: o.client, Destination: server, State: "ESTABLISHED"})
		}
	}
	return out, nil
}

func (h *hostTraffic) FindSockets(_ context.Context, ports, peers []uint16) ([]flow.Socket, error) {
	unlock, err := h.begin(wire.MethodSockets)
	defer unlock()
	if err != nil {
		return nil, err
	}
	var out []flow.Socket
	for _, o := range h.opened {
		if o.server == h.host && slices.Contains(ports, o.vip.Port()) && slices.Contains(peers, o.client.Port()) {
			out = append(out, flow.Socket{Local: o.vip, Remote: o.client, State: "ESTABLISHED"})
		}
	}
	return out, nil
}

func (h *hostTraffic) FindListeners(context.Context, state.Protocol) ([]netip.AddrPort, error) {
	unlock, err := h.begin(wire.MethodListeners)
	defer unlock()
	if err != nil {
		return nil, err
	}
	return slices.Concat(h.listening[h.host.Name], h.standing[h.host.Name]), nil
}

func (h *hostTraffic) StandIn(_ context.Context, req wire.StandInRequest) error {
	unlock, err := h.begin(wire.MethodStandIn)
	defer unlock()
	if err == nil {
		h.standing[h.host.Name] = req.Addresses
	}
	return err
}

func (h *hostTraffic) EndStandIn() error {
	unlock, err := h.begin(wire.MethodStandInEnd)
	defer unlock()
	if err == nil {
		delete(h.standing, h.host.Name)
	}
	return err
}

func (h *hostTraffic) StartWatch([]flow.Pattern, time.Duration) (agent.Watch, error) {
	unlock, err := h.begin(wire.MethodWatchStart)
	defer unlock()
	if err != nil {
		return nil, err
	}
	h.watching[h.host.Name] = true
	return watch{h}, nil
}

// watch sees the request of every connection that passes the host.
type watch struct{ at *hostTraffic }

func (w watch) Stop() ([]flow.Sighting, error) {
	unlock, err := w.at.begin(wire.MethodWatchStop)
	defer unlock()
	if err != nil {
		return nil, err
	}
	w.at.watching[w.at.host.Name] = false
	var out []flow.Sighting
	for _, o := range w.at.opened {
		if o.server == w.at.host || slices.Contains(o.service.Directors, w.at.host) {
			s := flow.Sighting{From: o.client, To: o.vip, Opening: true, Mark: o.mark, Count: 1}
			if o.service.Protocol == inventory.TCP {
				s.MSS = 1460
			}
			out = append(out, s)
		}
	}
	return out, nil
}

func (h *hostTraffic) WhoHas(_ context.Context, _ string, _, target netip.Addr) ([]string, error) {
	unlock, err := h.begin(wire.MethodWhoHas)
	defer unlock()
	if mac := h.directorOf(target); err == nil && mac != "" {
		return []string{mac}, nil
	}
	return nil, err
}

func (h *hostTraffic) Neighbour(_ string, address netip.Addr) (mac string, permanent bool, err error) {
	unlock, err := h.begin(wire.MethodNeighbour)
	defer unlock()
	if err != nil {
		return "", false, err
	}
	mac = h.directorOf(address)
	return mac, mac != "", nil
}

// directorOf is the MAC address of the director's NIC in the network of a VIP, or of
// a local address.
func (h *hostTraffic) directorOf(vip netip.Addr) string {
	for _, s := range h.inv.Services {
		if s.VIP != vip && !slices.Contains(s.LocalAddresses, vip) {
			continue
		}
		director := s.Directors[0]
		for i, n := range director.NICs {
			if slices.ContainsFunc(n.Addresses, func(a netip.Prefix) bool { return a.Contains(vip) }) {
				return h.macOf(director, i)
			}
		}
	}
	return ""
}

func (t *Traffic) macOf(h *inventory.Host, nic int) string {
	return mac(slices.Index(t.inv.Hosts, h), nic)
}

func (h *hostTraffic) Echo(context.Context, netip.Addr, netip.Addr, time.Duration) (asked int, answered bool, err error) {
	unlock, err := h.begin(wire.MethodEcho)
	defer unlock()
	return 1, err == nil, err
}

func (h *hostTraffic) MACs() (map[string]string, error) {
	unlock, err := h.begin(wire.MethodMACs)
	defer unlock()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, n := range h.host.NICs {
		out[n.Name] = h.macOf(h.host, i)
	}
	return out, nil
}
