package kernel

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) observeAddresses(host state.Host, names map[int]string) error {
	addrs, err := dump(func() ([]netlink.Addr, error) { return k.route.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		name, known := names[a.LinkIndex]
		item, ok := addressItem(a, name)
		if !ok || !known {
			continue // a device that came between the two listings
		}
		if ip := item.Prefix.Addr(); ip.Is6() && ip.IsLinkLocalUnicast() && !item.Peer.IsValid() {
			continue // the kernel's own, one for every device that goes up
		}
		host.Put(item)
	}
	return nil
}

func addressItem(a netlink.Addr, link string) (state.Address, bool) {
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return state.Address{}, false
	}
	ip = ip.Unmap()
	ones, _ := a.Mask.Size()
	out := state.Address{
		Link: link,
		// IFA_F_DEPRECATED is also what a router's expired address has.
		Deprecated: ip.Is6() && a.Flags&unix.IFA_F_DEPRECATED != 0,
	}
	// The library names a peer also where it is the address itself.
	if a.Peer != nil && !a.Peer.IP.Equal(a.IP) {
		out.Peer = routeAddr(a.Peer.IP)
		ones, _ = a.Peer.Mask.Size()
	}
	out.Prefix = netip.PrefixFrom(ip, ones)
	return out, true
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
		if err := k.mustHave(link, item); err != nil {
			return err
		}
		return k.route.AddrReplace(link, addr)
	default:
		return k.route.AddrDel(link, addr)
	}
}

func (k *Kernel) mustHave(link netlink.Link, item state.Address) error {
	addrs, err := dump(func() ([]netlink.Addr, error) { return k.route.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if is, ok := addressItem(a, item.Link); ok && is.Key() == item.Key() {
			return nil
		}
	}
	return unix.EADDRNOTAVAIL
}

// forever is the kernel's INFINITY_LIFE_TIME. The library keeps lifetimes as an
// int, which cannot hold it on a processor of 32 bits, and sends none below 1:
// there it is 68 years.
const forever = min(math.MaxUint32, math.MaxInt)

func netlinkAddr(a state.Address) *netlink.Addr {
	ip := a.Prefix.Addr()
	out := &netlink.Addr{IPNet: &net.IPNet{
		IP:   ip.AsSlice(),
		Mask: net.CIDRMask(a.Prefix.Bits(), ip.BitLen()),
	}}
	if a.Peer.IsValid() {
		out.Peer = &net.IPNet{IP: a.Peer.AsSlice(), Mask: out.Mask}
	}
	if ip.Is6() {
		// Duplicate address detection would keep the VIP unusable for a
		// second, and would find the real servers' copies of it.
		out.Flags = unix.IFA_F_NODAD
		// The library sends lifetimes only when one is set, and a preferred
		// lifetime of 0 only with a valid one beside it.
		out.ValidLft = forever
		out.PreferedLft = forever
		if a.Deprecated {
			out.PreferedLft = 0
		}
	}
	return out
}

// Announce tells the segment where an address is that the host has.
func (k *Kernel) Announce(a state.Address) error {
	link, err := k.route.LinkByName(a.Link)
	if err != nil {
		return err
	}
	if err := k.mustHave(link, a); err != nil {
		return err
	}
	return k.announce(link, a.Prefix.Addr())
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
	err := traffic.Announce(a.Index, a.HardwareAddr, ip)
	if errors.Is(err, unix.ENETDOWN) {
		return nil // no carrier: there is nobody on the segment
	}
	if err != nil {
		return fmt.Errorf("announce %s on %s: %w", ip, a.Name, err)
	}
	return nil
}
