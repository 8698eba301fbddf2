package kernel

import (
	"errors"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/lvsform/lvsform/state"
)

// dumpTries is how often a listing is taken again when the kernel says that it
// changed while being read.
const dumpTries = 5

// dump lists something through rtnetlink. The library returns what it has
// together with ErrDumpInterrupted when the list changed under it.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var (
		out []T
		err error
	)
	for range dumpTries {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return out, err
}

func observeLinks(host state.Host, links []netlink.Link) {
	for _, l := range links {
		a := l.Attrs()
		host.Put(state.Link{
			Name: a.Name,
			MAC:  linkMAC(a.HardwareAddr),
			MTU:  a.MTU,
			Up:   a.Flags&net.FlagUp != 0,
		})
		if a.Flags&net.FlagUp != 0 {
			host.Put(state.Up{Link: a.Name})
		}
	}
}

// linkNames tells a device's name by its index, which is how everything else
// in rtnetlink refers to it.
func linkNames(links []netlink.Link) map[int]string {
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names
}

// linkMAC leaves out the addresses of devices that have none: the loopback's
// zeros, and a tunnel's IP address in the hardware address's place.
func linkMAC(a net.HardwareAddr) string {
	if len(a) != 6 || a.String() == "00:00:00:00:00:00" {
		return ""
	}
	return a.String()
}
