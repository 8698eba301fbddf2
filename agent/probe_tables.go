package agent

import (
	"context"
	"net"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel"
)

func (a *Agent) connections(ctx context.Context, req wire.ConnectionsRequest) (wire.Connections, error) {
	table, err := kernel.FindConnections(ctx, req.Service, req.Clients)
	out := wire.Connections{Active: table.Active, Inactive: table.Inactive}
	for _, c := range table.Found {
		out.Found = append(out.Found, wire.Connection(c))
	}
	return out, err
}

func (a *Agent) sockets(ctx context.Context, req wire.SocketsRequest) (wire.Sockets, error) {
	var out wire.Sockets
	found, err := kernel.FindSockets(ctx, req.Port, req.Peers)
	for _, s := range found {
		out.Found = append(out.Found, wire.Socket(s))
	}
	return out, err
}

func (a *Agent) whoHas(ctx context.Context, req wire.WhoHasRequest) (wire.WhoHas, error) {
	macs, err := kernel.WhoHas(ctx, req.Device, req.Source, req.Target)
	return wire.WhoHas{MACs: macs}, err
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
