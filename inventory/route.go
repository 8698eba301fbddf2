package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func gatewaysOf(h *Host) form {
	return oneOrList("an address, or a list of one for IPv4 and one for IPv6", &h.Gateways, func(to *netip.Addr) form {
		return addressOf(to).and(func(d *decoder, v value, ok bool) bool {
			if !ok {
				return true
			}
			if slices.ContainsFunc(h.Gateways, func(g netip.Addr) bool { return g.Is4() == to.Is4() }) {
				return d.again(v, fmt.Sprintf("%s is a second gateway of its family", *to), "want at most one for IPv4 and one for IPv6")
			}
			if what, fix := h.refuseHop(*to); what != "" {
				return d.problem(v, what, fix)
			}
			return true
		})
	})
}

// refuseHop says why the host cannot send packets to a router with the address.
func (h *Host) refuseHop(a netip.Addr) (what, fix string) {
	var near []string
	for _, n := range h.NICs {
		if n.Network == nil || n.Network.Prefixes == nil {
			return "", "" // reported there
		}
		for _, own := range n.Addresses {
			if own.Addr() == a {
				return fmt.Sprintf("%s is the host's own address", a), "want that of a router"
			}
			if own.Contains(a) {
				return refuseEdge(a, own.Masked())
			}
			if network := own.Masked().String(); !slices.Contains(near, network) {
				near = append(near, network)
			}
		}
		if len(n.Addresses) == 0 {
			return "", ""
		}
	}
	if near == nil {
		return "", "" // there is no NIC
	}
	return fmt.Sprintf("%s is on none of the host's networks", a), "want an address in " + strings.Join(near, " or ")
}

func routesOf(h *Host) form {
	return listOf("a list of mappings with to and via", &h.Routes, func(to **Route) form { return routeOf(h, to) })
}

func routeOf(h *Host, to **Route) form {
	r := &Route{}
	*to = r
	return objectOf(object{
		name: "Route",
		fields: []field{
			{key: "to", required: true, doc: "The network it leads to.",
				form: prefixOf("write the default route as gateway: ADDRESS", &r.To).and(func(d *decoder, v value, ok bool) bool {
					return !ok || d.addRoute(v.path, h, r.To)
				})},
			{key: "via", required: true, doc: "The router, on one of the host's networks.",
				form: addressOf(&r.Via).and(func(d *decoder, v value, ok bool) bool {
					if what, fix := h.refuseHop(r.Via); ok && what != "" {
						return d.problem(v, what, fix)
					}
					return true
				})},
		},
		hints: map[string]string{"gateway": "did you mean via?", "dev": "the device is the one whose network via is in"},
	}).and(func(d *decoder, v value, ok bool) bool {
		r.Path = v.path
		if ok && r.To.Addr().Is4() != r.Via.Is4() {
			return d.problemAt(v.path+".via", fmt.Sprintf("%s is of another family than %s", r.Via, r.To), "want both IPv4 or both IPv6")
		}
		return true
	})
}

// addRoute reports a route the host has already.
func (d *decoder) addRoute(path string, h *Host, to netip.Prefix) bool {
	for _, n := range h.NICs {
		for _, own := range n.Addresses {
			if own.Masked() == to {
				return d.problemAt(path, fmt.Sprintf("%s is the network of %s's NIC %s", to, h.Name, n.Name),
					"leave it out: the kernel has this route")
			}
		}
	}
	return d.onlyOne("route", fmt.Sprintf("%s of host %s", to, h.Name), path)
}
