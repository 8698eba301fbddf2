package kernel

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) observeAddresses(host state.Host) error {
	links, err := dump(k.route.LinkList)
	if err != nil {
		return err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return k.route.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		name, known := names[a.LinkIndex]
		if !ok || !known {
			continue // a device that came between the two listings
		}
		ones, _ := a.Mask.Size()
		ip = ip.Unmap()
		if ip.Is6() && ip.IsLinkLocalUnicast() {
			continue // the kernel's own, one for every device that goes up
		}
		host.Put(state.Address{
			Link:   name,
			Prefix: netip.PrefixFrom(ip, ones),
			// IFA_F_DEPRECATED is also what a router's expired address has.
			Deprecated: ip.Is6() && a.Flags&unix.IFA_F_DEPRECATED != 0,
		})
	}
	return nil
}

func (k *Kernel) doAddress(c state.Change) error {
	item, _ := c.After.(state.Address)
	if c.Op() == state.Remove {
		item, _ = c.Before.(state.Address)
	}
	link, err := k.route.LinkByName(item.Link)
	if err != nil {
		return err
	}
	addr := netlinkAddr(item)
	switch c.Op() {
	case state.Add:
		if err := k.route.AddrAdd(link, addr); err != nil {
			return err
		}
		return k.announce(link, item.Prefix.Addr())
	case state.Modify:
		// Replacing would add a missing address; that must be an error.
		if err := k.mustHave(link, item.Prefix); err != nil {
			return err
		}
		return k.route.AddrReplace(link, addr)
	default:
		return k.route.AddrDel(link, addr)
	}
}

func (k *Kernel) mustHave(link netlink.Link, p netip.Prefix) error {
	addrs, err := dump(func() ([]netlink.Addr, error) { return k.route.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap() == p.Addr() {
			if ones, _ := a.Mask.Size(); ones == p.Bits() {
				return nil
			}
		}
	}
	return unix.EADDRNOTAVAIL
}

func netlinkAddr(a state.Address) *netlink.Addr {
	ip := a.Prefix.Addr()
	out := &netlink.Addr{IPNet: &net.IPNet{
		IP:   ip.AsSlice(),
		Mask: net.CIDRMask(a.Prefix.Bits(), ip.BitLen()),
	}}
	if ip.Is6() {
		// Duplicate address detection would keep the VIP unusable for a
		// second, and would find the real servers' copies of it.
		out.Flags = unix.IFA_F_NODAD
		// The library sends lifetimes only when one is set, and a preferred
		// lifetime of 0 only with a valid one beside it.
		out.ValidLft = math.MaxUint32
		out.PreferedLft = math.MaxUint32
		if a.Deprecated {
			out.PreferedLft = 0
		}
	}
	return out
}

// announce tells the segment that the address is here now, so that neighbours
// which still hold another host's MAC for it turn to this one at once. Devices
// without ARP (lo, tunnels) and devices that are down have nobody to tell.
func (k *Kernel) announce(link netlink.Link, ip netip.Addr) error {
	a := link.Attrs()
	const silent = net.FlagLoopback | net.FlagPointToPoint
	if a.Flags&net.FlagUp == 0 || a.Flags&silent != 0 || a.Flags&net.FlagBroadcast == 0 || len(a.HardwareAddr) != 6 {
		return nil
	}
	err := announce(a.Index, a.HardwareAddr, ip)
	if errors.Is(err, unix.ENETDOWN) {
		return nil // no carrier: there is nobody on the segment
	}
	if err != nil {
		return fmt.Errorf("announce %s on %s: %w", ip, a.Name, err)
	}
	return nil
}
