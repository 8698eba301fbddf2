package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// listening is what each real server's host listens on; one that could not be
// asked is left out. It is asked for only where something depends on it.
func (g *gatherer) listening(ctx context.Context, s *inventory.Service, ev *evidence) map[string][]netip.AddrPort {
	everyPort := s.FWMark == 0 && s.Port == 0
	if !everyPort && !g.opts.StandIn && s.Answers() {
		return nil
	}
	out := map[string][]netip.AddrPort{}
	for _, r := range askAll[wire.Listeners](ctx, g, serverHosts(s), "list listening sockets", callLimit, wire.MethodListeners,
		func(*inventory.Host) any { return wire.ListenersRequest{Protocol: protocolOf(s)} }) {
		if r.err != nil {
			ev.trouble(checkReachability, r.err)
			continue
		}
		out[r.host] = append([]netip.AddrPort{}, r.got.Addresses...)
	}
	return out
}

// standIn has the agents listen on the real servers on which nothing does, and
// returns the function that ends it.
func (g *gatherer) standIn(ctx context.Context, s *inventory.Service, ports []uint16, listening map[string][]netip.AddrPort, ev *evidence) (end func()) {
	missing := map[*inventory.Host][]netip.AddrPort{}
	for _, r := range s.RealServers {
		for _, port := range ports {
			for _, a := range arrivalAddresses(s, r, port) {
				if !listens(listening[r.Host.Name], a.Addr(), a.Port()) && !slices.Contains(missing[r.Host], a) {
					missing[r.Host] = append(missing[r.Host], a)
				}
			}
		}
	}
	var hosts []*inventory.Host
	for _, h := range serverHosts(s) {
		if len(missing[h]) == 0 {
			continue
		}
		_, err := ask[wire.Nothing](ctx, g, h.Name, "stand in for a server", callLimit, wire.MethodStandIn,
			wire.StandInRequest{Protocol: protocolOf(s), Addresses: missing[h], Limit: maxHold})
		if err != nil {
			ev.trouble(checkReachability, err)
			continue
		}
		hosts = append(hosts, h)
		ev.notes = append(ev.notes, fmt.Sprintf("lvsform itself listened on %s at %s, where nothing else did", h.Name, joined(missing[h])))
	}
	return func() {
		askAll[wire.Nothing](ctx, g, hosts, "stand in for a server", callLimit, wire.MethodStandInEnd,
			func(*inventory.Host) any { return wire.Nothing{} })
	}
}

// arrivalAddresses are where a real server's program must listen to get what
// comes for a port of the VIP.
func arrivalAddresses(s *inventory.Service, r *inventory.RealServer, vip uint16) []netip.AddrPort {
	port, traits := listeningPort(r, vip), modes.TraitsOf(r.Mode)
	switch {
	case traits.KeepsDestination && (traits.VIPWhereItArrives || r.Redirect == 0):
		return []netip.AddrPort{netip.AddrPortFrom(s.VIP, port)}
	case r.Address.IsValid():
		return []netip.AddrPort{netip.AddrPortFrom(r.Address, port)}
	}
	var out []netip.AddrPort
	for _, a := range familyOf(s.VIP, addressesOf(r.Host)) {
		out = append(out, netip.AddrPortFrom(a, port))
	}
	return out
}

func joined(list []netip.AddrPort) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, " and ")
}
