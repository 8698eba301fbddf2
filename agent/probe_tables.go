package agent

import (
	"context"
	"sync"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
)

func (a *Agent) connections(ctx context.Context, req wire.ConnectionsRequest) (flow.Connections, error) {
	return a.Traffic.FindConnections(ctx, req.Service, req.Addresses, req.Clients)
}

func (a *Agent) sockets(ctx context.Context, req wire.SocketsRequest) (wire.Sockets, error) {
	found, err := a.Traffic.FindSockets(ctx, req.Ports, req.Peers)
	return wire.Sockets{Found: found}, err
}

func (a *Agent) listeners(ctx context.Context, req wire.ListenersRequest) (wire.Listeners, error) {
	found, err := a.Traffic.FindListeners(ctx, req.Protocol)
	return wire.Listeners{Addresses: found}, err
}

func (a *Agent) whoHas(ctx context.Context, req wire.WhoHasRequest) (wire.WhoHas, error) {
	out := wire.WhoHas{Answers: make([]wire.Answers, len(req.Questions))}
	var all sync.WaitGroup
	for i, q := range req.Questions {
		all.Go(func() {
			macs, err := a.Traffic.WhoHas(ctx, q.Device, q.Source, q.Target)
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
	mac, permanent, err := a.Traffic.Neighbour(req.Device, req.Address)
	return wire.Neighbour{MAC: mac, Permanent: permanent}, err
}

func (a *Agent) echo(ctx context.Context, req wire.EchoRequest) (wire.Echo, error) {
	asked, answered, err := a.Traffic.Echo(ctx, req.From, req.To, req.Timeout)
	out := wire.Echo{Asked: asked, Answered: answered}
	if err != nil {
		out.Failed = err.Error()
	}
	return out, ctx.Err()
}

func (a *Agent) macs(context.Context, wire.Nothing) (wire.MACs, error) {
	devices, err := a.Traffic.MACs()
	return wire.MACs{Devices: devices}, err
}
