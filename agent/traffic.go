package agent

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

// Traffic is what the agent needs of this host's network to answer verify.
// *HostTraffic is the real one. The agent checks a request's limits before it
// calls a method.
type Traffic interface {
	// As the functions of the same names in package traffic.
	FindConnections(ctx context.Context, service state.ServiceID, addresses, clients []netip.AddrPort) (flow.Connections, error)
	FindSockets(ctx context.Context, ports, peers []uint16) ([]flow.Socket, error)
	FindListeners(context.Context, state.Protocol) ([]netip.AddrPort, error)
	WhoHas(ctx context.Context, device string, source, target netip.Addr) ([]string, error)
	Neighbour(device string, address netip.Addr) (mac string, permanent bool, err error)
	Echo(ctx context.Context, from, to netip.Addr, limit time.Duration) (asked int, answered bool, err error)
	StartWatch(patterns []flow.Pattern, limit time.Duration) (Watch, error)

	// MACs are the MAC addresses of the host's devices by the device's name.
	MACs() (map[string]string, error)

	// OpenProbes opens connections and holds them beside those it holds
	// already. There is a probe for each that was asked for; one that failed
	// says so itself.
	OpenProbes(context.Context, wire.ProbeOpenRequest) ([]wire.Probe, error)
	// FullSize sends a packet of full size on each held TCP connection.
	FullSize(context.Context) ([]wire.FullSize, error)
	// FullReplies sends packets of full size from the host's end of connections.
	FullReplies(context.Context, wire.FullRepliesRequest) ([]wire.FullReplySent, error)
	// DataIn waits until data has come in on held TCP connections.
	DataIn(context.Context, wire.DataInRequest) ([]wire.DataInOf, error)
	// CloseProbes closes all held connections.
	CloseProbes() error

	// StandIn listens in the place of a server, until EndStandIn or the
	// request's limit. What it listened on before ends.
	StandIn(context.Context, wire.StandInRequest) error
	// EndStandIn does nothing where nothing stands in.
	EndStandIn() error
}

// Watch counts packets that come in at the host, until Stop.
type Watch interface {
	Stop() ([]flow.Sighting, error)
}

// HostTraffic is the traffic of the host that the agent runs on. The zero value
// is ready for use.
type HostTraffic struct {
	probes  heldProbes
	standIn standIn
}

// FindConnections implements Traffic.
func (*HostTraffic) FindConnections(ctx context.Context, service state.ServiceID, addresses, clients []netip.AddrPort) (flow.Connections, error) {
	return traffic.FindConnections(ctx, service, addresses, clients)
}

// FindSockets implements Traffic.
func (*HostTraffic) FindSockets(ctx context.Context, ports, peers []uint16) ([]flow.Socket, error) {
	return traffic.FindSockets(ctx, ports, peers)
}

// FindListeners implements Traffic.
func (*HostTraffic) FindListeners(ctx context.Context, protocol state.Protocol) ([]netip.AddrPort, error) {
	return traffic.FindListeners(ctx, protocol)
}

// WhoHas implements Traffic.
func (*HostTraffic) WhoHas(ctx context.Context, device string, source, target netip.Addr) ([]string, error) {
	return traffic.WhoHas(ctx, device, source, target)
}

// Neighbour implements Traffic.
func (*HostTraffic) Neighbour(device string, address netip.Addr) (mac string, permanent bool, err error) {
	return traffic.Neighbour(device, address)
}

// Echo implements Traffic.
func (*HostTraffic) Echo(ctx context.Context, from, to netip.Addr, limit time.Duration) (asked int, answered bool, err error) {
	return traffic.Echo(ctx, from, to, limit)
}

// StartWatch implements Traffic.
func (*HostTraffic) StartWatch(patterns []flow.Pattern, limit time.Duration) (Watch, error) {
	w, err := traffic.StartWatch(patterns, limit)
	if err != nil {
		return nil, err // not a nil *traffic.Watch, which is no nil Watch
	}
	return w, nil
}

// MACs implements Traffic. It is for naming a host by its MAC address: the light
// part of an observation, which would read a whole IPVS table.
func (*HostTraffic) MACs() (map[string]string, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, i := range list {
		if len(i.HardwareAddr) == 6 && i.Flags&net.FlagLoopback == 0 {
			out[i.Name] = i.HardwareAddr.String()
		}
	}
	return out, nil
}
