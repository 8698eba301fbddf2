package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Watch counts the packets between a TCP service and one client host that come
// in at this host on any device. The counters of IPVS could not tell: they do
// not count replies that are merely routed, and are two seconds late.
type Watch struct {
	service netip.AddrPort
	clients map[netip.Addr]bool
	conn    *socket.Conn
	done    chan struct{} // closed when the fields below are final
	flows   map[netip.AddrPort]*Flow
	others  int
	err     error
}

// Flow counts the packets of one connection by the client's address and port.
type Flow struct {
	Client   netip.AddrPort
	Opening  int // requests that open the connection: SYN without ACK
	Requests int // client to service
	Replies  int // service to client
}

// watchGrace is how long the end of a watch waits for packets that are already
// on their way through the host.
const watchGrace = 50 * time.Millisecond

// The longest header that is looked at: an IPv4 header with all options, or an
// IPv6 header, and the first 14 bytes of a TCP header.
const watchSnap = 80

// StartWatch begins to count. The watch ends with Stop, and by itself when the
// limit has passed.
func StartWatch(service netip.AddrPort, clients []netip.Addr, limit time.Duration) (*Watch, error) {
	filter, err := bpf.Assemble(watchFilter(service, clients))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	// Protocol 0 receives nothing until Bind, when the filter is in place.
	// SOCK_DGRAM: packets begin with the IP header.
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0, "watch", nil)
	if err != nil {
		return nil, err
	}
	// Bound to one protocol the socket sees every packet once, on the device
	// that takes it in after bridges, bonds and VLANs; ETH_P_ALL would see it
	// on each of those, and the packets this host sends.
	proto := unix.ETH_P_IP
	if service.Addr().Is6() {
		proto = unix.ETH_P_IPV6
	}
	err = errors.Join(
		conn.SetBPF(filter),
		conn.Bind(&unix.SockaddrLinklayer{Protocol: htons(uint16(proto))}),
		conn.SetReadDeadline(time.Now().Add(limit)),
	)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w := &Watch{
		service: service, conn: conn, done: make(chan struct{}),
		clients: map[netip.Addr]bool{}, flows: map[netip.AddrPort]*Flow{},
	}
	for _, c := range clients {
		w.clients[c] = true
	}
	go w.run()
	return w, nil
}

// Stop ends the watch and returns the flows of the client host, and how many
// requests to open a connection came from elsewhere. An error means that the
// watch had ended before, and that nothing follows from what it did not see.
func (w *Watch) Stop() ([]Flow, int, error) {
	select {
	case <-w.done:
		return nil, 0, errors.Join(errors.New("the watch ended early"), w.err)
	default:
	}
	// An error of this would be the reader's, too.
	_ = w.conn.SetReadDeadline(time.Now().Add(watchGrace))
	<-w.done
	out := make([]Flow, 0, len(w.flows))
	for _, f := range w.flows {
		out = append(out, *f)
	}
	return out, w.others, w.err
}

func (w *Watch) run() {
	defer close(w.done)
	buf := make([]byte, watchSnap)
	for {
		n, from, err := w.conn.Recvfrom(context.Background(), buf, 0)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				w.err = err
			}
			// Packets that were dropped for want of buffer space would be
			// missing from the count.
			if stats, err := w.conn.GetsockoptTpacketStats(unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && stats.Drops != 0 {
				w.err = errors.Join(w.err, fmt.Errorf("%d packets went uncounted", stats.Drops))
			}
			w.err = errors.Join(w.err, w.conn.Close())
			return
		}
		// A switch floods frames for unknown MAC addresses to everybody.
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_HOST {
			w.count(buf[:n])
		}
	}
}

func (w *Watch) count(packet []byte) {
	src, dst, opening, ok := parseTCP(packet)
	switch {
	case !ok:
	case dst == w.service && w.clients[src.Addr()]:
		f := w.flow(src)
		f.Requests++
		if opening {
			f.Opening++
		}
	case dst == w.service && opening:
		w.others++
	case src == w.service && w.clients[dst.Addr()]:
		w.flow(dst).Replies++
	}
}

// flow is bounded by the number of ports a client has.
func (w *Watch) flow(client netip.AddrPort) *Flow {
	f := w.flows[client]
	if f == nil {
		f = &Flow{Client: client}
		w.flows[client] = f
	}
	return f
}

const (
	tcpSYN    = 0x02
	tcpSYNACK = 0x12 // both bits
)

// parseTCP reads source, destination and whether the packet opens a connection
// from an IP packet. It is false for what is not TCP.
func parseTCP(p []byte) (src, dst netip.AddrPort, opening, ok bool) {
	var s, d netip.Addr
	var tcp []byte
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && p[9] == unix.IPPROTO_TCP && int(p[0]&15)*4 <= len(p):
		s, d, tcp = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[int(p[0]&15)*4:]
	case len(p) >= 40 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_TCP:
		s, d, tcp = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	}
	if len(tcp) < 14 {
		return src, dst, false, false
	}
	src = netip.AddrPortFrom(s, binary.BigEndian.Uint16(tcp[0:]))
	dst = netip.AddrPortFrom(d, binary.BigEndian.Uint16(tcp[2:]))
	return src, dst, tcp[13]&tcpSYNACK == tcpSYN, true
}

// watchFilter is a classic BPF program over an IP packet. It passes the first
// bytes of unfragmented TCP packets that go from the clients to the service or
// back, and of requests from anybody to open a connection to the service. All
// else stays in the kernel: the service may be a busy one.
func watchFilter(service netip.AddrPort, clients []netip.Addr) []bpf.Instruction {
	h := ipv4Header()
	if service.Addr().Is6() {
		h = ipv6Header()
	}
	port := uint32(service.Port())
	request := block{h.source, h.destination, 2}
	reply := block{h.destination, h.source, 0}

	out := h.isTCP
	for _, b := range []block{request, reply} {
		var inner []bpf.Instruction
		inner = append(inner,
			bpf.LoadIndirect{Off: h.tcp + b.portOffset, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: port, SkipTrue: 1},
			bpf.RetConstant{},
		)
		for _, c := range clients {
			inner = append(inner, ifAddress(b.client, c, []bpf.Instruction{bpf.RetConstant{Val: watchSnap}})...)
		}
		if b.portOffset == request.portOffset {
			inner = append(inner,
				bpf.LoadIndirect{Off: h.tcp + 13, Size: 1},
				bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: tcpSYNACK},
				bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: tcpSYN, SkipTrue: 1},
				bpf.RetConstant{Val: watchSnap},
			)
		}
		inner = append(inner, bpf.RetConstant{})
		out = append(out, ifAddress(b.service, service.Addr(), inner)...)
	}
	return append(out, bpf.RetConstant{})
}

// block is one direction of the filter: where a packet has the client's
// address, the service's, and in the TCP header the service's port.
type block struct{ client, service, portOffset uint32 }

// header tells where things are in a packet of one family.
type header struct {
	isTCP               []bpf.Instruction // ends the program if not; sets X for tcp
	source, destination uint32
	tcp                 uint32 // offset of the TCP header beyond X
}

func ipv4Header() header {
	return header{source: 12, destination: 16, isTCP: []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // fragment offset: only the first has ports
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x1fff, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadMemShift{Off: 0},
	}}
}

func ipv6Header() header {
	return header{source: 8, destination: 24, tcp: 40, isTCP: []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadConstant{Dst: bpf.RegX, Val: 0},
	}}
}

// ifAddress runs the instructions when the packet has the address at the
// offset, and goes on behind them when it has not.
func ifAddress(offset uint32, a netip.Addr, then []bpf.Instruction) []bpf.Instruction {
	words := a.AsSlice()
	n := len(words) / 4
	var out []bpf.Instruction
	for i := range n {
		// A conditional jump reaches 255 instructions, this one all.
		behind := uint32(3*(n-1-i) + len(then))
		out = append(out,
			bpf.LoadAbsolute{Off: offset + uint32(4*i), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(words[4*i:]), SkipTrue: 1},
			bpf.Jump{Skip: behind},
		)
	}
	return append(out, then...)
}
