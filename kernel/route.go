package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// observeRoutes reads the unicast routes of the main table that someone set,
// one per destination and metric. Those the vocabulary has no words for are
// told of as missing, and doRoute leaves them alone.
func (k *Kernel) observeRoutes(host state.Host, names map[int]string) ([]state.Missing, error) {
	var missing []state.Missing
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := k.listRoutes(family)
		if err != nil {
			return nil, err
		}
		missing = append(missing, putRoutes(host, routes, names)...)
	}
	slices.SortFunc(missing, func(a, b state.Missing) int { return state.Compare(a.ID, b.ID) })
	return missing, nil
}

// putRoutes adds the routes to what was observed, and returns, in any order,
// the places of those that are left out.
func putRoutes(host state.Host, routes map[routeKey][]netlink.Route, names map[int]string) []state.Missing {
	var missing []state.Missing
	for key, same := range routes {
		item, without := routeItem(same[0], names)
		why := ""
		switch {
		case len(same) > 1:
			why = fmt.Sprintf("the host has %d with this metric, which lvsform could not put back", len(same))
		case without != "":
			why = fmt.Sprintf("the host has one with %s, which lvsform could not put back", without)
		default:
			host.Put(item)
			continue
		}
		missing = append(missing, state.Missing{ID: state.IDOf(state.Route{To: key.to, Metric: key.metric}), Why: why})
	}
	return missing
}

// routeKey is what the kernel, and state.Route's Key, tell routes apart by.
type routeKey struct {
	to     netip.Prefix
	metric uint32
}

// listRoutes groups the routes of a family. IPv4 lets several with the same
// key stand behind each other (`ip route append`).
func (k *Kernel) listRoutes(family int) (map[routeKey][]netlink.Route, error) {
	list, err := dump(func() ([]netlink.Route, error) {
		return k.route.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST},
			netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE)
	})
	return groupRoutes(list), err
}

func groupRoutes(list []netlink.Route) map[routeKey][]netlink.Route {
	out := map[routeKey][]netlink.Route{}
	for _, r := range list {
		// "kernel" are the networks of addresses, "redirect" what ICMP says:
		// both come and go by themselves.
		if r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_REDIRECT || r.Dst == nil {
			continue
		}
		ip, ok := netip.AddrFromSlice(r.Dst.IP)
		if !ok {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		key := routeKey{netip.PrefixFrom(ip.Unmap(), ones), uint32(r.Priority)}
		out[key] = append(out[key], r)
	}
	return out
}

// routeItem is the route in the words of state.Route, or what of it has none.
func routeItem(r netlink.Route, names map[int]string) (state.Route, string) {
	if what := withoutWords(r); what != "" {
		return state.Route{}, what
	}
	link, known := names[r.LinkIndex]
	if !known {
		return state.Route{}, "a device that lvsform does not see"
	}
	to, _ := netip.AddrFromSlice(r.Dst.IP)
	ones, _ := r.Dst.Mask.Size()
	out := state.Route{
		To:       netip.PrefixFrom(to.Unmap(), ones),
		Metric:   uint32(r.Priority),
		Via:      routeAddr(r.Gw),
		Link:     link,
		Source:   routeAddr(r.Src),
		Protocol: int(r.Protocol),
	}
	if via, ok := r.Via.(*netlink.Via); ok {
		out.Via = routeAddr(via.Addr)
	}
	return out, ""
}

func routeAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// withoutWords names what makes a route another than state.Route can say: where
// it leads, or for which packets; empty: nothing does.
func withoutWords(r netlink.Route) string {
	switch {
	case len(r.MultiPath) != 0:
		return "several next hops"
	case r.Encap != nil || r.NewDst != nil:
		return "an encapsulation"
	case r.Tos != 0:
		return "a type of service"
	default:
		return ""
	}
}

// beyondWords names what a route has that state.Route cannot say, and that
// would be lost if lvsform changed it and put it back.
func beyondWords(r netlink.Route) string {
	if what := withoutWords(r); what != "" {
		return what
	}
	switch {
	case r.Flags&int(netlink.FLAG_ONLINK) != 0:
		return "the flag onlink"
	case r.Realm != 0:
		return "a realm"
	case r.MTU != 0 || r.AdvMSS != 0 || r.Window != 0 || r.Rtt != 0 || r.RttVar != 0 || r.Ssthresh != 0 || r.Cwnd != 0 ||
		r.Reordering != 0 || r.Hoplimit != 0 || r.InitCwnd != 0 || r.InitRwnd != 0 || r.Features != 0 || r.RtoMin != 0 ||
		r.QuickACK != 0 || r.Congctl != "" || r.FastOpenNoCookie != 0:
		return "metrics of its own (mtu, advmss, initcwnd or the like)"
	default:
		return ""
	}
}

func (k *Kernel) doRoute(c state.Change) error {
	item, _ := c.After.(state.Route)
	if c.Op() == state.Remove {
		item, _ = c.Before.(state.Route)
	}
	link, err := k.route.LinkByName(item.Link)
	if err != nil {
		return err
	}
	route := netlinkRoute(item, link.Attrs().Index)
	if c.Op() == state.Add {
		return k.route.RouteAdd(route) // a route of the same key, whoever's: EEXIST
	}
	if err := k.mayTouch(item); err != nil {
		return err
	}
	if c.Op() == state.Modify {
		// One message: there is no moment without the route.
		return k.route.RouteChange(route)
	}
	// Deleting compares the scope too, unless it is this one.
	route.Scope = unix.RT_SCOPE_NOWHERE
	return k.route.RouteDel(route)
}

// mayTouch refuses to change a route that is not there, or that could not be
// put back as it is.
func (k *Kernel) mayTouch(item state.Route) error {
	family := netlink.FAMILY_V4
	if item.To.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	routes, err := k.listRoutes(family)
	if err != nil {
		return err
	}
	same := routes[routeKey{item.To, item.Metric}]
	switch {
	case len(same) == 0:
		return unix.ESRCH
	case len(same) > 1:
		return fmt.Errorf("there are %d routes to %s with this metric, which lvsform could not put back: %w", len(same), item.To, errUnsupported)
	}
	if what := beyondWords(same[0]); what != "" {
		return fmt.Errorf("the route to %s has %s, which lvsform could not put back: %w", item.To, what, errUnsupported)
	}
	return nil
}

func netlinkRoute(r state.Route, link int) *netlink.Route {
	out := &netlink.Route{
		LinkIndex: link,
		Dst:       &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), r.To.Addr().BitLen())},
		Priority:  int(r.Metric),
		Protocol:  netlink.RouteProtocol(r.Protocol),
		Table:     unix.RT_TABLE_MAIN,
		Type:      unix.RTN_UNICAST,
	}
	if r.Source.IsValid() {
		out.Src = r.Source.AsSlice()
	}
	switch {
	case !r.Via.IsValid() && r.To.Addr().Is4():
		out.Scope = unix.RT_SCOPE_LINK // IPv6 has no scopes
	case !r.Via.IsValid():
	case r.Via.Is6() && r.To.Addr().Is4():
		out.Via = &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: r.Via.AsSlice()}
	default:
		out.Gw = r.Via.AsSlice()
	}
	return out
}
