package inventory

import (
	"fmt"
	"net/netip"
	"strings"
)

func addressOf(to *netip.Addr) form {
	schema := jsonSchema{"anyOf": []jsonSchema{{"format": "ipv4"}, {"format": "ipv6"}}}
	return textOf("an IPv4 or IPv6 address", schema, func(_ *decoder, _ value, text string) (what, fix string) {
		a, what, fix := parseAddress(text)
		if what == "" {
			*to = a
		}
		return what, fix
	})
}

func parseAddress(text string) (a netip.Addr, what, fix string) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		fix = "want one such as 192.0.2.7 or 2001:db8::7"
		if p, err := netip.ParsePrefix(text); err == nil {
			fix = "write " + p.Addr().String()
		}
		return a, fmt.Sprintf("%q is not an address%s", text, parseReason(err)), fix
	}
	what, fix = refuseAddress(a)
	return a, what, fix
}

// parseReason is what netip says about text beyond that it cannot parse it.
func parseReason(err error) string {
	_, reason, _ := strings.Cut(err.Error(), "): ")
	if reason == "" || strings.HasPrefix(reason, "unable to parse") || strings.HasPrefix(reason, "unexpected character") {
		return ""
	}
	return ": " + reason
}

// refuseAddress says why no host or service can have an address.
func refuseAddress(a netip.Addr) (what, fix string) {
	if what, fix = RefuseAddress(a); what == "" && a.IsLoopback() {
		return fmt.Sprintf("%s is a loopback address", a), "want a unicast address"
	}
	return what, fix
}

// RefuseAddress says why no host or service can have an address, and what would
// be right; empty: one can, or it is one of the loopback network, which is for
// the caller to judge.
func RefuseAddress(a netip.Addr) (what, fix string) {
	kind := ""
	switch {
	case a.Is4In6():
		return fmt.Sprintf("%s is IPv4 written as IPv6", a), "write " + a.Unmap().String()
	case a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast():
		return fmt.Sprintf("%s is link-local: it means something on one link only", a), "want a global or unique local address"
	case a.IsUnspecified():
		kind = "the unspecified address"
	case a.IsMulticast():
		kind = "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		kind = "the broadcast address"
	default:
		return "", ""
	}
	return fmt.Sprintf("%s is %s", a, kind), "want a unicast address"
}

// refuseEdge says why a host of the network cannot have an address of it.
func refuseEdge(a netip.Addr, network netip.Prefix) (what, fix string) {
	// RFC 3021: a /31 has two hosts and neither of these addresses.
	if !a.Is4() || !network.Addr().Is4() || network.Bits() >= 31 {
		return "", ""
	}
	broadcast := network.Addr().As4()
	for bit := network.Bits(); bit < 32; bit++ {
		broadcast[bit/8] |= 0x80 >> (bit % 8)
	}
	switch a {
	case network.Addr():
		return fmt.Sprintf("%s is the network address of %s", a, network), "want a host address"
	case netip.AddrFrom4(broadcast):
		return fmt.Sprintf("%s is the broadcast address of %s", a, network), "want a host address"
	default:
		return "", ""
	}
}

// networkPrefixOf reads the prefix of a network.
func networkPrefixOf(to *netip.Prefix) form { return prefixOf("want the prefix of one network", to) }

// prefixOf reads a prefix; every is what to write in place of one that is
// every address.
func prefixOf(every string, to *netip.Prefix) form {
	schema := jsonSchema{"pattern": `^[0-9A-Fa-f:.]+/[0-9]{1,3}$`}
	return textOf("a network such as 192.0.2.0/24 or 2001:db8::/64", schema, func(_ *decoder, _ value, text string) (what, fix string) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			fix := "want one such as 192.0.2.0/24 or 2001:db8::/64"
			if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
				fix = "write it with its length, such as " + text + "/24"
			} else if err == nil {
				fix = "write it with its length, such as " + text + "/64"
			}
			return fmt.Sprintf("%q is not a network%s", text, parseReason(err)), fix
		}
		if p.Bits() == 0 {
			return fmt.Sprintf("%s is every address", p), every
		}
		if p != p.Masked() {
			return fmt.Sprintf("%s has bits set beyond its length", p), "write " + p.Masked().String()
		}
		if what, fix := refuseAddress(p.Addr()); what != "" {
			return what, fix
		}
		*to = p
		return "", ""
	})
}

// endpointOf reads an address with a port.
func endpointOf(to *netip.AddrPort) form {
	const is = `ADDRESS:PORT, or "[ADDRESS]:PORT" in quotes for IPv6`
	schema := jsonSchema{"pattern": `^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`}
	return textOf(is, schema, func(_ *decoder, _ value, text string) (what, fix string) {
		e, err := netip.ParseAddrPort(text)
		if err != nil || e.Port() == 0 {
			fix = "want one such as 192.0.2.7:80 or [2001:db8::7]:80"
			if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
				fix = "write it with its port, such as " + text + ":80"
			}
			return fmt.Sprintf("%q is not an address with a port", text), fix
		}
		*to = e
		return refuseAddress(e.Addr())
	})
}
