package inventory

import (
	"fmt"
	"math"
	"net/netip"
)

// tunnelName is an interface name less the devices that the kernel makes when
// it loads the tunnel modules.
func tunnelName() naming {
	n := interfaceName()
	n.is += ", tunl0, gre0 or another device that the kernel makes itself"
	n.not = append(n.not, "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0")
	return n
}

func tunnelOf(to **Tunnel) form {
	t := &Tunnel{TTL: 64}
	*to = t
	return objectOf(object{
		name: "Tunnel",
		fields: []field{
			{key: "name", required: true, form: nameOf(tunnelName(), &t.Name),
				doc: "The device's name on both hosts."},
			{key: "type", required: true, form: choiceOf("tunnel type", []string{"gre", "ipip"}, &t.Type),
				doc: "The tunnel's protocol."},
			{key: "ttl", preset: t.TTL, form: numberOf("1 to 255", 1, math.MaxUint8, &t.TTL),
				doc: "The TTL or hop limit of the outer header."},
			{key: "ends", required: true, form: endsOf(t),
				doc: "The two ends, by the names of their hosts."},
		},
	}).and(func(d *decoder, v value, ok bool) bool {
		t.Path = v.path
		return !ok || d.checkTunnel(t)
	})
}

func endsOf(t *Tunnel) form {
	var ends []*TunnelEnd
	// Whatever is no host's name is told as an unknown host.
	f := mappingOf("a mapping from the names of two hosts to ends", "end", naming{}, &ends, endOf)
	schema := f.schema
	f.schema = func() jsonSchema {
		s := schema()
		s["minProperties"], s["maxProperties"] = 2, 2
		return s
	}
	return f.and(func(d *decoder, v value, ok bool) bool {
		if ok && len(ends) != 2 {
			return d.problem(v, fmt.Sprintf("%d ends", len(ends)), "want two: a tunnel joins two hosts")
		}
		copy(t.Ends[:], ends)
		return true
	})
}

func endOf(name string, to **TunnelEnd) form {
	e := &TunnelEnd{}
	*to = e
	route := func(p *netip.Prefix) form {
		return networkPrefixOf(p).and(func(d *decoder, v value, ok bool) bool {
			if h := d.hosts[name]; ok && h != nil {
				return d.addRoute(v.path, h, *p)
			}
			return true
		})
	}
	return objectOf(object{
		name: "Tunnel end",
		fields: []field{
			{key: "address", required: true, form: addressOf(&e.Address),
				doc: "The inner address, on the tunnel device. The host may have it on a NIC too, other hosts may not."},
			{key: "outer", form: addressOf(&e.Outer),
				doc: "The address of one of the host's NICs that the tunnel runs over; when there is none, the one on the network both hosts share."},
			{key: "routes", form: listOf("a list of networks", &e.Routes, route),
				doc: "The networks that this host reaches through the tunnel."},
		},
		hints: map[string]string{"local": "did you mean outer?", "remote": "write it as the outer of the other end"},
	}).and(func(d *decoder, v value, _ bool) bool {
		e.Path = v.path
		if d.hosts == nil {
			return true // reported there
		}
		if e.Host = d.hosts[name]; e.Host == nil {
			return d.problem(v, fmt.Sprintf("unknown host %q", name), d.suggestHost(name, ""))
		}
		return d.checkEnd(e)
	})
}

// checkEnd reports addresses that cannot be those of the end's host.
func (d *decoder) checkEnd(e *TunnelEnd) bool {
	ok := true
	if what, fix := e.Host.refuseForeign(e.Outer); e.Outer.IsValid() && what != "" {
		ok = d.problemAt(e.Path+".outer", what, fix)
	}
	switch owner, owned := d.addresses[e.Address]; {
	case !e.Address.IsValid():
	case !owned:
		d.addresses[e.Address] = holder{e.Host, e.Path + ".address"}
	case owner.host != e.Host:
		ok = d.problemAt(e.Path+".address", fmt.Sprintf("%s is the address of host %s (%s)", e.Address, owner.host.Name, owner.path),
			"want an address that no other host has")
	}
	return ok
}

// checkTunnel reports what the two ends have to do with each other and with
// the devices of their hosts.
func (d *decoder) checkTunnel(t *Tunnel) bool {
	ok := true
	for _, e := range t.Ends {
		if e == nil || e.Host == nil {
			return true // there are no hosts to look at
		}
		for _, n := range e.Host.NICs {
			if n.Name == t.Name {
				ok = d.problemAt(t.Path+".name", fmt.Sprintf("%s is a NIC of host %s", t.Name, e.Host.Name), "want a name of its own")
			}
		}
		ok = d.onlyOne("tunnel device", fmt.Sprintf("%s of host %s", t.Name, e.Host.Name), t.Path+".name") && ok
	}
	a, b := t.Ends[0], t.Ends[1]
	if a.Address.Is4() != b.Address.Is4() {
		ok = d.problemAt(b.Path+".address", fmt.Sprintf("%s is of another family than %s", b.Address, a.Address), "want both IPv4 or both IPv6")
	}
	if a.Outer.IsValid() && b.Outer.IsValid() && a.Outer.Is4() != b.Outer.Is4() {
		ok = d.problemAt(b.Path+".outer", fmt.Sprintf("%s is of another family than %s", b.Outer, a.Outer), "want both IPv4 or both IPv6")
	}
	return ok
}
