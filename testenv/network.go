package testenv

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridges are the lab's networks, in the core's network namespace.
type bridges struct {
	handle *netlink.Handle
	index  []int // link index by network
}

// newNetlink opens rtnetlink only: User-Mode Linux has not all the families
// the library opens by default.
func newNetlink() (*netlink.Handle, error) {
	return netlink.NewHandle(unix.NETLINK_ROUTE)
}

// newBridges makes a bridge of every network: no spanning tree (so no delay
// before a port forwards), no multicast snooping, no address.
func newBridges(networks []string) (*bridges, error) {
	// bridges and their ports carry frames only; a link-local address on
	// them would answer in the topology
	if err := writeSysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	// frames must not pass through the core's own firewall; the files are
	// there when br_netfilter is
	for _, name := range []string{"arptables", "iptables", "ip6tables"} {
		if err := writeSysctl("net/bridge/bridge-nf-call-"+name, "0"); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	h, err := newNetlink()
	if err != nil {
		return nil, err
	}
	b := &bridges{handle: h}
	snooping := false
	for i, network := range networks {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("br%d", i)
		link := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
		if err := h.LinkAdd(link); err != nil {
			return nil, fmt.Errorf("network %s: add a bridge: %w", network, err)
		}
		if err := h.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("network %s: %w", network, err)
		}
		b.index = append(b.index, link.Index)
	}
	return b, nil
}

// plug joins a new NIC of the host whose first process is pid with its network.
func (b *bridges) plug(port string, nic nicSpec, pid int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	attrs.MasterIndex = b.index[nic.Network]
	link := netlink.NewVeth(attrs)
	link.PeerName = nic.Name
	link.PeerNamespace = netlink.NsPid(pid)
	if err := b.handle.LinkAdd(link); err != nil {
		return fmt.Errorf("NIC %s: %w", nic.Name, err)
	}
	if err := b.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("NIC %s: %w", nic.Name, err)
	}
	return nil
}

// setUpNetwork gives the host this process is in its addresses and routes.
func setUpNetwork(host *hostSpec) error {
	h, err := newNetlink()
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := h.LinkSetUp(lo); err != nil {
		return err
	}
	for _, nic := range host.NICs {
		if err := setUpNIC(h, nic); err != nil {
			return fmt.Errorf("NIC %s: %w", nic.Name, err)
		}
	}
	for _, r := range host.Routes {
		// the kernel finds the NIC by the next hop's address
		route := &netlink.Route{Dst: ipNet(r.To), Gw: r.Via.AsSlice()}
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("route %s via %s: %w", r.To, r.Via, err)
		}
	}
	return nil
}

func setUpNIC(h *netlink.Handle, nic nicSpec) error {
	link, err := h.LinkByName(nic.Name)
	if err != nil {
		return err
	}
	// duplicate address detection takes a second, router solicitation more;
	// the addresses of a lab are its own
	for _, name := range []string{"accept_dad", "accept_ra"} {
		if err := writeSysctl("net/ipv6/conf/"+nic.Name+"/"+name, "0"); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	for _, p := range nic.Addresses {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("address %s: %w", p, err)
		}
	}
	return h.LinkSetUp(link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// writeSysctl writes below /proc/sys. NIC names may hold dots, so it takes the
// path and not the dotted name.
func writeSysctl(path, value string) error {
	return os.WriteFile("/proc/sys/"+path, []byte(value), 0)
}
