package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/lvsform/lvsform/state"
)

// ipvsLoaded reports whether the ip_vs module is there. Asking generic netlink
// for the IPVS family instead would load it.
func ipvsLoaded() bool {
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil
}

func (k *Kernel) ipvsClient() (ipvs.Client, error) {
	if k.ipvs == nil {
		c, err := ipvs.New()
		if err != nil {
			return nil, fmt.Errorf("open IPVS: %w", err)
		}
		k.ipvs = c
	}
	return k.ipvs, nil
}

// observeServices reads the virtual services and their destinations.
func (k *Kernel) observeServices(host state.Host) error {
	if !ipvsLoaded() {
		return nil
	}
	c, err := k.ipvsClient()
	if err != nil {
		return err
	}
	services, err := orNone(c.Services())
	if err != nil {
		return err
	}
	for _, s := range services {
		item, err := serviceItem(s.Service)
		if err != nil {
			return err
		}
		host.Put(item)
		dests, err := orNone(c.Destinations(s.Service))
		if err != nil {
			return fmt.Errorf("destinations of %s: %w", item.ServiceID, err)
		}
		for _, d := range dests {
			host.Put(destinationItem(item.ServiceID, d.Destination))
		}
	}
	return nil
}

// orNone turns the library's "does not exist", which is how it reports an
// empty table, into an empty list.
func orNone[T any](list []T, err error) ([]T, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

var protocols = []struct {
	item   state.Protocol
	kernel ipvs.Protocol
}{
	{state.TCP, ipvs.TCP},
	{state.UDP, ipvs.UDP},
	{state.SCTP, ipvs.SCTP},
}

// schedulerFlags are ipvsadm's names of the flags, in its order.
var schedulerFlags = []struct {
	name string
	flag ipvs.Flags
}{
	{"flag-1", ipvs.ServiceSchedulerOpt1},
	{"flag-2", ipvs.ServiceSchedulerOpt2},
	{"flag-3", ipvs.ServiceSchedulerOpt3},
}

func serviceItem(s ipvs.Service) (state.Service, error) {
	out := state.Service{
		Scheduler:       s.Scheduler,
		PersistenceBits: s.Netmask.Bits(),
		OnePacket:       s.Flags&ipvs.ServiceOnePacket != 0,
	}
	if s.Flags&ipvs.ServicePersistent != 0 {
		out.Persistence = s.Timeout
	}
	var names []string
	for _, f := range schedulerFlags {
		if s.Flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	out.Flags = strings.Join(names, ",")
	if s.FWMark != 0 {
		out.ServiceID = state.ServiceID{FWMark: s.FWMark, IPv6: s.Family == ipvs.INET6}
		return out, nil
	}
	out.Address = netip.AddrPortFrom(s.Address, s.Port)
	for _, p := range protocols {
		if p.kernel == s.Protocol {
			out.Protocol = p.item
			return out, nil
		}
	}
	return out, fmt.Errorf("virtual service %s has protocol number %d, which lvsform does not know", out.Address, s.Protocol)
}

// kernelServiceID is the part of a service that identifies it to the kernel.
func kernelServiceID(id state.ServiceID) ipvs.Service {
	s := ipvs.Service{Family: ipvs.INET}
	if id.Is6() {
		s.Family = ipvs.INET6
	}
	if id.FWMark != 0 {
		s.FWMark = id.FWMark
		return s
	}
	s.Address, s.Port = id.Address.Addr(), id.Address.Port()
	for _, p := range protocols {
		if p.item == id.Protocol {
			s.Protocol = p.kernel
		}
	}
	return s
}

func kernelService(i state.Service) ipvs.Service {
	s := kernelServiceID(i.ServiceID)
	s.Scheduler = i.Scheduler
	// The kernel refuses a service without a mask, persistent or not.
	bits := 32
	if i.Is6() {
		bits = 128
	}
	s.Netmask = netmask.MaskFrom(i.PersistenceBits, bits)
	if i.Persistence != 0 {
		s.Flags |= ipvs.ServicePersistent
		s.Timeout = i.Persistence
	}
	if i.OnePacket {
		s.Flags |= ipvs.ServiceOnePacket
	}
	for _, f := range schedulerFlags {
		if strings.Contains(i.Flags, f.name) {
			s.Flags |= f.flag
		}
	}
	return s
}

func (k *Kernel) doService(c state.Change) error {
	client, err := k.ipvsClient()
	if err != nil {
		return err
	}
	switch c.Op() {
	case state.Remove:
		return client.RemoveService(kernelServiceID(c.Before.(state.Service).ServiceID))
	case state.Modify:
		return client.UpdateService(kernelService(c.After.(state.Service)))
	default:
		return client.CreateService(kernelService(c.After.(state.Service)))
	}
}
