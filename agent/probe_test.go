package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

func TestProbesAreHeldInOrderAndClosed(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) { probesAreHeldInOrderAndClosed(t, address) })
	}
}

func probesAreHeldInOrderAndClosed(t *testing.T, address string) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skipf("this machine does not have the address: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	to := netip.MustParseAddrPort(listener.Addr().String())
	a := &Agent{Traffic: &HostTraffic{}}
	opened, err := a.probeOpen(t.Context(), wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Minute, Address: to, Count: 3, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var accepted []net.Conn
	for i, p := range opened.Probes {
		if p.Failed != "" || p.Took <= 0 || p.Repeats != 0 {
			t.Fatalf("probe %d: %+v", i, p)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, conn)
		if got := conn.RemoteAddr().String(); got != p.Local.String() {
			t.Errorf("connection %d came from %s, the probe is from %s", i, got, p.Local)
		}
		found, err := traffic.FindSockets(t.Context(), []uint16{to.Port()}, []uint16{p.Local.Port()})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].State != "ESTABLISHED" {
			t.Errorf("sockets of probe %d while it is held: %v", i, found)
		}
	}
	if _, err := a.probeClose(t.Context(), wire.Nothing{}); err != nil {
		t.Fatal(err)
	}
	for i, conn := range accepted {
		// Nothing was sent, and now it is over.
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
			t.Errorf("connection %d after the close: %d bytes, %v", i, n, err)
		}
		_ = conn.Close()
	}
}

func TestProbeRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort(listener.Addr().String())
	_ = listener.Close()
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Minute, Address: to, Count: 2, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(opened.Probes) != 2 {
		t.Fatalf("%d probes", len(opened.Probes))
	}
	for _, p := range opened.Probes {
		if p.Failed != "connection refused" || p.Local.Addr() != to.Addr() || p.Local.Port() == 0 {
			t.Errorf("%+v", p)
		}
	}
}

// full is a listener that drops requests to connect: its queue has room for
// one, and holds it.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	_, to := fullQueue(t)
	return to
}

func fullQueue(t *testing.T) (listener int, to netip.AddrPort) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*unix.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return fd, to
}

// The kernel sends a request again that the listener has dropped, and tells.
func TestProbeThatIsRepeated(t *testing.T) {
	listener, to := fullQueue(t)
	go func() {
		waiting := fmt.Sprintf(":%04X 02 ", to.Port()) // the state SYN_SENT, in proc_pid_net(5)
		for sockets := ""; !strings.Contains(sockets, waiting) && t.Context().Err() == nil; time.Sleep(time.Millisecond) {
			text, _ := os.ReadFile("/proc/net/tcp")
			sockets = string(text)
		}
		time.Sleep(50 * time.Millisecond) // by then the first is dropped
		if fd, _, err := unix.Accept(listener); err == nil {
			_ = unix.Close(fd)
		}
	}()
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Minute, Address: to, Count: 1, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if p := opened.Probes[0]; p.Failed != "" || p.Repeats == 0 || p.Took <= 0 || p.Late {
		t.Errorf("%+v", p)
	}
}

func TestProbeWithoutAnswer(t *testing.T) {
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Minute, Address: full(t), Count: 2, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range opened.Probes {
		// The port is known all the same: the director may have it.
		if p.Failed != "no answer within 20ms" || p.Local.Port() == 0 || p.Took != 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(ctx, wire.ProbeOpenRequest{Protocol: state.TCP, Hold: time.Minute, Address: full(t), Count: 2, Timeout: time.Hour}); err == nil {
		t.Error("no error")
	}
}

func TestProbeRequestsOutOfBounds(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:1")
	for _, req := range []wire.ProbeOpenRequest{
		{Protocol: state.TCP, Hold: time.Second, Address: to, Count: 0, Timeout: time.Second},
		{Protocol: state.TCP, Hold: time.Second, Address: to, Count: wire.MaxProbes + 1, Timeout: time.Second},
		{Protocol: state.TCP, Hold: time.Second, Address: to, Count: 1},
		{Protocol: state.TCP, Hold: time.Second, Count: 1, Timeout: time.Second},
		{Protocol: state.TCP, Address: to, Count: 1, Timeout: time.Second},
		{Protocol: state.SCTP, Hold: time.Second, Address: to, Count: 1, Timeout: time.Second},
	} {
		if _, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), req); err == nil {
			t.Errorf("%+v: no error", req)
		}
	}
	many := wire.FullRepliesRequest{Replies: make([]wire.FullReply, maxReplies+1)}
	for i := range many.Replies {
		many.Replies[i] = wire.FullReply{From: to, To: to}
	}
	for _, req := range []wire.FullRepliesRequest{
		{Wait: -1},
		{Wait: time.Hour},
		{Replies: []wire.FullReply{{From: to}}},
		{Replies: []wire.FullReply{{From: to, To: netip.MustParseAddrPort("[::1]:1")}}},
		many,
	} {
		if _, err := (&Agent{Traffic: &HostTraffic{}}).fullReplies(t.Context(), req); err == nil {
			t.Errorf("%d replies, %s: no error", len(req.Replies), req.Wait)
		}
	}
	if _, err := (&Agent{Traffic: &HostTraffic{}}).dataIn(t.Context(), wire.DataInRequest{Wait: time.Hour}); err == nil {
		t.Error("a wait of an hour: no error")
	}
	if _, err := (&Agent{Traffic: &HostTraffic{}}).watchStop(t.Context(), wire.Nothing{}); err == nil || !strings.Contains(err.Error(), "no watch") {
		t.Errorf("end of a watch that never began: %v", err)
	}
}

func TestHeldProbesEndByThemselves(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1]) //nolint:errcheck // of a test
	var h heldProbes
	h.hold(pair[:1], time.Millisecond)
	// The other end reads the end of the stream when this one is closed.
	if n, err := unix.Read(pair[1], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	h.close() // once more does no harm
}

// A datagram counts as answered when the stand-in sends it back.
func TestDatagrams(t *testing.T) {
	a := &Agent{Traffic: &HostTraffic{}}
	to := freePort(t)
	open := func(timeout time.Duration) []wire.Probe {
		t.Helper()
		opened, err := a.probeOpen(t.Context(), wire.ProbeOpenRequest{Protocol: state.UDP, Address: to, Count: 2, Timeout: timeout, Hold: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Traffic.CloseProbes(); err != nil {
			t.Fatal(err)
		}
		return opened.Probes
	}
	if got := open(time.Second); got[0].Failed != "connection refused" {
		t.Errorf("nobody listens: %+v", got)
	}
	if _, err := a.standInBegin(t.Context(), wire.StandInRequest{Protocol: state.UDP, Addresses: []netip.AddrPort{to}, Limit: time.Minute}); err != nil {
		t.Fatal(err)
	}
	listening, err := a.listeners(t.Context(), wire.ListenersRequest{Protocol: state.UDP})
	if err != nil || !slices.Contains(listening.Addresses, to) {
		t.Errorf("listeners: %v, %v", listening, err)
	}
	got := open(10 * time.Second)
	for i, p := range got {
		if p.Failed != "" || p.Mark == 0 || p.Repeats != 0 || p.Took <= 0 {
			t.Errorf("probe %d: %+v", i, p)
		}
	}
	if got[0].Mark == got[1].Mark {
		t.Error("two datagrams have one mark")
	}
	if _, err := a.standInEnd(t.Context(), wire.Nothing{}); err != nil {
		t.Fatal(err)
	}
	if got := open(time.Second); got[0].Failed != "connection refused" {
		t.Errorf("nobody listens any more: %+v", got)
	}
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // of a test
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// What is not answered is sent again.
func TestDatagramIsRepeated(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // of a test
	go func() {
		buf := make([]byte, 100)
		for n := 0; ; n++ {
			if _, from, err := c.ReadFrom(buf); err != nil {
				return
			} else if n > 0 {
				_, _ = c.WriteTo(nil, from)
			}
		}
	}()
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{
		Protocol: state.UDP, Address: netip.MustParseAddrPort(c.LocalAddr().String()), Count: 1, Timeout: 10 * time.Second, Hold: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := opened.Probes[0]; p.Failed != "" || p.Repeats == 0 || p.Late {
		t.Errorf("%+v", p)
	}
}

// Of a service that answers nothing, a datagram that was sent is one that may have
// arrived, unless it was refused.
func TestDatagramThatNobodyAnswers(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := func() wire.Probe {
		opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{
			Protocol: state.UDP, Address: netip.MustParseAddrPort(c.LocalAddr().String()), Count: 1, Timeout: 10 * time.Second, Hold: time.Second, Silent: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return opened.Probes[0]
	}
	if p := open(); p.Failed != "" || p.Repeats != 0 || p.Mark == 0 {
		t.Errorf("sent: %+v", p)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if p := open(); p.Failed != "connection refused" {
		t.Errorf("refused: %+v", p)
	}
}

// One whose answer is late is sent again, too, and nothing is lost.
func TestDatagramWithALateAnswer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // of a test
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			answer := slices.Clone(buf[:n])
			time.AfterFunc(udpRepeat+400*time.Millisecond, func() { _, _ = c.WriteTo(answer, from) })
		}
	}()
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{
		Protocol: state.UDP, Address: netip.MustParseAddrPort(c.LocalAddr().String()), Count: 2, Timeout: 10 * time.Second, Hold: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range opened.Probes {
		if p.Failed != "" || p.Repeats == 0 || !p.Late {
			t.Errorf("%+v", p)
		}
	}
}

// One that would come to another server the second time is sent once.
func TestDatagramThatIsSentOnce(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0") // nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // of a test
	opened, err := (&Agent{Traffic: &HostTraffic{}}).probeOpen(t.Context(), wire.ProbeOpenRequest{
		Protocol: state.UDP, Address: netip.MustParseAddrPort(c.LocalAddr().String()), Count: 1, Timeout: 600 * time.Millisecond, Hold: time.Second, Once: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := opened.Probes[0]; p.Failed == "" || p.Repeats != 0 {
		t.Errorf("%+v", p)
	}
}

func TestDNSQuery(t *testing.T) {
	next := datagrams(dnsPort)
	if diff := cmp.Diff([]byte{0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1}, []byte(next())[2:]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A stand-in takes connections and lets go of them at its end.
func TestStandIn(t *testing.T) {
	a := &Agent{Traffic: &HostTraffic{}}
	to := freePort(t)
	if _, err := a.standInBegin(t.Context(), wire.StandInRequest{Protocol: state.TCP, Addresses: []netip.AddrPort{to}, Limit: time.Minute}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // of a test
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("while it stands in: %v", err)
	}
	if err := a.Traffic.EndStandIn(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("afterwards: %d bytes, %v", n, err)
	}
	if _, err := net.Dial("tcp", to.String()); err == nil {
		t.Error("it still listens")
	}
}
