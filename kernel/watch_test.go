package kernel

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// tcpPacket is an IP packet with a TCP header; options lengthen an IPv4 header.
func tcpPacket(src, dst string, flags byte, options int) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	var p []byte
	if s.Addr().Is4() {
		p = make([]byte, 20+options)
		p[0], p[9] = 0x40|byte(len(p)/4), unix.IPPROTO_TCP
		copy(p[12:], s.Addr().AsSlice())
		copy(p[16:], d.Addr().AsSlice())
	} else {
		p = make([]byte, 40)
		p[0], p[6] = 0x60, unix.IPPROTO_TCP
		copy(p[8:], s.Addr().AsSlice())
		copy(p[24:], d.Addr().AsSlice())
	}
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp[0:], s.Port())
	binary.BigEndian.PutUint16(tcp[2:], d.Port())
	tcp[13] = flags
	return append(p, tcp...)
}

// changed is a packet with some bytes set.
func changed(p []byte, at int, to ...byte) []byte {
	copy(p[at:], to)
	return p
}

func testWatch(t *testing.T, service string, clients ...string) (*Watch, func([]byte) bool) {
	t.Helper()
	w := &Watch{service: netip.MustParseAddrPort(service), clients: map[netip.Addr]bool{}, flows: map[netip.AddrPort]*Flow{}}
	var list []netip.Addr
	for _, c := range clients {
		a := netip.MustParseAddr(c)
		w.clients[a], list = true, append(list, a)
	}
	vm, err := bpf.NewVM(watchFilter(w.service, list))
	if err != nil {
		t.Fatal(err)
	}
	return w, func(p []byte) bool {
		n, err := vm.Run(p)
		if err != nil {
			t.Fatal(err)
		}
		return n != 0
	}
}

const (
	syn, ack = 0x02, 0x10
	none     = 0
)

func TestWatch(t *testing.T) {
	const (
		cip4, other4, vip4 = "192.0.2.7:40112", "203.0.113.9:40112", "192.0.2.30:80"
		cip6, other6, vip6 = "[2001:db8::7]:40112", "[2001:db8:1::9]:40112", "[2001:db8::30]:80"
	)
	type seen struct{ Opening, Requests, Replies, Others int }
	for name, test := range map[string]struct {
		packet []byte
		v6     bool
		pass   bool
		want   seen
	}{
		"request that opens":                    {packet: tcpPacket(cip4, vip4, syn, 0), pass: true, want: seen{Opening: 1, Requests: 1}},
		"later request":                         {packet: tcpPacket(cip4, vip4, ack, 0), pass: true, want: seen{Requests: 1}},
		"request with IP options":               {packet: tcpPacket(cip4, vip4, syn, 40), pass: true, want: seen{Opening: 1, Requests: 1}},
		"request of the client's other address": {packet: tcpPacket("192.0.2.8:1", vip4, ack, 0), pass: true, want: seen{Requests: 1}},
		"reply":                                 {packet: tcpPacket(vip4, cip4, syn|ack, 0), pass: true, want: seen{Replies: 1}},
		"opening by another host":               {packet: tcpPacket(other4, vip4, syn, 0), pass: true, want: seen{Others: 1}},
		"later request of another host":         {packet: tcpPacket(other4, vip4, ack, 0)},
		"reply to another host":                 {packet: tcpPacket(vip4, other4, syn|ack, 0)},
		"opening of another port":               {packet: tcpPacket(cip4, "192.0.2.30:81", syn, 0)},
		"reply of another port":                 {packet: tcpPacket("192.0.2.30:81", cip4, ack, 0)},
		"opening of another VIP":                {packet: tcpPacket(cip4, "192.0.2.31:80", syn, 0)},
		"UDP":                                   {packet: changed(tcpPacket(cip4, vip4, syn, 0), 9, unix.IPPROTO_UDP)},
		"a later fragment":                      {packet: changed(tcpPacket(cip4, vip4, syn, 0), 6, 0x20, 0x01)},
		"cut short":                             {packet: tcpPacket(cip4, vip4, syn, 0)[:19]},

		"IPv6 request that opens":       {v6: true, packet: tcpPacket(cip6, vip6, syn, 0), pass: true, want: seen{Opening: 1, Requests: 1}},
		"IPv6 reply":                    {v6: true, packet: tcpPacket(vip6, cip6, syn|ack, 0), pass: true, want: seen{Replies: 1}},
		"IPv6 opening by another host":  {v6: true, packet: tcpPacket(other6, vip6, syn, 0), pass: true, want: seen{Others: 1}},
		"IPv6 later request of another": {v6: true, packet: tcpPacket(other6, vip6, ack, 0)},
		"IPv6 opening of another VIP":   {v6: true, packet: tcpPacket(cip6, "[2001:db8::31]:80", syn, 0)},
		"IPv6 ICMP":                     {v6: true, packet: changed(tcpPacket(cip6, vip6, syn, 0), 6, unix.IPPROTO_ICMPV6)},
	} {
		t.Run(name, func(t *testing.T) {
			w, passes := testWatch(t, vip4, "192.0.2.8", "192.0.2.7")
			if test.v6 {
				w, passes = testWatch(t, vip6, "2001:db8::8", "2001:db8::7")
			}
			if got := passes(test.packet); got != test.pass {
				t.Errorf("the filter passes it: %v", got)
			}
			if !test.pass {
				return // the counting code never sees it
			}
			w.count(test.packet[:min(len(test.packet), watchSnap)])
			got := seen{Others: w.others}
			for _, f := range w.flows {
				got.Opening, got.Requests, got.Replies = got.Opening+f.Opening, got.Requests+f.Requests, got.Replies+f.Replies
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A program with more clients than a conditional jump reaches.
func TestWatchOfManyClients(t *testing.T) {
	var clients []string
	for i := range 200 {
		clients = append(clients, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)}).String())
	}
	_, passes := testWatch(t, "[2001:db8::1:1]:80", clients...)
	for _, p := range [][]byte{
		tcpPacket("[2001:db8::c7]:1", "[2001:db8::1:1]:80", ack, 0),
		tcpPacket("[2001:db8::1:1]:80", "[2001:db8::c7]:1", ack, 0),
		tcpPacket("[2001:db8:1::1]:1", "[2001:db8::1:1]:80", syn, 0),
	} {
		if !passes(p) {
			t.Errorf("% x did not pass", p)
		}
	}
	if passes(tcpPacket("[2001:db8::c8]:1", "[2001:db8::1:1]:80", ack, 0)) {
		t.Error("a packet of somebody else passed")
	}
}

// Packets come from the network: none may hurt.
func TestParseTCPTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 0, watchSnap).Draw(t, "packet")
		if len(p) > 9 && rapid.Bool().Draw(t, "IPv4 TCP") {
			p[0], p[9] = 0x40|p[0]&15, unix.IPPROTO_TCP
		}
		src, dst, _, ok := parseTCP(p)
		if ok != (src.IsValid() && dst.IsValid()) {
			t.Fatalf("%v %v %v", src, dst, ok)
		}
	})
}
