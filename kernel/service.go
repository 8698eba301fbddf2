package kernel

import (
	"fmt"
	"strings"

	"github.com/cloudflare/ipvs"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// observeServices reads the virtual services and their destinations.
func (k *Kernel) observeServices(host state.Host) error {
	services, err := k.services()
	if err != nil {
		return err
	}
	for _, s := range services {
		host.Put(s)
		if err := k.observeDestinations(host, s.ServiceID); err != nil {
			return fmt.Errorf("destinations of %s: %w", s.ServiceID, err)
		}
	}
	return nil
}

func (k *Kernel) services() ([]state.Service, error) {
	answers, err := k.execute(ipvsFamily(), ipvsCmdGetService, netlink.Dump, nothing)
	if err != nil {
		return nil, err
	}
	var out []state.Service
	for _, m := range answers {
		ad, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return nil, err
		}
		for ad.Next() {
			if ad.Type() != ipvsCmdAttrService {
				continue
			}
			s, err := decodeService(ad.Bytes())
			if err != nil {
				return nil, err
			}
			// The kernel takes services of protocols it has no code for. No
			// packet ever matches one.
			if s.FWMark != 0 || s.Protocol != "" {
				out = append(out, s)
			}
		}
		if err := ad.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func protocolNumber(p state.Protocol) uint16 {
	switch p {
	case state.TCP:
		return unix.IPPROTO_TCP
	case state.UDP:
		return unix.IPPROTO_UDP
	case state.SCTP:
		return unix.IPPROTO_SCTP
	default:
		return 0
	}
}

// protocolOf is empty for a number that is no protocol of IPVS.
func protocolOf(number uint16) state.Protocol {
	for _, p := range []state.Protocol{state.TCP, state.UDP, state.SCTP} {
		if protocolNumber(p) == number {
			return p
		}
	}
	return ""
}

// schedulerFlag is a flag and ipvsadm's name of it.
type schedulerFlag struct {
	name string
	bit  uint32
}

// schedulerFlags are in ipvsadm's order, which is also that of their names.
func schedulerFlags() []schedulerFlag {
	return []schedulerFlag{{"flag-1", ipvsSvcSched1}, {"flag-2", ipvsSvcSched2}, {"flag-3", ipvsSvcSched3}}
}

func schedulerFlagNames(bits uint32) string {
	var names []string
	for _, f := range schedulerFlags() {
		if bits&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

func schedulerFlagBits(names string) uint32 {
	var bits uint32
	for _, f := range schedulerFlags() {
		if strings.Contains(names, f.name) {
			bits |= f.bit
		}
	}
	return bits
}

// kernelServiceID is what names a service to the library.
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
	s.Protocol = ipvs.Protocol(protocolNumber(id.Protocol))
	return s
}

// doService sends the whole service, engine included: what a modification
// leaves out, the kernel sets back.
func (k *Kernel) doService(c state.Change) error {
	if c.Op() == state.Remove {
		client, err := k.ipvsClient()
		if err != nil {
			return err
		}
		return client.RemoveService(kernelServiceID(c.Before.(state.Service).ServiceID))
	}
	s := c.After.(state.Service)
	command := uint8(ipvsCmdNewService)
	if c.Op() == state.Modify {
		command = ipvsCmdSetService
	}
	_, err := k.execute(ipvsFamily(), command, netlink.Acknowledge, func(ae *netlink.AttributeEncoder) {
		ae.Nested(ipvsCmdAttrService, func(nested *netlink.AttributeEncoder) error {
			encodeService(nested, s)
			return nil
		})
	})
	return err
}
