package traffic

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
)

// ipv4 and ipv6 are packets with a payload of one protocol; options lengthen
// an IPv4 header.
func ipPacketOf(from, to netip.Addr, protocol byte, options int, payload []byte) []byte {
	var p []byte
	if from.Is4() {
		p = make([]byte, 20+options)
		p[0], p[9] = 0x40|byte(len(p)/4), protocol
		copy(p[12:], from.AsSlice())
		copy(p[16:], to.AsSlice())
	} else {
		p = make([]byte, 40)
		p[0], p[6] = 0x60, protocol
		copy(p[8:], from.AsSlice())
		copy(p[24:], to.AsSlice())
	}
	return append(p, payload...)
}

const sequence, acknowledged = 0x11223344, 0x55667788

func tcpPacket(src, dst string, flags byte, options int) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp[0:], s.Port())
	binary.BigEndian.PutUint16(tcp[2:], d.Port())
	binary.BigEndian.PutUint32(tcp[4:], sequence)
	binary.BigEndian.PutUint32(tcp[8:], acknowledged)
	tcp[13] = flags
	return ipPacketOf(s.Addr(), d.Addr(), unix.IPPROTO_TCP, options, tcp)
}

func udpPacket(src, dst string, payload ...byte) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	udp := make([]byte, 8)
	binary.BigEndian.PutUint16(udp[0:], s.Port())
	binary.BigEndian.PutUint16(udp[2:], d.Port())
	return ipPacketOf(s.Addr(), d.Addr(), unix.IPPROTO_UDP, 0, append(udp, payload...))
}

// in puts a packet into another one, behind some octets.
func in(from, to string, protocol byte, between []byte, p []byte) []byte {
	return ipPacketOf(netip.MustParseAddr(from), netip.MustParseAddr(to), protocol, 0, slices.Concat(between, p))
}

// changed is a packet with some bytes set.
func changed(p []byte, at int, to ...byte) []byte {
	copy(p[at:], to)
	return p
}

func passes(t interface{ Fatal(...any) }, p []byte, patterns []flow.Pattern) bool {
	vm, err := bpf.NewVM(watchFilter(len(p) > 0 && p[0]>>4 == 6, patterns))
	if err != nil {
		t.Fatal(err)
	}
	n, err := vm.Run(p)
	if err != nil {
		t.Fatal(err)
	}
	return n != 0
}

const (
	syn, ack = 0x02, 0x10
	none     = 0
)

func sighting(from, to string, opening bool, mark uint32) *flow.Sighting {
	return &flow.Sighting{From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to), Opening: opening, Mark: mark}
}

func inTunnel(s *flow.Sighting, tunnel, from, to string, port uint16) *flow.Sighting {
	s.Tunnel, s.OuterFrom, s.OuterTo, s.OuterPort = tunnel, netip.MustParseAddr(from), netip.MustParseAddr(to), port
	return s
}

func TestWatch(t *testing.T) {
	const (
		cip4, other4, vip4 = "192.0.2.7:40112", "203.0.113.9:40112", "192.0.2.30:80"
		cip6, other6, vip6 = "[2001:db8::7]:40112", "[2001:db8:1::9]:40112", "[2001:db8::30]:80"
		dip, rip           = "192.0.2.3", "198.51.100.4"
		dip6, rip6         = "2001:db8::3", "2001:db8::4"
	)
	ports := []uint16{80}
	clients4, service4 := kerneltest.Addrs("192.0.2.8", "192.0.2.7"), kerneltest.Addrs("192.0.2.30")
	clients6, service6 := kerneltest.Addrs("2001:db8::8", "2001:db8::7"), kerneltest.Addrs("2001:db8::30")
	patterns := []flow.Pattern{
		{Protocol: state.TCP, From: clients4, To: service4, ToPorts: ports},
		{Protocol: state.TCP, From: service4, FromPorts: ports, To: clients4},
		{Protocol: state.TCP, To: service4, ToPorts: ports, Opening: true},
		{Protocol: state.TCP, From: clients6, To: service6, ToPorts: ports},
		{Protocol: state.TCP, From: service6, FromPorts: ports, To: clients6},
		{Protocol: state.TCP, To: service6, ToPorts: ports, Opening: true},
		{Protocol: state.UDP, From: clients4, To: service4, ToPorts: []uint16{53, 54}},
		{Protocol: protocolICMP, From: kerneltest.Addrs(rip), To: service4},
		{Protocol: state.TCP, From: kerneltest.Addrs(rip), FromPorts: []uint16{8080}, Opening: true},
		{Protocol: state.TCP, From: kerneltest.Addrs(rip6), FromPorts: []uint16{8080}, Opening: true},
		{Protocol: state.TCP, From: clients4, To: service4, ToPorts: ports, Opening: true, Wrapped: true},
		{Protocol: state.TCP, From: clients6, To: service6, ToPorts: ports, Opening: true, Wrapped: true},
	}
	opening4, opening6 := tcpPacket(cip4, vip4, syn, 0), tcpPacket(cip6, vip6, syn, 0)
	inside4, inside6 := sighting(cip4, vip4, true, sequence), sighting(cip6, vip6, true, sequence)
	gue := func(protocol byte, words byte) []byte {
		p := make([]byte, 12+4*int(words))
		p[2], p[3] = 5555>>8, 5555&0xff
		p[8], p[9] = words, protocol
		return p
	}
	with := func(s *flow.Sighting) *flow.Sighting { c := *s; return &c }

	for name, test := range map[string]struct {
		packet []byte
		want   *flow.Sighting // nil: it is not seen
	}{
		"request that opens":                    {tcpPacket(cip4, vip4, syn, 0), sighting(cip4, vip4, true, sequence)},
		"later request":                         {tcpPacket(cip4, vip4, ack, 0), sighting(cip4, vip4, false, 0)},
		"request with IP options":               {tcpPacket(cip4, vip4, syn, 40), sighting(cip4, vip4, true, sequence)},
		"request of the client's other address": {tcpPacket("192.0.2.8:1", vip4, ack, 0), sighting("192.0.2.8:1", vip4, false, 0)},
		"first reply":                           {tcpPacket(vip4, cip4, syn|ack, 0), sighting(vip4, cip4, true, acknowledged-1)},
		"later reply":                           {tcpPacket(vip4, cip4, ack, 0), sighting(vip4, cip4, false, 0)},
		"opening by another host":               {tcpPacket(other4, vip4, syn, 0), sighting(other4, vip4, true, sequence)},
		"later request of another host":         {tcpPacket(other4, vip4, ack, 0), nil},
		"first reply to anybody":                {tcpPacket(rip+":8080", "203.0.113.77:5", syn|ack, 0), sighting(rip+":8080", "203.0.113.77:5", true, acknowledged-1)},
		"later reply to anybody":                {tcpPacket(rip+":8080", "203.0.113.77:5", ack, 0), nil},
		"IPv6 first reply to anybody":           {tcpPacket("["+rip6+"]:8080", other6, syn|ack, 0), sighting("["+rip6+"]:8080", other6, true, acknowledged-1)},
		"reply to another host":                 {tcpPacket(vip4, other4, syn|ack, 0), nil},
		"opening of another port":               {tcpPacket(cip4, "192.0.2.30:81", syn, 0), nil},
		"reply of another port":                 {tcpPacket("192.0.2.30:81", cip4, ack, 0), nil},
		"opening of another VIP":                {tcpPacket(cip4, "192.0.2.31:80", syn, 0), nil},
		"a later fragment":                      {changed(tcpPacket(cip4, vip4, syn, 0), 6, 0x20, 0x01), nil},
		"the first fragment":                    {changed(tcpPacket(cip4, vip4, syn, 0), 6, 0x20, 0x00), sighting(cip4, vip4, true, sequence)},
		"cut short":                             {tcpPacket(cip4, vip4, syn, 0)[:19], nil},
		"no packet":                             {nil, nil},

		"datagram":                       {udpPacket(cip4, "192.0.2.30:54", 1, 2, 3, 4, 5), sighting(cip4, "192.0.2.30:54", false, flow.DatagramMark([]byte{1, 2, 3, 4, 5}))},
		"datagram without payload":       {udpPacket(cip4, "192.0.2.30:53"), sighting(cip4, "192.0.2.30:53", false, 0)},
		"datagram to TCP's port":         {udpPacket(cip4, vip4, 1, 2, 3, 4), nil},
		"echo":                           {ipPacketOf(netip.MustParseAddr(rip), service4[0], unix.IPPROTO_ICMP, 0, []byte{8, 0, 0, 0, 0, 1, 0, 2}), sighting(rip+":0", "192.0.2.30:0", false, 0x10002)},
		"IPv6 request that opens":        {tcpPacket(cip6, vip6, syn, 0), sighting(cip6, vip6, true, sequence)},
		"IPv6 reply":                     {tcpPacket(vip6, cip6, syn|ack, 0), sighting(vip6, cip6, true, acknowledged-1)},
		"IPv6 opening by another host":   {tcpPacket(other6, vip6, syn, 0), sighting(other6, vip6, true, sequence)},
		"IPv6 later request of another":  {tcpPacket(other6, vip6, ack, 0), nil},
		"IPv6 opening of another VIP":    {tcpPacket(cip6, "[2001:db8::31]:80", syn, 0), nil},
		"ipip":                           {in(dip, rip, unix.IPPROTO_IPIP, nil, opening4), inTunnel(with(inside4), "ipip", dip, rip, 0)},
		"ipip, later request":            {in(dip, rip, unix.IPPROTO_IPIP, nil, tcpPacket(cip4, vip4, ack, 0)), nil},
		"ipip, another VIP":              {in(dip, rip, unix.IPPROTO_IPIP, nil, tcpPacket(cip4, "192.0.2.31:80", syn, 0)), nil},
		"IPv6 in IPv4":                   {in(dip, rip, unix.IPPROTO_IPV6, nil, opening6), inTunnel(with(inside6), "ipip", dip, rip, 0)},
		"IPv4 in IPv6":                   {in(dip6, rip6, unix.IPPROTO_IPIP, nil, opening4), inTunnel(with(inside4), "ipip", dip6, rip6, 0)},
		"IPv6 in IPv6":                   {in(dip6, rip6, unix.IPPROTO_IPV6, nil, opening6), inTunnel(with(inside6), "ipip", dip6, rip6, 0)},
		"with an encapsulation limit":    {in(dip6, rip6, unix.IPPROTO_DSTOPTS, []byte{unix.IPPROTO_IPV6, 0, 4, 1, 4, 1, 1, 0}, opening6), inTunnel(with(inside6), "ipip", dip6, rip6, 0)},
		"gre":                            {in(dip, rip, unix.IPPROTO_GRE, []byte{0, 0, 8, 0}, opening4), inTunnel(with(inside4), "gre", dip, rip, 0)},
		"gre with a checksum":            {in(dip, rip, unix.IPPROTO_GRE, []byte{0x80, 0, 8, 0, 1, 2, 0, 0}, opening4), inTunnel(with(inside4), "gre", dip, rip, 0)},
		"gre with checksum and key":      {in(dip, rip, unix.IPPROTO_GRE, []byte{0xa0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7}, opening4), inTunnel(with(inside4), "gre", dip, rip, 0)},
		"gre, cut short":                 {in(dip, rip, unix.IPPROTO_GRE, []byte{0x80, 0}, nil), nil},
		"gue":                            {in(dip, rip, unix.IPPROTO_UDP, gue(unix.IPPROTO_IPIP, 0), opening4), inTunnel(with(inside4), "gue", dip, rip, 5555)},
		"gue with a remote checksum":     {in(dip, rip, unix.IPPROTO_UDP, gue(unix.IPPROTO_IPIP, 2), opening4), inTunnel(with(inside4), "gue", dip, rip, 5555)},
		"gue around IPv6 in IPv6":        {in(dip6, rip6, unix.IPPROTO_UDP, gue(unix.IPPROTO_IPV6, 0), opening6), inTunnel(with(inside6), "gue", dip6, rip6, 5555)},
		"a datagram that looks like gue": {udpPacket(cip4, "192.0.2.30:53", 0, unix.IPPROTO_IPIP, 0, 0), sighting(cip4, "192.0.2.30:53", false, flow.DatagramMark([]byte{0, unix.IPPROTO_IPIP, 0, 0}))},
	} {
		t.Run(name, func(t *testing.T) {
			var got *flow.Sighting
			if s, ok := sight(test.packet, patterns); ok {
				got = &s
			}
			if diff := cmp.Diff(test.want, got, byText); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// Inside of a tunnel the filter looks at addresses only.
			later := name == "ipip, later request"
			if p := passes(t, test.packet, patterns); p != (test.want != nil) && !later {
				t.Errorf("the filter passes it: %v", p)
			}
		})
	}
}

// A program with more clients than a conditional jump reaches.
func TestWatchOfManyClients(t *testing.T) {
	var clients []netip.Addr
	for i := range 100 {
		clients = append(clients, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)}))
	}
	vip := kerneltest.Addrs("2001:db8::1:1")
	patterns := []flow.Pattern{
		{Protocol: state.TCP, From: clients, To: vip, ToPorts: []uint16{80}},
		{Protocol: state.TCP, From: vip, FromPorts: []uint16{80}, To: clients},
	}
	for _, p := range [][]byte{
		tcpPacket("[2001:db8::63]:1", "[2001:db8::1:1]:80", ack, 0),
		tcpPacket("[2001:db8::1:1]:80", "[2001:db8::63]:1", ack, 0),
	} {
		if !passes(t, p, patterns) {
			t.Errorf("% x did not pass", p)
		}
	}
	if passes(t, tcpPacket("[2001:db8::64]:1", "[2001:db8::1:1]:80", ack, 0), patterns) {
		t.Error("a packet of somebody else passed")
	}
}

// shortAndLong are patterns for anybody's packets: of the second, the packet filter is
// longer than the kernel takes.
func shortAndLong() (short, long flow.Pattern) {
	short = flow.Pattern{Protocol: state.TCP, To: kerneltest.Addrs("2001:db8::30"), ToPorts: []uint16{80}, Opening: true, Others: true}
	long = short
	long.Wrapped = true
	for i := range 54 {
		long.From = append(long.From, netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}))
	}
	return short, long
}

// A pattern for anybody's packets with more addresses than a packet filter has room
// for is left out; the others stay, in whichever order.
func TestWatchForTooManyAddresses(t *testing.T) {
	short, long := shortAndLong()
	if n := len(watchFilter(true, []flow.Pattern{long})); n <= unix.BPF_MAXINSNS {
		t.Fatalf("a filter of %d instructions has room", n)
	}
	for _, patterns := range [][]flow.Pattern{{short, long}, {long, short}} {
		if got := fitting(true, patterns); len(got) != 1 || got[0].Wrapped {
			t.Errorf("%d patterns of 2 are left", len(got))
		}
	}
	if got := fitting(true, []flow.Pattern{short, short}); len(got) != 2 {
		t.Errorf("%d patterns of 2 are left", len(got))
	}
}

// That it is left out is told, and no error.
func TestWatchWithoutRoomForOthers(t *testing.T) {
	kerneltest.Namespace(t)
	short, long := shortAndLong()
	w, err := StartWatch([]flow.Pattern{short, long}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := w.Stop()
	if err != nil || !slices.ContainsFunc(seen, func(s flow.Sighting) bool { return !s.To.IsValid() }) {
		t.Errorf("%v, %v: it is not told that something was left out", seen, err)
	}
}

// Of packets that may be anybody's, those beyond what can be told apart are counted
// together; of those that are looked for, none may be missed.
func TestWatchOfManyOthers(t *testing.T) {
	w := &Watch{seen: map[flow.Sighting]int{}}
	for i := range maxOthers + 3 {
		if !w.count(flow.Sighting{Mark: uint32(i + 1)}, true) {
			t.Fatalf("no room for packet %d of others", i)
		}
	}
	if got := w.seen[flow.Sighting{}]; got != 3 {
		t.Errorf("%d packets counted together, want 3", got)
	}
	for i := len(w.seen); i < maxSightings; i++ {
		w.count(flow.Sighting{Mark: uint32(i + maxSightings)}, false)
	}
	if w.count(flow.Sighting{Mark: 1 << 31}, false) || !w.count(flow.Sighting{Mark: 1}, false) {
		t.Error("a packet that was looked for was lost, or one was that is known")
	}
}

// Packets come from the network: none may hurt, and the filter keeps none back
// that matches.
func TestAnnouncedMSS(t *testing.T) {
	header := func(options ...byte) []byte {
		p := make([]byte, 20, 20+len(options))
		p[12] = byte(20+len(options)) / 4 << 4
		return append(p, options...)
	}
	for name, test := range map[string]struct {
		header []byte
		want   uint16
	}{
		"first":             {header(2, 4, 5, 180, 1, 3, 3, 7), 1460},
		"behind others":     {header(1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 120), 1400},
		"none":              {header(), 0},
		"behind the end":    {header(0, 0, 0, 0, 2, 4, 5, 180), 0},
		"of no length":      {header(8, 0, 2, 4), 0},
		"longer than there": {header(1, 1, 2, 4), 0},
		"cut short":         {header(2, 4, 5, 180)[:22], 0},
		"no whole header":   {header()[:13], 0},
	} {
		if got := announcedMSS(test.header); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestWatchTakesAnything(t *testing.T) {
	patterns := []flow.Pattern{
		{Protocol: state.TCP, From: kerneltest.Addrs("192.0.2.7"), To: kerneltest.Addrs("192.0.2.30")},
		{Protocol: state.TCP, To: kerneltest.Addrs("192.0.2.30"), ToPorts: []uint16{80}, Opening: true, Wrapped: true},
	}
	rapid.Check(t, func(t *rapid.T) {
		p := slices.Clone(rapid.SampledFrom([][]byte{
			tcpPacket("192.0.2.7:1", "192.0.2.30:80", syn, 0),
			in("192.0.2.3", "192.0.2.4", unix.IPPROTO_IPIP, nil, tcpPacket("192.0.2.7:1", "192.0.2.30:80", syn, 0)),
			in("192.0.2.3", "192.0.2.4", unix.IPPROTO_GRE, []byte{0, 0, 8, 0}, tcpPacket("192.0.2.7:1", "192.0.2.30:80", syn, 0)),
			in("2001:db8::3", "2001:db8::4", unix.IPPROTO_UDP, []byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 4, 0, 0}, tcpPacket("192.0.2.7:1", "192.0.2.30:80", syn, 0)),
			{},
		}).Draw(t, "packet"))
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			if len(p) != 0 {
				p[rapid.IntRange(0, len(p)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "to")
			}
		}
		p = p[:rapid.IntRange(0, len(p)).Draw(t, "length")]
		if _, ok := sight(p, patterns); ok && !passes(t, p, patterns) {
			t.Fatalf("the filter keeps back % x", p)
		}
	})
}
