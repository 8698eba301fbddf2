package agent

import (
	"context"
	"net"
	"sync"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/kernel/traffic"
)

func (a *Agent) connections(ctx context.Context, req wire.ConnectionsRequest) (flow.Connections, error) {
	return traffic.FindConnections(ctx, req.Service, req.Addresses, req.Clients)
}

func (a *Agent) sockets(ctx context.Context, req wire.SocketsRequest) (wire.Sockets, error) {
	found, err := traffic.FindSockets(ctx, req.Ports, req.Peers)
	return wire.Sockets{Found: found}, err
}

func (a *Agent) listeners(ctx context.Context, req wire.ListenersRequest) (wire.Listeners, error) {
	found, err := traffic.FindListeners(ctx, req.Protocol)
	return wire.Listeners{Addresses: found}, err
}

func (a *Agent) whoHas(ctx context.Context, req wire.WhoHasRequest) (wire.WhoHas, error) {
	out := wire.WhoHas{Answers: make([]wire.Answers, len(req.Questions))}
	var all sync.WaitGroup
	for i, q := range req.Questions {
		all.Go(func() {
			macs, err := traffic.WhoHas(ctx, q.Device, q.Source, q.Target)
			out.Answers[i].MACs = macs
			if err != nil {
				out.Answers[i].Failed = err.Error()
			}
		})
	}
	all.Wait()
	return out, ctx.Err()
}

func (a *Agent) neighbour(_ context.Context, req wire.NeighbourRequest) (wire.Neighbour, error) {
	mac, permanent, err := traffic.Neighbour(req.Device, req.Address)
	return wire.Neighbour{MAC: mac, Permanent: permanent}, err
}

func (a *Agent) echo(ctx context.Context, req wire.EchoRequest) (wire.Echo, error) {
	asked, answered, err := traffic.Echo(ctx, req.From, req.To, req.Timeout)
	out := wire.Echo{Asked: asked, Answered: answered}
	if err != nil {
		out.Failed = err.Error()
	}
	return out, ctx.Err()
}

// macs is for naming a host by its MAC address: the light part of observe,
// which would read a whole IPVS table.
func (a *Agent) macs(context.Context, wire.Nothing) (wire.MACs, error) {
	list, err := net.Interfaces()
	if err != nil {
		return wire.MACs{}, err
	}
	out := wire.MACs{Devices: map[string]string{}}
	for _, i := range list {
		if len(i.HardwareAddr) == 6 && i.Flags&net.FlagLoopback == 0 {
			out.Devices[i.Name] = i.HardwareAddr.String()
		}
	}
	return out, nil
}
