package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// observeTunnels takes from the devices those that are tunnels as lvsform
// would make them. A tunnel with more to it (a key, an encapsulation around
// it, a device it is bound to) stays a link only.
func observeTunnels(host state.Host, links []netlink.Link) {
	for _, l := range links {
		t, ok := tunnelItem(l)
		if ok && !isFallback(t.Name) {
			host.Put(t)
		}
	}
}

// isFallback reports whether the name is that of a device the kernel makes
// itself, in every network namespace, when a tunnel module is loaded.
func isFallback(name string) bool {
	switch name {
	case "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0":
		return true
	default:
		return false
	}
}

// The settings beside those of state.TunnelLink are the defaults of
// `ip link add`, so that a tunnel made by hand is the same as one made here.
const (
	pathMTUDiscovery = 1
	// encapLimit is RFC 2473's tunnel encapsulation limit.
	encapLimit = 4
	// userFlags are the flags of an ip6tnl that users set (linux/ip6_tunnel.h);
	// the kernel notes above them what the tunnel is able to do.
	userFlags = 0xffff
)

func tunnelItem(l netlink.Link) (t state.TunnelLink, ok bool) {
	t.Name = l.Attrs().Name
	var local, remote net.IP
	switch d := l.(type) {
	case *netlink.Iptun:
		t.Type, t.TTL, local, remote = state.TunnelIPIP, d.Ttl, d.Local, d.Remote
		ok = d.Tos == 0 && d.PMtuDisc == pathMTUDiscovery && d.EncapType == 0 && !d.FlowBased &&
			(d.Proto == 0 || d.Proto == unix.IPPROTO_IPIP)
	case *netlink.Sittun:
		t.Type, t.TTL, local, remote = state.TunnelSIT, d.Ttl, d.Local, d.Remote
		ok = d.Tos == 0 && d.PMtuDisc == pathMTUDiscovery && d.EncapType == 0 &&
			(d.Proto == 0 || d.Proto == unix.IPPROTO_IPV6)
	case *netlink.Ip6tnl:
		t.Type, t.TTL, local, remote = state.TunnelIP6TNL, d.Ttl, d.Local, d.Remote
		// No flag and no limit but the usual one: a tunnel that ignores the
		// limit is 8 bytes wider.
		ok = d.Tos == 0 && d.EncapType == 0 && !d.FlowBased && d.Proto == 0 && d.Flags&userFlags == 0 && d.FlowInfo == 0
	case *netlink.Gretun:
		t.TTL, local, remote = d.Ttl, d.Local, d.Remote
		t.Checksum = d.IFlags == greChecksum
		ok = d.Tos == 0 && d.EncapType == 0 && !d.FlowBased && d.IFlags&^greChecksum == 0 && d.OFlags == d.IFlags
		if t.Type = d.Type(); t.Type == state.TunnelGRE {
			ok = ok && d.PMtuDisc == pathMTUDiscovery
		}
	}
	t.Local, t.Remote = endpoint(local), endpoint(remote)
	return t, ok && l.Attrs().ParentIndex == 0
}

// greChecksum is GRE_CSUM of linux/if_tunnel.h, in the host's order as the
// library takes it.
const greChecksum = 0x8000

// endpoint is a tunnel's end; all zeros is how the kernel writes "any".
func endpoint(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}

// outerIs6 reports whether the tunnel's own packets are IPv6.
func outerIs6(t state.TunnelLink) bool {
	return t.Type == state.TunnelIP6TNL || t.Type == state.TunnelIP6GRE
}

func netlinkTunnel(t state.TunnelLink) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = t.Name
	outer6 := outerIs6(t)
	local, remote := outerIP(t.Local, outer6), outerIP(t.Remote, outer6)
	switch t.Type {
	case state.TunnelIPIP:
		return &netlink.Iptun{LinkAttrs: attrs, Local: local, Remote: remote, Ttl: t.TTL, PMtuDisc: pathMTUDiscovery}, nil
	case state.TunnelSIT:
		return &netlink.Sittun{LinkAttrs: attrs, Local: local, Remote: remote, Ttl: t.TTL, PMtuDisc: pathMTUDiscovery}, nil
	case state.TunnelIP6TNL:
		return &netlink.Ip6tnl{LinkAttrs: attrs, Local: local, Remote: remote, Ttl: t.TTL, EncapLimit: encapLimit}, nil
	case state.TunnelGRE, state.TunnelIP6GRE:
		// The library tells gre from ip6gre by the family of Local. It has no
		// encapsulation limit for ip6gre, which is then 0: nothing on the way
		// may tunnel the tunnel.
		gre := &netlink.Gretun{LinkAttrs: attrs, Local: local, Remote: remote, Ttl: t.TTL, PMtuDisc: pathMTUDiscovery}
		if t.Checksum {
			gre.IFlags, gre.OFlags = greChecksum, greChecksum
		}
		return gre, nil
	default:
		return nil, fmt.Errorf("tunnel type %q: %w", t.Type, errUnsupported)
	}
}

// outerIP is never nil: the kernel keeps an end that a modification does not name.
func outerIP(a netip.Addr, outer6 bool) net.IP {
	switch {
	case a.IsValid():
		return a.AsSlice()
	case outer6:
		return net.IPv6unspecified
	default:
		return net.IPv4zero
	}
}

func (k *Kernel) doTunnel(ctx context.Context, c state.Change) error {
	if c.Op() == state.Add {
		link, err := netlinkTunnel(c.After.(state.TunnelLink))
		if err != nil {
			return err
		}
		return k.route.LinkAdd(link)
	}
	before := c.Before.(state.TunnelLink)
	link, err := k.route.LinkByName(before.Name)
	if err != nil {
		return err
	}
	if is, ok := tunnelItem(link); !ok || is.Type != before.Type || isFallback(before.Name) {
		return fmt.Errorf("the device %s is not such a tunnel: %w", before.Name, unix.EINVAL)
	}
	if c.Op() == state.Remove {
		return k.route.LinkDel(link)
	}
	after := c.After.(state.TunnelLink)
	if !before.InPlace(after) {
		return k.replaceTunnel(ctx, link, before, after)
	}
	if link, err = netlinkTunnel(after); err != nil {
		return err
	}
	return k.route.LinkModify(link)
}

// replaceTunnel removes a tunnel's device and makes it anew, with what was set
// on it as far as the vocabulary can say it. If the new one cannot be made, the
// old one comes back.
func (k *Kernel) replaceTunnel(ctx context.Context, link netlink.Link, before, after state.TunnelLink) error {
	made, err := netlinkTunnel(after)
	if err != nil {
		return err
	}
	old, err := netlinkTunnel(before)
	if err != nil {
		return err
	}
	on, err := k.onDevice(ctx, before.Name)
	if err != nil {
		return err
	}
	if err := k.route.LinkDel(link); err != nil {
		return err
	}
	set := func(c state.Change) error { return k.Do(ctx, c) }
	if err := k.route.LinkAdd(made); err != nil {
		if again := k.route.LinkAdd(old); again != nil {
			return errors.Join(err, again)
		}
		return errors.Join(err, putOn(on, set))
	}
	return putOn(on, set)
}

// onDevice is what goes with a device, in the order in which it can be set: its
// IPv4 settings, whether it is up, its addresses, routes and neighbours.
func (k *Kernel) onDevice(ctx context.Context, name string) ([]state.Item, error) {
	host, _, err := k.Observe(ctx, ipv4Settings(name))
	if err != nil {
		return nil, err
	}
	var settings, others []state.Item
	for _, i := range host.Items() {
		on := false
		switch i := i.(type) {
		case state.Sysctl:
			settings = append(settings, i)
		case state.Up:
			on = i.Link == name
		case state.Address:
			on = i.Link == name
		case state.Route:
			on = i.Link == name
		case state.Neighbour:
			on = i.Link == name
		}
		if on {
			others = append(others, i)
		}
	}
	return append(settings, others...), nil
}

// putOn sets what was on a device, as far as it has not come by itself. What
// cannot be set does not keep the rest from it.
func putOn(items []state.Item, set func(state.Change) error) error {
	var failed []error
	for _, i := range items {
		if s, ok := i.(state.Sysctl); ok {
			if is, _, err := observeSysctl(s.Name); err != nil || is == i {
				continue
			}
		}
		failed = append(failed, set(state.Change{After: i}))
	}
	return errors.Join(failed...)
}

// ipv4Settings are the settings that a device has.
func ipv4Settings(device string) []state.ID {
	name := strings.TrimSuffix(state.ConfSysctl("ipv4", device, ""), ".")
	dir, err := sysctlFile(name)
	if err != nil {
		return nil
	}
	files, _ := os.ReadDir(dir)
	var out []state.ID
	for _, f := range files {
		out = append(out, state.IDOf(state.Sysctl{Name: state.ConfSysctl("ipv4", device, f.Name())}))
	}
	return out
}
