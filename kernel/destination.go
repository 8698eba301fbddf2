package kernel

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/cloudflare/ipvs"

	"github.com/lvsform/lvsform/state"
)

// forwards are the forwarding methods, at the place of the kernel's number.
func forwards() []state.Forward {
	return []state.Forward{
		ipvs.Masquerade:  state.ForwardNAT,
		ipvs.Local:       state.ForwardLocal,
		ipvs.Tunnel:      state.ForwardTUN,
		ipvs.DirectRoute: state.ForwardDR,
		ipvs.Bypass:      state.ForwardBypass,
	}
}

// tunnelTypes are the encapsulations, at the place of the kernel's number.
func tunnelTypes() []string {
	return []string{ipvs.IPIP: "", ipvs.GUE: "gue", ipvs.GRE: "gre"}
}

// observeDestinations reads the destinations of one service.
func (k *Kernel) observeDestinations(host state.Host, service state.ServiceID) error {
	client, err := k.ipvsClient()
	if err != nil {
		return err
	}
	dests, err := orNone(client.Destinations(kernelServiceID(service)))
	for _, d := range dests {
		host.Put(destinationItem(service, d.Destination))
	}
	return err
}

// orNone turns the library's "does not exist", which is how it reports an
// empty table, into an empty list.
func orNone[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

func destinationItem(service state.ServiceID, d ipvs.Destination) state.Destination {
	out := state.Destination{
		Service:        service,
		Address:        netip.AddrPortFrom(d.Address, d.Port),
		Weight:         d.Weight,
		UpperThreshold: d.UpperThreshold,
		LowerThreshold: d.LowerThreshold,
	}
	if list := forwards(); int(d.FwdMethod) < len(list) {
		out.Forward = list[d.FwdMethod]
	}
	if out.Forward != state.ForwardTUN {
		return out // the kernel keeps tunnel fields of other methods too; they mean nothing
	}
	if list := tunnelTypes(); int(d.TunnelType) < len(list) {
		out.Tunnel.Type = list[d.TunnelType]
	}
	out.Tunnel.Port = d.TunnelPort
	out.Tunnel.Checksum = d.TunnelFlags&ipvs.TunnelEncapChecksum != 0
	out.Tunnel.RemoteChecksum = d.TunnelFlags&ipvs.TunnelEncapRemoteChecksum != 0
	return out
}

func kernelDestination(i state.Destination) ipvs.Destination {
	d := ipvs.Destination{
		Address:        i.Address.Addr(),
		Port:           i.Address.Port(),
		Family:         ipvs.INET,
		Weight:         i.Weight,
		UpperThreshold: i.UpperThreshold,
		LowerThreshold: i.LowerThreshold,
	}
	if d.Address.Is6() {
		d.Family = ipvs.INET6
	}
	d.FwdMethod = ipvs.ForwardType(slices.Index(forwards(), i.Forward))
	d.TunnelType = ipvs.TunnelType(slices.Index(tunnelTypes(), i.Tunnel.Type))
	d.TunnelPort = i.Tunnel.Port
	if i.Tunnel.Checksum {
		d.TunnelFlags |= ipvs.TunnelEncapChecksum
	}
	if i.Tunnel.RemoteChecksum {
		d.TunnelFlags |= ipvs.TunnelEncapRemoteChecksum
	}
	return d
}

func (k *Kernel) doDestination(c state.Change) error {
	client, err := k.ipvsClient()
	if err != nil {
		return err
	}
	item, _ := c.After.(state.Destination)
	if c.Op() == state.Remove {
		item = c.Before.(state.Destination)
	}
	service, dest := kernelServiceID(item.Service), kernelDestination(item)
	switch c.Op() {
	case state.Remove:
		return client.RemoveDestination(service, dest)
	case state.Modify:
		return client.UpdateDestination(service, dest)
	default:
		return client.CreateDestination(service, dest)
	}
}

// ActiveConnections counts the connections in state ESTABLISHED (TCP) or alive
// (UDP) that IPVS holds to the given destinations. A destination that is no
// longer there holds none.
func (k *Kernel) ActiveConnections(dests []state.Destination) (uint64, error) {
	if !ipvsLoaded() {
		return 0, nil
	}
	client, err := k.ipvsClient()
	if err != nil {
		return 0, err
	}
	asked := map[state.ServiceID]map[netip.AddrPort]bool{}
	for _, d := range dests {
		if asked[d.Service] == nil {
			asked[d.Service] = map[netip.AddrPort]bool{}
		}
		asked[d.Service][d.Address] = true
	}
	var sum uint64
	for service, addrs := range asked {
		list, err := orNone(client.Destinations(kernelServiceID(service)))
		if err != nil {
			return 0, err
		}
		for _, d := range list {
			if addrs[netip.AddrPortFrom(d.Address, d.Port)] {
				sum += uint64(d.ActiveConnections)
			}
		}
	}
	return sum, nil
}
