package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
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
		return out, fmt.Errorf("%s: %s: %w", host, step, err)
	}
	return out, nil
}

// reply is one host's answer to a question that several were asked.
type reply[Out any] struct {
	host string
	got  Out
	err  error
}

// askAll puts a question to several hosts at the same time; request makes each
// host's own. The replies are in the order of the hosts.
func askAll[Out any](ctx context.Context, g *gatherer, hosts []*inventory.Host, step string, limit time.Duration, method wire.Method, request func(*inventory.Host) any) []reply[Out] {
	out := make([]reply[Out], len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() {
			got, err := ask[Out](ctx, g, h.Name, step, limit, method, request(h))
			out[i] = reply[Out]{h.Name, got, err}
		})
	}
	all.Wait()
	return out
}

// target is what a client sends its probes to.
type target struct {
	client *inventory.Host
	entry  netip.AddrPort
	vip    netip.AddrPort
}

// targetsOf lists what test traffic the clients can send to the service's
// ports, and says which clients cannot.
func targetsOf(inv *inventory.Inventory, s *inventory.Service, ports []uint16) (targets []target, notes []string) {
	for _, h := range inv.Hosts {
		if !h.Has(inventory.RoleClient) {
			continue
		}
		why := modes.NoClient(s, h)
		for _, port := range ports {
			entry := modes.Entry(inv, ofPort(s, port), h)
			if why == "" && !entry.IsValid() {
				why = "it has no route to the VIP"
			}
			if why == "" {
				targets = append(targets, target{h, entry, netip.AddrPortFrom(s.VIP, port)})
			}
		}
		if why != "" {
			notes = append(notes, fmt.Sprintf("no probe from client %s: %s", h.Name, why))
		}
	}
	return targets, notes
}

// ofPort is the part of a service that is reached on one port.
func ofPort(s *inventory.Service, port uint16) *inventory.Service {
	one := *s
	one.FWMark, one.Ports, one.Port = 0, nil, port
	return &one
}

// serverOn is the service's real server on a host, of several the first that fits,
// or any if none does; nil if there is none.
func serverOn(s *inventory.Service, h *inventory.Host, fits func(*inventory.RealServer) bool) *inventory.RealServer {
	var any *inventory.RealServer
	for _, r := range s.RealServers {
		if r.Host != h {
			continue
		}
		if fits(r) {
			return r
		}
		if any == nil {
			any = r
		}
	}
	return any
}

// serverHosts are the hosts of the real servers, each once.
func serverHosts(s *inventory.Service) []*inventory.Host {
	var out []*inventory.Host
	for _, r := range s.RealServers {
		if !slices.Contains(out, r.Host) {
			out = append(out, r.Host)
		}
	}
	return out
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

// serverAt is the service's real server that gets what comes for a port of the
// VIP at a destination, nil if none does.
func serverAt(s *inventory.Service, vip uint16, dest netip.AddrPort) *inventory.RealServer {
	for _, r := range s.RealServers {
		if serverPort(r, vip) == dest.Port() && hasAddress(r, dest.Addr()) {
			return r
		}
	}
	return nil
}

// hasAddress reports whether a director may have a real server under an address.
func hasAddress(r *inventory.RealServer, a netip.Addr) bool {
	return r.Address == a || !r.Address.IsValid() && slices.Contains(addressesOf(r.Host), a)
}

// serverPort is the port to which the director sends what comes for a port of
// the VIP.
func serverPort(r *inventory.RealServer, vip uint16) uint16 {
	if r.Port == 0 {
		return vip
	}
	return r.Port
}

// listeningPort is the one on which the real server's program gets it.
func listeningPort(r *inventory.RealServer, vip uint16) uint16 {
	if r.Redirect != 0 && modes.TraitsOf(r.Mode).KeepsDestination {
		return r.Redirect
	}
	return serverPort(r, vip)
}

// localAddresses are those a fullnat service's real servers may see as source.
func localAddresses(s *inventory.Service) []netip.Addr {
	var out []netip.Addr
	for _, d := range s.Directors {
		for _, r := range s.RealServers {
			if modes.TraitsOf(r.Mode).Source == modes.SourceDirector {
				out = union(out, modes.LocalAddresses(s, d, r))
			}
		}
	}
	return out
}

// union is a list with those of another that it does not have.
func union(list, more []netip.Addr) []netip.Addr {
	for _, a := range more {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// kernelID is how the directors' kernels know the service.
func kernelID(s *inventory.Service) state.ServiceID {
	if s.FWMark != 0 {
		return state.ServiceID{Protocol: state.Protocol(s.Protocol), FWMark: s.FWMark, IPv6: s.VIP.Is6()}
	}
	return state.ServiceID{Protocol: state.Protocol(s.Protocol), Address: netip.AddrPortFrom(s.VIP, s.Port)}
}
