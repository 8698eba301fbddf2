package kernel

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) observeNeighbours(host state.Host, names map[int]string) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// The kernel filters by device and family only, not by state.
		list, err := dump(func() ([]netlink.Neigh, error) { return k.route.NeighList(0, family) })
		if err != nil {
			return err
		}
		for _, n := range list {
			link, known := names[n.LinkIndex]
			ip, ok := netip.AddrFromSlice(n.IP)
			if n.State&netlink.NUD_PERMANENT != 0 && known && ok {
				host.Put(state.Neighbour{Link: link, Address: ip.Unmap(), MAC: n.HardwareAddr.String()})
			}
		}
	}
	return nil
}

func (k *Kernel) doNeighbour(c state.Change) error {
	item, _ := c.After.(state.Neighbour)
	if c.Op() == state.Remove {
		item, _ = c.Before.(state.Neighbour)
	}
	link, err := k.route.LinkByName(item.Link)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(item.MAC)
	if err != nil {
		return err
	}
	entry := &netlink.Neigh{
		LinkIndex:    link.Attrs().Index,
		Family:       netlink.FAMILY_V4,
		State:        netlink.NUD_PERMANENT,
		IP:           item.Address.AsSlice(),
		HardwareAddr: mac,
	}
	if item.Address.Is6() {
		entry.Family = netlink.FAMILY_V6
	}
	there, err := k.hasNeighbour(entry)
	switch {
	case err != nil:
		return err
	case c.Op() == state.Add && there:
		return unix.EEXIST
	case c.Op() != state.Add && !there:
		return unix.ENOENT
	case c.Op() == state.Remove:
		return k.route.NeighDel(entry)
	default:
		// Replaces what the kernel has learned about the address, too.
		return k.route.NeighSet(entry)
	}
}

// hasNeighbour reports whether there is a permanent entry of that address.
func (k *Kernel) hasNeighbour(entry *netlink.Neigh) (bool, error) {
	list, err := dump(func() ([]netlink.Neigh, error) { return k.route.NeighList(entry.LinkIndex, entry.Family) })
	for _, n := range list {
		if n.IP.Equal(entry.IP) && n.State&netlink.NUD_PERMANENT != 0 {
			return true, nil
		}
	}
	return false, err
}
