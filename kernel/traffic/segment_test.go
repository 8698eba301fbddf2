package traffic

import (
	"context"
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
					got[i].Mark = 0
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
// it; when the wire is too narrow, nothing comes.
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
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var f *FullSize
		send := func() (acknowledged bool) {
			err = errors.Join(raw.Control(func(fd uintptr) {
				if f, err = NewFullSize(int(fd)); err == nil {
					err = f.Send()
				}
				for range 50 {
					if ok, _ := f.Acknowledged(); ok {
						acknowledged = true
						return
					}
					time.Sleep(2 * time.Millisecond)
				}
			}), err)
			if err != nil {
				t.Fatalf("%s: %v", ip, err)
			}
			return acknowledged
		}
		if !send() || f.Octets != 1500 {
			t.Errorf("%s: no acknowledgement of %d octets", ip, f.Octets)
		}
		s.inThere(func() { s.setMTU(1400) })
		if send() {
			t.Errorf("%s: %d octets came through a device with an MTU of 1400", ip, f.Octets)
		}
		s.inThere(func() { s.setMTU(1500) })
		_ = peer.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := peer.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
			t.Errorf("%s: the program read %d bytes, %v", ip, n, err)
		}
		_ = conn.Close()
		_ = peer.Close()
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
