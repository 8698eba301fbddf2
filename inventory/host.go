package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func roles() []Role { return []Role{RoleClient, RoleDirector, RoleGateway, RoleRealServer} }

func hostsOf(to *[]*Host, defaults *SSH) form {
	return mappingOf("a mapping from host names to hosts", "host", hostName(), to,
		func(name string, to **Host) form { return hostOf(name, defaults, to) })
}

func hostOf(name string, defaults *SSH, to **Host) form {
	h := &Host{Name: name, Path: join("hosts", name)}
	*to = h
	h.SSH = *defaults
	return objectOf(object{
		name: "Host",
		fields: []field{
			{key: "role", required: true, form: rolesOf(&h.Roles),
				doc: "What the host does in the topology."},
			{key: "nics", required: true, form: nicsOf(h),
				doc: "Its network interfaces, by their names on the host."},
			{key: "gateway", form: gatewaysOf(h),
				doc: "Its default route, on one of its networks."},
			{key: "manage_addresses", preset: false, form: flagOf(&h.ManageAddresses),
				doc: "Whether lvsform puts the addresses on the NICs. Otherwise they are facts it checks."},
			{key: "ssh", form: sshOf(&h.SSH, true),
				doc: "How to reach the host: each key overrides the file's."},
			{key: "serve", form: serveOf(&h.Serve),
				doc: "What the host listens on in the lab. Elsewhere it has no effect."},
		},
		hints: map[string]string{
			"roles":     "write role: x, or role: [x, y]",
			"gateways":  "write gateway: a, or gateway: [a, b]",
			"address":   "addresses stand in nics.NAME.address, the one to connect to in ssh.address",
			"addresses": "addresses stand in nics.NAME.addresses",
			"network":   "networks stand in nics.NAME.network",
			"weight":    "weights stand in services[].real_servers[]",
		},
	}).and(func(d *decoder, v value, _ bool) bool {
		return d.addHost(v, h)
	})
}

// addHost makes the host known to those who name it, with or without
// mistakes of its own.
func (d *decoder) addHost(v value, h *Host) bool {
	if d.hosts == nil {
		d.hosts = map[string]*Host{}
	}
	if d.hosts[h.Name] != nil {
		return true // reported as a key that comes again
	}
	d.hosts[h.Name] = h
	// RFC 1123 host names are the same in upper and lower case.
	folded := "host " + strings.ToLower(h.Name)
	if first, there := d.unique[folded]; there {
		return d.repeated(v.path, first, "host names differ in upper and lower case only")
	}
	d.unique[folded] = h.Path
	return true
}

func rolesOf(to *[]Role) form {
	return oneOrList("a role or a list of roles: client, director, gateway, real-server", to,
		func(r *Role) form {
			return choiceOf("role", roles(), r).and(func(d *decoder, v value, ok bool) bool {
				if ok && slices.Contains(*to, *r) {
					return d.again(v, fmt.Sprintf("role %s again", *r), "want each role once")
				}
				return true
			})
		}).and(func(_ *decoder, _ value, ok bool) bool {
		if !ok {
			*to = nil // which roles the host has is not known
		}
		return true
	})
}

func nicsOf(h *Host) form {
	return mappingOf("a mapping from interface names to NICs", "NIC", interfaceName(), &h.NICs,
		func(name string, to **NIC) form { return nicOf(h, name, to) })
}

func nicOf(h *Host, name string, to **NIC) form {
	n := &NIC{Name: name}
	*to = n
	address := func(p *netip.Prefix) form { return nicAddressOf(h, n, p) }
	var one netip.Prefix
	return objectOf(object{
		name: "NIC",
		fields: []field{
			{key: "network", required: true, form: nicNetworkOf(&n.Network),
				doc: "The network it is on."},
			{key: "address", form: address(&one).and(func(_ *decoder, _ value, ok bool) bool {
				if ok {
					n.Addresses = append(n.Addresses, one)
				}
				return true
			}), doc: "Its address. There is either this key or `addresses`."},
			{key: "addresses", form: listOf("a list of addresses in the network", &n.Addresses, address),
				doc: "Its addresses, when there are several."},
		},
		oneOf: []string{"address", "addresses"},
		hints: map[string]string{"gateway": "the gateway stands in the host, beside nics"},
	})
}

func nicNetworkOf(to **Network) form {
	return textOf("the name of a network", nil, func(d *decoder, _ value, text string) (what, fix string) {
		*to = d.networks[text]
		if *to == nil && d.networks != nil {
			var names []string
			for _, n := range d.inv.Networks {
				names = append(names, n.Name)
			}
			return fmt.Sprintf("unknown network %q", text), suggest(text, names, "known networks")
		}
		return "", ""
	})
}

func nicAddressOf(h *Host, n *NIC, to *netip.Prefix) form {
	schema := jsonSchema{"pattern": `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`}
	return textOf("one address in the network", schema, func(d *decoder, v value, text string) (what, fix string) {
		bare, length, hasLength := strings.Cut(text, "/")
		a, what, fix := parseAddress(bare)
		if what != "" {
			return what, fix
		}
		if first, taken := d.addresses[a]; taken {
			d.repeated(v.path, first.path, fmt.Sprintf("duplicate address %s", a))
		} else {
			d.addresses[a] = holder{h, v.path}
		}
		if n.Network == nil || n.Network.Prefixes == nil {
			return "", "" // reported there
		}
		network, what, fix := n.Network.holds(a)
		if what != "" {
			return what, fix
		}
		if hasLength && length != fmt.Sprint(network.Bits()) {
			return fmt.Sprintf("the length /%s is not that of network %s, %s", length, n.Network.Name, network),
				fmt.Sprintf("write %s or %s/%d", a, a, network.Bits())
		}
		*to = netip.PrefixFrom(a, network.Bits())
		return refuseEdge(a, network)
	})
}

// holds returns the network's prefix that has the address in it, or what is wrong.
func (n *Network) holds(a netip.Addr) (prefix netip.Prefix, what, fix string) {
	for _, p := range n.Prefixes {
		if p.Contains(a) {
			return p, "", ""
		}
	}
	family := "IPv6"
	if a.Is4() {
		family = "IPv4"
	}
	for _, p := range n.Prefixes {
		if p.Addr().Is4() == a.Is4() {
			return p, fmt.Sprintf("%s is not in network %s", a, n.Name), fmt.Sprintf("want an address in %s", p)
		}
	}
	return prefix, fmt.Sprintf("%s is %s, and network %s has no prefix of that family", a, family, n.Name),
		fmt.Sprintf("want an address in %s, or an %s prefix there", n.Prefixes[0], family)
}

func gatewaysOf(h *Host) form {
	return oneOrList("an address, or a list of one for IPv4 and one for IPv6", &h.Gateways, func(to *netip.Addr) form {
		return addressOf(to).and(func(d *decoder, v value, ok bool) bool {
			if !ok {
				return true
			}
			if slices.ContainsFunc(h.Gateways, func(g netip.Addr) bool { return g.Is4() == to.Is4() }) {
				return d.again(v, fmt.Sprintf("%s is a second gateway of its family", *to), "want at most one for IPv4 and one for IPv6")
			}
			if what, fix := h.refuseGateway(*to); what != "" {
				return d.problem(v, what, fix)
			}
			return true
		})
	})
}

func (h *Host) refuseGateway(a netip.Addr) (what, fix string) {
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

func serveOf(to *Serve) form {
	return objectOf(object{
		name: "Serve",
		fields: []field{
			{key: "http", required: true, doc: "The TCP ports of a small HTTP server whose page names the host.",
				form: oneOrList("a port, or a list of ports", &to.HTTP, func(port *uint16) form {
					return portOf(port).and(func(d *decoder, v value, ok bool) bool {
						if ok && slices.Contains(to.HTTP, *port) {
							return d.again(v, fmt.Sprintf("port %d again", *port), "want each port once")
						}
						return true
					})
				})},
		},
	})
}
