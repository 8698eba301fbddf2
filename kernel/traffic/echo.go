package traffic

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// echoAgain is how long an answer is waited for before the question is sent
// again.
const echoAgain = 500 * time.Millisecond

// Echo asks an address for an echo (ping) from one of this host's own, until
// it answers or the limit has passed. It returns how often it asked, and
// whether there was an answer.
func Echo(ctx context.Context, from, to netip.Addr, limit time.Duration) (asked int, answered bool, err error) {
	e := echo{family: unix.AF_INET, protocol: unix.IPPROTO_ICMP, request: 8, reply: 0, header: 20}
	if to.Is6() {
		e = echo{family: unix.AF_INET6, protocol: unix.IPPROTO_ICMPV6, request: 128, reply: 129}
	}
	// A raw socket, not one of IPPROTO_ICMP datagrams: those need the group
	// to be in net.ipv4.ping_group_range, root or not.
	conn, err := socket.Socket(e.family, unix.SOCK_RAW, e.protocol, "echo", nil)
	if err != nil {
		return 0, false, err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be lost
	if err := conn.Bind(sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return 0, false, fmt.Errorf("source %s: %w", from, err)
	}
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		if err := conn.Sendto(ctx, e.message(id, uint16(asked)), 0, sockaddr(netip.AddrPortFrom(to, 0))); err != nil {
			return asked, false, err
		}
		asked++
		again := time.Now().Add(echoAgain)
		if again.After(end) {
			again = end
		}
		if answered, err = e.answered(ctx, conn, id, to, again); answered || err != nil {
			return asked, answered, err
		}
	}
	return asked, false, nil
}

// echo is what the two families have different.
type echo struct {
	family, protocol int
	request, reply   byte // ICMP types
	header           int  // a raw socket of IPv4 receives it, one of IPv6 does not
}

func (e echo) message(id [2]byte, number uint16) []byte {
	m := []byte{e.request, 0, 0, 0, id[0], id[1], byte(number >> 8), byte(number)}
	if e.family == unix.AF_INET { // of ICMPv6 the kernel sets it
		binary.BigEndian.PutUint16(m[2:], internetChecksum(m))
	}
	return m
}

func (e echo) answered(ctx context.Context, conn *socket.Conn, id [2]byte, to netip.Addr, until time.Time) (bool, error) {
	if err := conn.SetReadDeadline(until); err != nil {
		return false, err
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.Recvfrom(ctx, buf, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, ctx.Err()
		}
		if err != nil {
			return false, err
		}
		m := buf[:n]
		if e.header != 0 && n > 0 {
			m = m[min(int(m[0]&15)*4, n):]
		}
		if len(m) >= 8 && m[0] == e.reply && [2]byte(m[4:6]) == id && addressOf(from).Addr() == to {
			return true, nil
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// addressOf is the zero value for what is neither IPv4 nor IPv6.
func addressOf(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
