package kernel

import (
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/lvsform/lvsform/state"
)

// Every route is either observed, or told of as missing.
func TestEveryRouteIsToldOf(t *testing.T) {
	to := func(cidr string, r netlink.Route) netlink.Route {
		_, r.Dst, _ = net.ParseCIDR(cidr)
		return r
	}
	plain := netlink.Route{LinkIndex: 2, Gw: net.ParseIP("192.0.2.1")}
	hops := netlink.Route{MultiPath: []*netlink.NexthopInfo{{LinkIndex: 2}, {LinkIndex: 2}}}
	host := state.Host{}
	routes := groupRoutes([]netlink.Route{
		to("0.0.0.0/0", hops),
		to("198.51.100.0/24", plain),
		to("198.51.101.0/24", plain),
		to("198.51.101.0/24", plain),
		to("198.51.102.0/24", netlink.Route{LinkIndex: 2, Tos: 16}),
		to("198.51.103.0/24", netlink.Route{LinkIndex: 9}),
		to("198.51.104.0/24", netlink.Route{LinkIndex: 2, Encap: &netlink.SEG6Encap{}}),
	})
	var got []string
	for _, m := range putRoutes(host, routes, map[int]string{2: "eth0"}) {
		got = append(got, m.ID.String()+": "+m.Why)
	}
	for _, i := range host.Items() {
		got = append(got, state.Text(i))
	}
	slices.Sort(got)
	want := []string{
		"route 198.51.100.0/24 via 192.0.2.1 dev eth0 proto 0",
		"route 198.51.101.0/24: the host has 2 with this metric, which lvsform could not put back",
		"route 198.51.102.0/24: the host has one with a type of service, which lvsform could not put back",
		"route 198.51.103.0/24: the host has one with a device that lvsform does not see, which lvsform could not put back",
		"route 198.51.104.0/24: the host has one with an encapsulation, which lvsform could not put back",
		"route default: the host has one with several next hops, which lvsform could not put back",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
