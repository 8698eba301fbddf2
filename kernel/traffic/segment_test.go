package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
)

// segment is two hosts with a wire between them: this thread is "here" unless
// it runs something "there".
type segment struct {
	t           *testing.T
	here, there netns.NsHandle
	thereMAC    string
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	if os.Getenv("LVSFORM_LAB") == "" {
		t.Skip("makes network namespaces: run `make test-kernel`, which runs this test in the lab")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	s := &segment{t: t}
	var err error
	for _, ns := range []*netns.NsHandle{&s.there, &s.here} {
		if *ns, err = netns.New(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ns.Close() })
	}
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer route.Close()
	wire := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "eth0"},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(s.there),
	}
	if err := route.LinkAdd(wire); err != nil {
		t.Fatal(err)
	}
	s.configure("192.0.2.7/24", "2001:db8::7/64")
	s.inThere(func() { s.thereMAC = s.configure("192.0.2.30/24", "2001:db8::30/64") })
	// IPv6 takes a moment to come up with a device. A refusal has come there
	// and back.
	for range 10 {
		_, err = net.DialTimeout("tcp", "[2001:db8::30]:1", time.Second)
		if errors.Is(err, unix.ECONNREFUSED) {
			return s
		}
	}
	t.Fatalf("the two ends of the wire do not reach each other: %v", err)
	return nil
}

// listen opens a listener that takes both families at [::], whatever families
// the namespace has in which the Go runtime looked for them.
func (s *segment) listen(address string) net.Listener {
	s.t.Helper()
	config := net.ListenConfig{Control: func(network, _ string, c syscall.RawConn) error {
		if network != "tcp6" {
			return nil
		}
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0) })
	}}
	config.SetMultipathTCP(false) // such a socket takes no filter
	network := "tcp4"
	if strings.HasPrefix(address, "[") {
		network = "tcp6"
	}
	var listener net.Listener
	var err error
	s.inThere(func() { listener, err = config.Listen(s.t.Context(), network, address) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// configure brings eth0 up with addresses and returns its MAC address.
func (s *segment) configure(addrs ...string) string {
	s.t.Helper()
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		s.t.Fatal(err)
	}
	defer route.Close()
	link, err := route.LinkByName("eth0")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			s.t.Fatal(err)
		}
		addr.Flags = unix.IFA_F_NODAD // usable at once
		if err := route.AddrAdd(link, addr); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := route.LinkSetUp(link); err != nil {
		s.t.Fatal(err)
	}
	return link.Attrs().HardwareAddr.String()
}

func (s *segment) inThere(f func()) {
	s.t.Helper()
	if err := netns.Set(s.there); err != nil {
		s.t.Fatal(err)
	}
	f()
	if err := netns.Set(s.here); err != nil {
		s.t.Fatal(err)
	}
}

func TestWhoHas(t *testing.T) {
	s := newSegment(t)
	for _, test := range []struct {
		name, source, target string
		want                 []string
	}{
		{"ARP", "192.0.2.7", "192.0.2.30", []string{s.thereMAC}},
		{"ARP for nobody's address", "192.0.2.7", "192.0.2.31", nil},
		{"neighbour discovery", "2001:db8::7", "2001:db8::30", []string{s.thereMAC}},
		{"neighbour discovery of nobody's address", "2001:db8::7", "2001:db8::31", nil},
	} {
		// No subtests: they would run on another thread, in another namespace.
		got, err := WhoHas(t.Context(), "eth0", netip.MustParseAddr(test.source), netip.MustParseAddr(test.target))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.name, diff)
		}
	}
	if _, err := WhoHas(t.Context(), "eth1", netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.30")); err == nil {
		t.Error("no error from a device that is not there")
	}
}

// What comes in is counted, and what goes out is not: at the client's end of
// the wire only the replies are seen, at the service's only the requests. The
// first of each carries the same mark.
func TestWatchOnAWire(t *testing.T) {
	s := newSegment(t)
	for ip, from := range map[string]string{"192.0.2.30": "192.0.2.7", "2001:db8::30": "2001:db8::7"} {
		service := netip.MustParseAddrPort(s.listen(net.JoinHostPort(ip, "0")).Addr().String())
		clients, vip, ports := kerneltest.Addrs(from), kerneltest.Addrs(ip), []uint16{service.Port()}
		requests := []flow.Pattern{{Protocol: state.TCP, From: clients, To: vip, ToPorts: ports}}
		replies := []flow.Pattern{{Protocol: state.TCP, From: vip, FromPorts: ports, To: clients}}
		anybody := []flow.Pattern{{Protocol: state.TCP, To: vip, ToPorts: ports, Opening: true, Others: true}}

		here, err := StartWatch(append(replies, requests...), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var there, elsewhere *Watch
		s.inThere(func() {
			// What is looked for is not seen again as one of others.
			there, err = StartWatch(slices.Concat(anybody, replies, requests), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere, err = StartWatch(anybody, time.Minute)
		})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", service.String())
		if err != nil {
			t.Fatal(err)
		}
		client := netip.MustParseAddrPort(conn.LocalAddr().String())

		var first uint32
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { first, err = InitialSequence(int(fd)) })
		}
		if err != nil {
			t.Fatal(err)
		}
		marks := map[uint32]bool{first: true}
		for name, end := range map[string]struct {
			watch *Watch
			want  []flow.Sighting
		}{
			"client":    {here, []flow.Sighting{{From: service, To: client, Opening: true, Count: 1}}},
			"service":   {there, []flow.Sighting{{From: client, To: service, Opening: true, Count: 1}, {From: client, To: service, Count: 1}}},
			"elsewhere": {elsewhere, []flow.Sighting{{From: client, To: service, Opening: true, Count: 1}}},
		} {
			got, err := end.watch.Stop()
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i].Opening {
					marks[got[i].Mark] = true
					if want := 1500 - headers(client.Addr()); int(got[i].MSS) != want {
						t.Errorf("%s of %s: an MSS of %d, want %d", name, service, got[i].MSS, want)
					}
					got[i].Mark, got[i].MSS = 0, 0
				}
			}
			opening := func(a, b flow.Sighting) bool { return a.Opening && !b.Opening }
			if diff := cmp.Diff(end.want, got, byText, cmpopts.SortSlices(opening)); diff != "" {
				t.Errorf("%s of %s (-want +got)\n%s", name, service, diff)
			}
			if _, err := end.watch.Stop(); err == nil {
				t.Errorf("a watch could be ended twice")
			}
		}
		if len(marks) != 1 || marks[0] {
			t.Errorf("marks of one connection: %v", marks)
		}
		_ = conn.Close()
	}
}

func TestEcho(t *testing.T) {
	s := newSegment(t)
	_ = s
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"192.0.2.7", "192.0.2.30", true},
		{"192.0.2.7", "192.0.2.31", false},
		{"2001:db8::7", "2001:db8::30", true},
	} {
		asked, answered, err := Echo(t.Context(), netip.MustParseAddr(test.from), netip.MustParseAddr(test.to), time.Second)
		if err != nil || answered != test.want || asked == 0 {
			t.Errorf("%s to %s: asked %d times, answered: %v, %v", test.from, test.to, asked, answered, err)
		}
	}
	if _, _, err := Echo(t.Context(), netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("192.0.2.30"), time.Second); err == nil {
		t.Error("no error from an address this host does not have")
	}
}

// The peer's kernel acknowledges the packet and its program reads nothing of
// it; when the wire is too narrow, nothing comes. The same holds for a packet in
// the other direction.
func TestFullSize(t *testing.T) {
	s := newSegment(t)
	for _, ip := range []string{"192.0.2.30", "2001:db8::30"} {
		listener := s.listen(net.JoinHostPort(ip, "0"))
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		end := fullSizeEnd{s, t, conn.(*net.TCPConn)}
		if octets, came := end.send(); !came || octets != 1500 {
			t.Errorf("%s: no acknowledgement of %d octets", ip, octets)
		}
		if octets, came := end.sendBack(9000); !came || octets != 1500 {
			t.Errorf("%s: a reply of %d octets did not come", ip, octets)
		}
		if octets, came := end.sendBack(800); !came || octets != 800 {
			t.Errorf("%s: a reply of %d octets did not come", ip, octets)
		}
		s.inThere(func() { s.setMTU(1400) })
		if octets, came := end.send(); came {
			t.Errorf("%s: %d octets came through a device with an MTU of 1400", ip, octets)
		}
		s.inThere(func() { s.setMTU(1500) })
		s.setMTU(1400)
		if octets, came := end.send(); !came || octets != 1400 {
			t.Errorf("%s: %d octets of a device with an MTU of 1400, acknowledged: %v", ip, octets, came)
		}
		if octets, came := end.sendBack(1500); came {
			t.Errorf("%s: a reply of %d octets came through a device with an MTU of 1400", ip, octets)
		}
		s.setMTU(1500)
		for name, end := range map[string]net.Conn{"program": peer, "client": conn} {
			_ = end.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := end.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
				t.Errorf("%s: the %s read %d bytes, %v", ip, name, n, err)
			}
		}
		_ = conn.Close()
		_ = peer.Close()
	}
}

// fullSizeEnd sends packets of full size on a connection that is open here.
type fullSizeEnd struct {
	s    *segment
	t    *testing.T
	conn *net.TCPConn
}

// control calls f with the connection's socket, on this thread.
func (e fullSizeEnd) control(f func(fd int) error) {
	e.t.Helper()
	raw, err := e.conn.SyscallConn()
	if err != nil {
		e.t.Fatal(err)
	}
	var failed error
	if err := errors.Join(raw.Control(func(fd uintptr) { failed = f(int(fd)) }), failed); err != nil {
		e.t.Fatal(err)
	}
}

// soon reports whether something becomes true in a moment.
func soon(f func() bool) bool {
	for range 50 {
		if f() {
			return true
		}
		time.Sleep(2 * time.Millisecond)
	}
	return false
}

func (e fullSizeEnd) send() (octets int, acknowledged bool) {
	e.t.Helper()
	var all FullSizes
	defer all.Close()
	e.control(func(fd int) error {
		f, _, err := all.Own(fd)
		if err != nil {
			return err
		}
		octets = f.Octets
		if err := f.Send(); err != nil {
			return err
		}
		acknowledged = soon(func() bool {
			ok, _ := f.Acknowledged()
			return ok
		})
		return nil
	})
	return octets, acknowledged
}

// sendBack sends a packet from there, of at most so many octets.
func (e fullSizeEnd) sendBack(most int) (octets int, came bool) {
	e.t.Helper()
	e.control(func(fd int) error {
		var own, others FullSizes
		defer own.Close()
		defer others.Close()
		_, standing, err := own.Own(fd)
		if err != nil {
			return err
		}
		e.s.inThere(func() {
			var f *FullSize
			if f, err = others.Of(Segment{From: standing.To, To: standing.From, Sequence: standing.Acknowledgement, Acknowledgement: standing.Sequence}, most); err == nil {
				octets, err = f.Octets, f.Send()
			}
		})
		came = soon(func() bool {
			segments, octets, open := DataIn(fd)
			return open && segments == standing.DataIn+1 && octets == standing.OctetsIn
		})
		return err
	})
	return octets, came
}

// Where all but the requests to connect is lost on the way to the peer, it answers
// those again, and acknowledges nothing.
func TestFullSizeWhereOnlyRequestsArrive(t *testing.T) {
	s := newSegment(t)
	for _, ip := range []string{"192.0.2.30", "2001:db8::30"} {
		listener := s.listen(net.JoinHostPort(ip, "0"))
		raw, err := listener.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		const flagsAt = 13
		only := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsAt},
			{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: tcpSYN},
			{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
			{Code: unix.BPF_RET | unix.BPF_K},
		}
		var failed error
		if err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(only)), Filter: &only[0]})
		}); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fullSizeEnd{s, t, conn.(*net.TCPConn)}.control(func(fd int) error {
			var all FullSizes
			defer all.Close()
			f, standing, err := all.Own(fd)
			if err != nil {
				return err
			}
			before := int(standing.counted.without)
			for came := before; came == before && t.Context().Err() == nil; came, _ = WithoutData(fd) {
				if err := f.Send(); err != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond)
			}
			if ok, open := f.Acknowledged(); ok || !open {
				t.Errorf("%s: acknowledged: %v, open: %v", ip, ok, open)
			}
			return nil
		})
		_ = conn.Close()
	}
}

// A route may say how large packets are, and what connections announce.
func TestFullSizeOfARoute(t *testing.T) {
	s := newSegment(t)
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	link, err := handle.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for ip, bits := range map[string]int{"192.0.2.30": 32, "2001:db8::30": 128} {
		route := netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(bits, bits)}, MTU: 1400, AdvMSS: 1200}
		if err := handle.RouteReplace(&route); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", s.listen(net.JoinHostPort(ip, "0")).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		end := fullSizeEnd{s, t, conn.(*net.TCPConn)}
		end.control(func(fd int) error {
			var all FullSizes
			defer all.Close()
			f, standing, err := all.Own(fd)
			if want := 1200 + headers(netip.MustParseAddr(ip)); err == nil && (f.Octets != 1400 || standing.Reply != want || standing.Announced != 1200) {
				t.Errorf("%s: %d octets, a reply of %d, announced %d", ip, f.Octets, standing.Reply, standing.Announced)
			}
			return err
		})
		_ = conn.Close()
	}
}

// tooBig sends here what a router would send on the way to there: the packet
// with these ports, of which it quotes the beginning, was larger than so much.
func (s *segment) tooBig(protocol byte, from, to netip.AddrPort, mtu uint16) {
	s.t.Helper()
	quoted := make([]byte, 8)
	binary.BigEndian.PutUint16(quoted, from.Port())
	binary.BigEndian.PutUint16(quoted[2:], to.Port())
	quoted = ipPacketOf(from.Addr(), to.Addr(), protocol, 0, quoted)
	message := []byte{3, 4, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)} // fragmentation needed
	family, icmp := unix.AF_INET, unix.IPPROTO_ICMP
	if from.Addr().Is6() {
		message[0], message[1] = 2, 0 // packet too big
		family, icmp = unix.AF_INET6, unix.IPPROTO_ICMPV6
		binary.BigEndian.PutUint16(quoted[4:], 8)
	} else {
		binary.BigEndian.PutUint16(quoted[2:], 1500)
	}
	message = append(message, quoted...)
	if family == unix.AF_INET {
		binary.BigEndian.PutUint16(message[2:], internetChecksum(message))
	}
	var err error
	s.inThere(func() {
		var fd int
		if fd, err = unix.Socket(family, unix.SOCK_RAW, icmp); err != nil {
			return
		}
		err = errors.Join(unix.Sendto(fd, message, 0, sockaddr(netip.AddrPortFrom(from.Addr(), 0))), unix.Close(fd))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// A path MTU that the kernel remembers makes its connections' packets smaller,
// and not those that show what the way takes. What the way tells does.
func TestFullSizeOfAWayThatTells(t *testing.T) {
	s := newSegment(t)
	for _, ip := range []string{"192.0.2.30", "2001:db8::30"} {
		listener := s.listen(net.JoinHostPort(ip, "0"))
		to := netip.MustParseAddrPort(listener.Addr().String())
		remembered, err := net.Dial("udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		s.tooBig(unix.IPPROTO_UDP, netip.MustParseAddrPort(remembered.LocalAddr().String()), to, 1400)
		_ = remembered.Close()
		conn, err := net.Dial("tcp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		end := fullSizeEnd{s, t, conn.(*net.TCPConn)}
		end.control(func(fd int) error {
			var all FullSizes
			defer all.Close()
			f, standing, err := all.Own(fd)
			if err != nil {
				return err
			}
			if want := 1400 - headers(to.Addr()); standing.Announced != want {
				t.Errorf("%s: the kernel does not remember the path MTU: it announced an MSS of %d, want %d", ip, standing.Announced, want)
			}
			if f.Octets != 1500 || standing.Reply != 1500 {
				t.Errorf("%s: %d octets, a reply of %d", ip, f.Octets, standing.Reply)
			}
			// One that goes the same way, and is not told of.
			besides, err := all.Of(Segment{From: netip.AddrPortFrom(standing.From.Addr(), 1), To: to}, 1500)
			if err != nil {
				return err
			}
			small, err := all.Of(Segment{From: netip.AddrPortFrom(standing.From.Addr(), 2), To: to}, 800)
			if err != nil {
				return err
			}
			if err := f.Send(); err != nil {
				return err
			}
			s.tooBig(unix.IPPROTO_TCP, netip.AddrPortFrom(standing.From.Addr(), standing.From.Port()+1), to, 1300) // another connection's
			s.tooBig(unix.IPPROTO_TCP, standing.From, to, 1350)
			var told []*FullSize
			if !soon(func() bool { told = all.Hear(); return told != nil }) || f.Octets != 1350 || f.Told != 1350 || f.ToldBy != to.Addr() {
				t.Errorf("%s: %d octets after %s told %d", ip, f.Octets, f.ToldBy, f.Told)
			}
			if len(told) != 2 || besides.Octets != 1350 || besides.ToldBy != to.Addr() || small.Octets != 800 || small.Told != 0 {
				t.Errorf("%s: %d packets were told of: besides %d octets, and %d of a small one", ip, len(told), besides.Octets, small.Octets)
			}
			if err := f.Send(); err != nil {
				return err
			}
			if !soon(func() bool { ok, _ := f.Acknowledged(); return ok }) {
				t.Errorf("%s: %d octets were not acknowledged", ip, f.Octets)
			}
			return nil
		})
		_ = conn.Close()
	}
}

// setMTU narrows the wire at the end it is called in.
func (s *segment) setMTU(n int) {
	s.t.Helper()
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		s.t.Fatal(err)
	}
	defer route.Close()
	link, err := route.LinkByName("eth0")
	if err == nil {
		err = route.LinkSetMTU(link, n)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestFindSocketsOnAWire(t *testing.T) {
	s := newSegment(t)
	// At [::] clients of IPv4 come, too; most servers listen so.
	port := netip.MustParseAddrPort(s.listen("[::]:0").Addr().String()).Port()
	for _, ip := range []string{"192.0.2.30", "2001:db8::30"} {
		service := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
		conn, err := net.Dial("tcp", service.String())
		if err != nil {
			t.Fatal(err)
		}
		client := netip.MustParseAddrPort(conn.LocalAddr().String())
		var got []flow.Socket
		s.inThere(func() { got, err = FindSockets(context.Background(), []uint16{port}, []uint16{client.Port()}) })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]flow.Socket{{Local: service, Remote: client, State: "ESTABLISHED"}}, got, byText); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		_ = conn.Close()
	}
}
