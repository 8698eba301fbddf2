package kernel

import (
	"net/netip"

	"github.com/cloudflare/ipvs"

	"github.com/lvsform/lvsform/state"
)

var forwards = []struct {
	item   state.Forward
	kernel ipvs.ForwardType
}{
	{state.ForwardNAT, ipvs.Masquerade},
	{state.ForwardLocal, ipvs.Local},
	{state.ForwardTUN, ipvs.Tunnel},
	{state.ForwardDR, ipvs.DirectRoute},
	{state.ForwardBypass, ipvs.Bypass},
}

var tunnelTypes = []struct {
	item   string
	kernel ipvs.TunnelType
}{
	{"", ipvs.IPIP},
	{"gue", ipvs.GUE},
	{"gre", ipvs.GRE},
}

func destinationItem(service state.ServiceID, d ipvs.Destination) state.Destination {
	out := state.Destination{
		Service:        service,
		Address:        netip.AddrPortFrom(d.Address, d.Port),
		Weight:         d.Weight,
		UpperThreshold: d.UpperThreshold,
		LowerThreshold: d.LowerThreshold,
	}
	for _, f := range forwards {
		if f.kernel == d.FwdMethod {
			out.Forward = f.item
		}
	}
	if out.Forward != state.ForwardTUN {
		return out // the kernel keeps tunnel fields of other methods too; they mean nothing
	}
	for _, t := range tunnelTypes {
		if t.kernel == d.TunnelType {
			out.Tunnel.Type = t.item
		}
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
	for _, f := range forwards {
		if f.item == i.Forward {
			d.FwdMethod = f.kernel
		}
	}
	for _, t := range tunnelTypes {
		if t.item == i.Tunnel.Type {
			d.TunnelType = t.kernel
		}
	}
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
