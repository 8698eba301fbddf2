package agent

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/state"
)

// dropAll has a socket get nothing of what comes in, until the function that it
// returns is called.
func dropAll(t *testing.T, fd int) (undo func()) {
	t.Helper()
	filter := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
			t.Error(err)
		}
	}
}

// The answer to a request to connect can be lost on its way back, too. The one to
// the repeat still names the time of the first request.
func TestProbeWhoseAnswerIsLost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	to := netip.MustParseAddrPort(listener.Addr().String())
	for range 3 {
		probe := newAttempt(to, 10*time.Second, unix.SOCK_STREAM)
		if probe.err != nil {
			t.Fatal(probe.err)
		}
		undo := dropAll(t, probe.fd)
		probe.connect(to, unix.SOCK_STREAM)
		undo() // the answer has come by now, over the loopback
		attempts := []*attempt{probe}
		wait(t.Context(), attempts, nil, time.Now().Add(probe.timeout))
		waitForLateOpenings(t.Context(), attempts)
		if probe.err != nil || probe.repeats == 0 || probe.late {
			t.Errorf("%+v", probe)
		}
		_ = unix.Close(probe.fd)
	}
}

// A peer far away answers each request, and every answer takes longer than the
// kernel waits before it sends the request again.
func TestProbeThatIsLate(t *testing.T) {
	for name, test := range map[string]struct {
		from int // the first request that is answered
		want bool
	}{"late": {0, true}, "the first one is lost": {1, false}} {
		to := farAway(t, 1200*time.Millisecond, test.from)
		opened, err := (&HostTraffic{}).OpenProbes(t.Context(), wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Second, Address: to, Count: 1, Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if p := opened[0]; p.Failed != "" || p.Repeats == 0 || p.Late != test.want {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// farAway is a peer that answers requests to connect after a delay, from one on.
func farAway(t *testing.T, delay time.Duration, from int) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs CAP_NET_RAW")
	}
	if err != nil {
		t.Fatal(err)
	}
	raw := os.NewFile(uintptr(fd), "raw")
	t.Cleanup(func() { _ = raw.Close() })
	// A listener that hears nothing keeps the kernel from refusing.
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(listener) })
	dropAll(t, listener)
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(listener, 1)); err != nil {
		t.Fatal(err)
	}
	to := localOf(listener)
	go func() {
		buf := make([]byte, 2000)
		for n := 0; ; {
			got, err := raw.Read(buf)
			if err != nil {
				return
			}
			const header, syn = 20, 2
			p := buf[header:max(header, got)]
			if len(p) != 40 || binary.BigEndian.Uint16(p[2:]) != to.Port() || p[13] != syn {
				continue
			}
			if n++; n > from {
				answer := synAck(p)
				time.AfterFunc(delay, func() { _ = unix.Sendto(fd, answer, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}) })
			}
		}
	}()
	return to
}

// synAck accepts a request of 127.0.0.1's, with its time: the kernel's options have
// that behind MSS (4 octets) and SACK (2).
func synAck(request []byte) []byte {
	const timeAt = 20 + 4 + 2 + 2
	p := make([]byte, 32)
	copy(p[0:], request[2:4])
	copy(p[2:], request[0:2])
	binary.BigEndian.PutUint32(p[4:], 1000)
	binary.BigEndian.PutUint32(p[8:], binary.BigEndian.Uint32(request[4:])+1)
	p[12], p[13] = 8<<4, 0x12 // 32 octets; SYN and ACK
	binary.BigEndian.PutUint16(p[14:], 512)
	copy(p[20:], []byte{1, 1, 8, 10, 0, 0, 0, 1})
	copy(p[28:], request[timeAt:timeAt+4])
	sum := uint32(2*0x7f00+2*1) + unix.IPPROTO_TCP + uint32(len(p))
	for i := 0; i < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p[16:], ^uint16(sum))
	return p
}
