package inventory

import "fmt"

func forwardsOf(h *Host) form {
	return listOf("a list of mappings with listen and to", &h.Forwards,
		func(to **PortForward) form { return forwardOf(h, to) }).
		and(func(d *decoder, v value, _ bool) bool { return d.needsRole(v, h, RoleGateway) })
}

func forwardOf(h *Host, to **PortForward) form {
	f := &PortForward{Protocol: TCP}
	*to = f
	return objectOf(object{
		name: "Port forward",
		fields: []field{
			{key: "listen", required: true, form: endpointOf(&f.Listen),
				doc: "The address and port clients connect to; the address is on one of the gateway's NICs."},
			{key: "to", required: true, form: endpointOf(&f.To),
				doc: "Where their packets go, such as a VIP and its port."},
			{key: "protocol", preset: TCP, form: choiceOf("protocol", protocols(), &f.Protocol),
				doc: "The transport protocol."},
		},
	}).and(func(d *decoder, v value, ok bool) bool {
		f.Path = v.path
		if !ok {
			return true
		}
		if what, fix := h.refuseForeign(f.Listen.Addr()); what != "" {
			return d.problemAt(v.path+".listen", what, fix)
		}
		if f.Listen.Addr().Is4() != f.To.Addr().Is4() {
			return d.problemAt(v.path+".to", fmt.Sprintf("%s is of another family than %s", f.To, f.Listen), "want both IPv4 or both IPv6")
		}
		return d.onlyOne("port forward", fmt.Sprintf("%s %s of host %s", f.Protocol, f.Listen, h.Name), v.path+".listen")
	})
}
