package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// route is what this host's configuration says of the packets to an address.
type route struct {
	MTU int // of the route where it has one, or else of its device
	MSS int // that a connection announces at most (advmss of the route); 0: what the MTU allows
}

// routeTo looks up the route from one of this host's addresses. It does not look
// at the path MTU that the kernel has learned and remembers for ten minutes:
// what is true now need not be true then.
func routeTo(from, to netip.Addr) (route, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return route{}, err
	}
	defer handle.Close()
	options := &netlink.RouteGetOptions{SrcAddr: net.IP(from.AsSlice()), FIBMatch: true}
	found, err := handle.RouteGetWithOptions(net.IP(to.AsSlice()), options)
	if err != nil || len(found) == 0 {
		return route{}, fmt.Errorf("route to %s: %w", to, errors.Join(err, errNoRoute(len(found))))
	}
	out := route{MTU: found[0].MTU, MSS: found[0].AdvMSS}
	index := found[0].LinkIndex
	if index == 0 { // several next hops: the one that is taken
		options.FIBMatch = false
		if found, err = handle.RouteGetWithOptions(net.IP(to.AsSlice()), options); err != nil || len(found) == 0 {
			return route{}, fmt.Errorf("route to %s: %w", to, errors.Join(err, errNoRoute(len(found))))
		}
		index = found[0].LinkIndex
	}
	link, err := handle.LinkByIndex(index)
	if err != nil {
		return route{}, fmt.Errorf("device of the route to %s: %w", to, err)
	}
	if own := link.Attrs().MTU; out.MTU == 0 || own < out.MTU {
		out.MTU = own
	}
	return out, nil
}

func errNoRoute(found int) error {
	if found != 0 {
		return nil
	}
	return unix.ENETUNREACH
}

// rawWay is a raw socket from one address to another. It hears what routers say
// of the packets it sends.
type rawWay struct {
	from, to netip.Addr
	fd       int
	route    route
	packets  map[ports]*FullSize
}

// ports of a connection, as its packets have them.
type ports struct{ from, to uint16 }

func newRawWay(from, to netip.Addr) (*rawWay, error) {
	w := &rawWay{from: from, to: to, packets: map[ports]*FullSize{}}
	var err error
	if w.route, err = routeTo(from, to); err != nil {
		return nil, err
	}
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	if w.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP); err != nil {
		return nil, err
	}
	if err := w.prepare(); err != nil {
		_ = unix.Close(w.fd)
		return nil, err
	}
	return w, nil
}

// prepare has the socket ignore the path MTU that the kernel remembers. In IPv4
// it does not add to it, either (ip_sk_accept_pmtu).
func (w *rawWay) prepare() error {
	// A raw socket would get a copy of every TCP packet of the host.
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{}})
	if err != nil {
		return err
	}
	filter := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: nothing[0].Op, K: nothing[0].K}}
	set := func(level, option, value int) error { return unix.SetsockoptInt(w.fd, level, option, value) }
	err = unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter)
	if w.to.Is6() {
		err = errors.Join(err,
			set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1))
	} else {
		err = errors.Join(err,
			set(unix.IPPROTO_IP, unix.IP_HDRINCL, 1),
			set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_INTERFACE),
			set(unix.IPPROTO_IP, unix.IP_RECVERR, 1))
	}
	return errors.Join(err, unix.Bind(w.fd, sockaddr(netip.AddrPortFrom(w.from, 0))))
}

// send sends a TCP segment in a packet that routers may not take apart.
func (w *rawWay) send(segment []byte) error {
	if !w.to.Is6() {
		segment = append(w.ipv4Header(len(segment)), segment...)
	}
	// What a packet before has met would be this one's error.
	_, _ = unix.GetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return unix.Sendto(w.fd, segment, 0, sockaddr(netip.AddrPortFrom(w.to, 0)))
}

// ipv4Header is the header for so many octets. The kernel adds checksum and
// identification.
func (w *rawWay) ipv4Header(payload int) []byte {
	const length, ttl, dontFragment = 20, 64, 0x4000
	h := make([]byte, length)
	h[0] = 4<<4 | length/4
	binary.BigEndian.PutUint16(h[2:], uint16(length+payload))
	binary.BigEndian.PutUint16(h[6:], dontFragment)
	h[8], h[9] = ttl, unix.IPPROTO_TCP
	copy(h[12:], w.from.AsSlice())
	copy(h[16:], w.to.AsSlice())
	return h
}

// hear reads the socket's queue of errors (ip(7), IP_RECVERR). What a router tells
// of one packet holds for all on the way: it does not tell it of each (RFC 1812,
// 4.3.2.8).
func (w *rawWay) hear() []*FullSize {
	var out []*FullSize
	quoted, control := make([]byte, watchSnap), make([]byte, 512)
	for {
		n, m, _, _, err := unix.Recvmsg(w.fd, quoted, control, unix.MSG_ERRQUEUE)
		if err != nil {
			return out // empty
		}
		mtu, by := toldMTU(control[:m])
		if w.quoted(quoted[:n]) == nil || mtu < leastMTU || mtu < headers(w.to) {
			continue
		}
		for _, f := range w.packets {
			if f.Octets <= mtu {
				continue
			}
			f.Octets, f.Told, f.ToldBy = mtu, mtu, by
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
}

// quoted is the packet of which a router has sent back the beginning: in IPv4
// with the IP header, as it was written, in IPv6 without.
func (w *rawWay) quoted(p []byte) *FullSize {
	if !w.to.Is6() {
		if len(p) < 20 || len(p) < int(p[0]&15)*4 {
			return nil
		}
		p = p[int(p[0]&15)*4:]
	}
	if len(p) < 4 {
		return nil
	}
	return w.packets[ports{binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])}]
}

// toldMTU reads a struct sock_extended_err and the address behind it; 0 when it
// is no message of a packet that was too large.
func toldMTU(control []byte) (mtu int, by netip.Addr) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, by
	}
	for _, m := range messages {
		const errSize = 16
		recvErr := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if d := m.Data; recvErr && len(d) >= errSize && unix.Errno(binary.NativeEndian.Uint32(d)) == unix.EMSGSIZE {
			return int(binary.NativeEndian.Uint32(d[8:])), offender(d[errSize:])
		}
	}
	return 0, by
}

// offender reads a struct sockaddr_in or sockaddr_in6.
func offender(d []byte) netip.Addr {
	switch {
	case len(d) >= 8 && binary.NativeEndian.Uint16(d) == unix.AF_INET:
		return netip.AddrFrom4([4]byte(d[4:8]))
	case len(d) >= 24 && binary.NativeEndian.Uint16(d) == unix.AF_INET6:
		return netip.AddrFrom16([16]byte(d[8:24]))
	}
	return netip.Addr{}
}
