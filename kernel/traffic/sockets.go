package traffic

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

// FindSockets lists the TCP connections of some local ports whose peers have
// one of the given ports. It reads /proc/net/tcp and tcp6, not sock_diag(7),
// which would load a module.
func FindSockets(ctx context.Context, ports, peers []uint16) ([]flow.Socket, error) {
	locals, remotes := portTexts(ports), portTexts(peers)
	return readSockets(ctx, state.TCP, func(local, remote, _ string) bool { return locals[local] && remotes[remote] })
}

// FindListeners lists the sockets that take requests from anybody: of TCP those
// that listen, of UDP those without a peer. An unspecified address stands for
// all of its family. A socket of IPv6 that takes IPv4 requests, too, is listed for
// both.
func FindListeners(ctx context.Context, protocol state.Protocol) ([]netip.AddrPort, error) {
	code := map[state.Protocol]string{state.TCP: "0A", state.UDP: "07"}[protocol]
	found, err := readSockets(ctx, protocol, func(_, remote, state string) bool { return remote == "0000" && state == code })
	var out []netip.AddrPort
	for _, s := range found {
		out = append(out, s.Local)
	}
	for _, s := range found {
		both := netip.AddrPortFrom(netip.IPv4Unspecified(), s.Local.Port())
		if s.Local.Addr() == netip.IPv6Unspecified() && !slices.Contains(out, both) && takesIPv4(protocol, s.Local.Port()) {
			out = append(out, both)
		}
	}
	return out, err
}

// takesIPv4 reports whether a socket of IPv6 holds the port in IPv4, too. The
// tables do not say whether it was told not to (IPV6_V6ONLY), and sock_diag(7)
// would load a module. So it tries to bind an address of the host to the port, for
// a moment and without listening: that fails where the port is held.
func takesIPv4(protocol state.Protocol, port uint16) bool {
	kind := unix.SOCK_STREAM
	if protocol == state.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written that could be lost
	// One of the loopback's addresses that hardly any program has for its own.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 255, 255, 253}, Port: int(port)}) != nil
}

// portTexts are ports as the tables have them.
func portTexts(ports []uint16) map[string]bool {
	out := make(map[string]bool, len(ports))
	for _, p := range ports {
		out[fmt.Sprintf("%04X", p)] = true
	}
	return out
}

// readSockets reads the tables of both families; wanted is asked with the
// texts of the local port, the peer's port and the state.
func readSockets(ctx context.Context, protocol state.Protocol, wanted func(local, remote, state string) bool) ([]flow.Socket, error) {
	var out []flow.Socket
	for _, name := range []string{string(protocol), string(protocol) + "6"} {
		f, err := os.Open(ProcNet + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		found, err := scanSockets(ctx, f, wanted)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// scanSockets reads the text of either table:
//
//	sl  local_address rem_address   st tx_queue ...
//	 0: 1E5BA8C0:0050 075BA8C0:9CB0 01 00000000:00000000 ...
func scanSockets(ctx context.Context, r io.Reader, wanted func(local, remote, state string) bool) ([]flow.Socket, error) {
	var out []flow.Socket
	rows := bufio.NewScanner(r)
	for n := 0; rows.Scan(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n == 0 {
			continue // the heading
		}
		f := strings.Fields(rows.Text())
		if len(f) < 4 {
			return nil, fmt.Errorf("row %q is cut short", rows.Text())
		}
		_, here, _ := strings.Cut(f[1], ":")
		_, there, _ := strings.Cut(f[2], ":")
		if !wanted(here, there, f[3]) {
			continue
		}
		s := flow.Socket{State: tcpState(f[3])}
		var err error
		if s.Local, err = parseSocketAddress(f[1]); err != nil {
			return nil, err
		}
		if s.Remote, err = parseSocketAddress(f[2]); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// parseSocketAddress reads an address that the kernel wrote as 32-bit words of
// its own byte order. A client of IPv4 at a listener on [::] is shown mapped
// into IPv6; it is unmapped here.
func parseSocketAddress(text string) (netip.AddrPort, error) {
	ip, port, _ := strings.Cut(text, ":")
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
	}
	b, err := hex.DecodeString(ip)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("address %q: %w", text, err)
	}
	for i := 0; i+4 <= len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", text)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// tcpState names the states of include/net/tcp_states.h.
func tcpState(code string) string {
	names := []string{
		"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
		"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "SYN_RECV",
	}
	n, err := strconv.ParseUint(code, 16, 8)
	if err != nil || n == 0 || n >= uint64(len(names)) {
		return code
	}
	return names[n]
}
