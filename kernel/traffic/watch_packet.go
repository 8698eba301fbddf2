package traffic

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

// watchSnap is how much of a packet is looked at: two IPv6 headers, those of
// UDP, GUE and TCP between and behind them, and some options.
const watchSnap = 192

// protocolICMP stands beside those IPVS balances in a Pattern.
const protocolICMP state.Protocol = "icmp"

// sight is a packet as the first pattern that matches describes it. Packets
// come from the network: none may hurt.
func sight(p []byte, patterns []flow.Pattern) (flow.Sighting, bool) {
	outer, ok := parseIP(p)
	if !ok {
		return flow.Sighting{}, false
	}
	tunnel, port, inside := outer.unwrap()
	inner, wrapped := parseIP(inside)
	for _, want := range patterns {
		ip, s := outer, flow.Sighting{}
		if want.Wrapped {
			if !wrapped {
				continue
			}
			ip, s = inner, flow.Sighting{Tunnel: tunnel, OuterFrom: outer.from, OuterTo: outer.to, OuterPort: port}
		}
		t, ok := ip.transport()
		if ok && matches(want, ip, t) {
			s.From, s.To = netip.AddrPortFrom(ip.from, t.from), netip.AddrPortFrom(ip.to, t.to)
			s.Opening, s.Mark, s.MSS = t.opening, t.mark, t.mss
			return s, true
		}
	}
	return flow.Sighting{}, false
}

func matches(p flow.Pattern, ip ipPacket, t transport) bool {
	among := func(list []netip.Addr, a netip.Addr) bool { return len(list) == 0 || slices.Contains(list, a) }
	one := func(list []uint16, port uint16) bool { return len(list) == 0 || slices.Contains(list, port) }
	return t.protocol == p.Protocol && among(p.From, ip.from) && among(p.To, ip.to) &&
		one(p.FromPorts, t.from) && one(p.ToPorts, t.to) &&
		(!p.Opening || p.Protocol != state.TCP || t.opening)
}

// ipPacket is an IP header with what it carries.
type ipPacket struct {
	from, to netip.Addr
	protocol byte
	payload  []byte
}

// parseIP reads an unfragmented packet of either family, or the first fragment.
func parseIP(p []byte) (ipPacket, bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		header := int(p[0]&15) * 4
		if header < 20 || header > len(p) || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return ipPacket{}, false
		}
		return ipPacket{netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[9], p[header:]}, true
	case len(p) >= 40 && p[0]>>4 == 6:
		ip := ipPacket{netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[6], p[40:]}
		// An ip6tnl device puts its encapsulation limit there (RFC 2473).
		if ip.protocol == unix.IPPROTO_DSTOPTS && len(ip.payload) >= 8 {
			if n := (int(ip.payload[1]) + 1) * 8; n <= len(ip.payload) {
				ip.protocol, ip.payload = ip.payload[0], ip.payload[n:]
			}
		}
		return ip, true
	}
	return ipPacket{}, false
}

// unwrap returns the packet inside of a tunnel's, and the tunnel's type as IPVS
// names it; inside is nil when this is no tunnel's packet.
func (ip ipPacket) unwrap() (tunnel string, port uint16, inside []byte) {
	p := ip.payload
	switch ip.protocol {
	case unix.IPPROTO_IPIP, unix.IPPROTO_IPV6:
		return "ipip", 0, p
	case unix.IPPROTO_GRE: // RFC 2890
		if len(p) < 4 {
			return "", 0, nil
		}
		header := 4
		for _, optional := range []byte{0x80, 0x20, 0x10} { // checksum, key, sequence number
			if p[0]&optional != 0 {
				header += 4
			}
		}
		if header <= len(p) {
			return "gre", 0, p[header:]
		}
	case unix.IPPROTO_UDP:
		// draft-ietf-intarea-gue-09: version 0, data, and the length of what
		// follows the first word. Any port can be GUE's: the patterns for
		// what is inside are exact enough.
		const udp = 8
		if len(p) < udp+4 || p[udp]&0xe0 != 0 || p[udp+1] != unix.IPPROTO_IPIP && p[udp+1] != unix.IPPROTO_IPV6 {
			return "", 0, nil
		}
		if header := udp + 4 + int(p[udp]&0x1f)*4; header <= len(p) {
			return "gue", binary.BigEndian.Uint16(p[2:]), p[header:]
		}
	}
	return "", 0, nil
}

// transport is the header behind IP's.
type transport struct {
	protocol state.Protocol
	from, to uint16
	opening  bool
	mark     uint32
	mss      uint16
}

const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

func (ip ipPacket) transport() (transport, bool) {
	p := ip.payload
	switch {
	case ip.protocol == unix.IPPROTO_TCP && len(p) >= 14:
		t := transport{protocol: state.TCP, from: binary.BigEndian.Uint16(p), to: binary.BigEndian.Uint16(p[2:]), opening: p[13]&tcpSYN != 0}
		switch p[13] & (tcpSYN | tcpACK) {
		case tcpSYN:
			t.mark = binary.BigEndian.Uint32(p[4:])
		case tcpSYN | tcpACK:
			t.mark = binary.BigEndian.Uint32(p[8:]) - 1
		}
		if t.opening {
			t.mss = announcedMSS(p)
		}
		return t, true
	case ip.protocol == unix.IPPROTO_UDP && len(p) >= 8:
		t := transport{protocol: state.UDP, from: binary.BigEndian.Uint16(p), to: binary.BigEndian.Uint16(p[2:])}
		t.mark = flow.DatagramMark(p[8:])
		return t, true
	case (ip.protocol == unix.IPPROTO_ICMP || ip.protocol == unix.IPPROTO_ICMPV6) && len(p) >= 8:
		return transport{protocol: protocolICMP, mark: binary.BigEndian.Uint32(p[4:])}, true
	}
	return transport{}, false
}

// announcedMSS reads the option of a TCP header (RFC 9293, 3.2).
func announcedMSS(p []byte) uint16 {
	const fixed, end, nothing, mss = 20, 0, 1, 2
	if header := int(p[12]>>4) * 4; header >= fixed && header <= len(p) {
		p = p[fixed:header]
	} else {
		return 0
	}
	for len(p) >= 2 && p[0] != end {
		if p[0] == nothing {
			p = p[1:]
			continue
		}
		length := int(p[1])
		switch {
		case length < 2 || length > len(p):
			return 0
		case p[0] == mss && length == 4:
			return binary.BigEndian.Uint16(p[2:])
		}
		p = p[length:]
	}
	return 0
}
