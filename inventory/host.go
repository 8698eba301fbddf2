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
			{key: "routes", form: routesOf(h),
				doc: "Its other routes. Like addresses they are facts: the lab makes them, elsewhere they must be there."},
			{key: "manage_addresses", preset: false, form: flagOf(&h.ManageAddresses),
				doc: "Whether lvsform puts the addresses on the NICs. Otherwise they are facts it checks."},
			{key: "forwards", form: forwardsOf(h),
				doc: "The ports a gateway forwards."},
			{key: "ipvs", form: later("a mapping", func() form { return ipvsOf(h) }),
				doc: "What a director is told beside its services."},
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
			"route":     "did you mean routes?",
			"forward":   "did you mean forwards?",
			"tunnel":    "tunnels between hosts stand in tunnels, beside hosts",
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

// refuseForeign says what is wrong with an address that must be on one of the
// host's NICs.
func (h *Host) refuseForeign(a netip.Addr) (what, fix string) {
	var own []string
	for _, n := range h.NICs {
		if len(n.Addresses) == 0 {
			return "", "" // reported there
		}
		for _, p := range n.Addresses {
			if p.Addr() == a {
				return "", ""
			}
			own = append(own, p.Addr().String())
		}
	}
	if own == nil {
		return "", "" // there is no NIC
	}
	return fmt.Sprintf("%s is on no NIC of host %s", a, h.Name), "want " + strings.Join(own, " or ")
}

// needsRole reports a value that only a host with the role can have.
func (d *decoder) needsRole(v value, h *Host, role Role) bool {
	if len(h.Roles) == 0 || h.Has(role) {
		return true
	}
	return d.problem(v, fmt.Sprintf("host %s does not have the role %s", h.Name, role),
		fmt.Sprintf("leave it out, or write %s", h.with(role)))
}

// with is the host's role key with one more role.
func (h *Host) with(role Role) string {
	var words strings.Builder
	for _, r := range h.Roles {
		words.WriteString(string(r) + ", ")
	}
	return fmt.Sprintf("role: [%s%s] in %s", words.String(), role, h.Path)
}

func serveOf(to *Serve) form {
	ports := func(protocol Protocol, to, others *[]uint16) form {
		return oneOrList("a port, or a list of ports", to, func(port *uint16) form {
			return portOf(port).and(func(d *decoder, v value, ok bool) bool {
				if ok && (slices.Contains(*to, *port) || slices.Contains(*others, *port)) {
					return d.again(v, fmt.Sprintf("%s port %d again", protocol, *port), "want each port once")
				}
				return true
			})
		})
	}
	return objectOf(object{
		name: "Serve",
		fields: []field{
			{key: "http", form: ports(TCP, &to.HTTP, &to.TCP),
				doc: "The TCP ports of a small HTTP server whose page names the host."},
			{key: "tcp", form: ports(TCP, &to.TCP, &to.HTTP),
				doc: "TCP ports that send a line which names the host, and hang up."},
			{key: "udp", form: ports(UDP, &to.UDP, &to.UDP),
				doc: "UDP ports that answer every datagram with such a line."},
		},
	})
}
