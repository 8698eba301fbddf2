package state

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// RouteProtocol is the protocol number (rtnetlink's rtm_protocol) that marks
// the routes lvsform adds. It is none of those in iproute2's rt_protos.
const RouteProtocol = 118

// Route is a unicast route of the main table. The kernel's own (protocol
// kernel: the networks of addresses) are none of these.
type Route struct {
	To     netip.Prefix `json:"to"`               // masked; 0.0.0.0/0 and ::/0 are the default routes
	Metric uint32       `json:"metric,omitempty"` // 0: none given (IPv4), 1024 is the kernel's default for IPv6
	Via    netip.Addr   `json:"via,omitzero"`     // zero: on-link
	Link   string       `json:"link"`
	Source netip.Addr   `json:"source,omitzero"` // preferred source, where set
	// Protocol is who set it: 118 lvsform, 3 boot, 4 static, 16 dhcp, ...
	Protocol int `json:"protocol"`
}

// RouteMetric is the metric that the kernel gives a route without one: 1024 for
// IPv6 (IP6_RT_PRIO_USER), and none for IPv4.
func RouteMetric(to netip.Prefix) uint32 {
	if to.Addr().Is6() {
		return 1024
	}
	return 0
}

// Kind implements Item.
func (Route) Kind() Kind { return KindRoute }

// Key implements Item.
func (r Route) Key() string {
	s := r.To.String()
	if r.To.Bits() == 0 {
		s = "default"
		if r.To.Addr().Is6() {
			s = "default -6"
		}
	}
	if r.Metric != 0 {
		s += fmt.Sprintf(" metric %d", r.Metric)
	}
	return s
}

// RouteOf is the place of a route, its To and Metric, by its ID; false: it is
// none of a route.
func RouteOf(id ID) (Route, bool) {
	if id.Kind != KindRoute {
		return Route{}, false
	}
	var r Route
	text, metric, given := strings.Cut(id.Key, " metric ")
	if given {
		n, err := strconv.ParseUint(metric, 10, 32)
		if err != nil {
			return Route{}, false
		}
		r.Metric = uint32(n)
	}
	switch text {
	case "default":
		r.To = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	case "default -6":
		r.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	default:
		to, err := netip.ParsePrefix(text)
		if err != nil {
			return Route{}, false
		}
		r.To = to
	}
	return r, true
}

// Value implements Item.
func (r Route) Value() string {
	s := ""
	if r.Via.IsValid() {
		s = "via " + r.Via.String() + " "
	}
	s += "dev " + r.Link
	if r.Source.IsValid() {
		s += " src " + r.Source.String()
	}
	if r.Protocol != RouteProtocol {
		s += fmt.Sprintf(" proto %d", r.Protocol)
	}
	return s
}
