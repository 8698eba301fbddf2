package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// FullSizes are packets of the largest size that idle TCP connections use. They
// show that such a packet gets through to the peer, without giving the peer's
// program anything: each is a segment whose data lies before what was
// acknowledged already, as of a keepalive. The peer's kernel drops the data and
// acknowledges it again.
//
// They are as large as the device and the route allow, whatever path MTU the
// kernel remembers: that one is forgotten some day. The zero value is ready for
// use, and Close ends it.
type FullSizes struct {
	ways map[[2]netip.Addr]*rawWay
}

// FullSize is one of these packets.
type FullSize struct {
	Octets int // of the IP packet; less than before once the way has told a smaller size
	// Told is the size that somebody on the way told, as path MTU discovery
	// does (RFC 1191, RFC 8201), and ToldBy who. 0 when nobody did.
	Told   int
	ToldBy netip.Addr

	segment Segment
	way     *rawWay
	fd      int     // of the connection, where it is this host's own
	before  counted // of it
}

// Segment says where a connection stands, for a packet in one direction.
type Segment struct {
	From, To netip.AddrPort
	// Sequence is the number that From sends next, Acknowledgement what it has
	// of To.
	Sequence, Acknowledgement uint32
}

// Standing is what a host knows of one of its own idle TCP connections.
type Standing struct {
	Segment
	Announced int // the MSS that this host announced
	// Reply is the size of the largest packet of the peer's, as far as this
	// host's route has a say.
	Reply    int
	RTT      time.Duration
	DataIn   uint32 // segments with data that came in
	OctetsIn uint64 // that were new
	peerMSS  int    // what the peer announced, as it arrived here
	counted  counted
}

// counted is how many segments of a TCP connection came in, without data and with,
// and how many its kernel has sent.
type counted struct{ without, with, sent uint32 }

func countedOf(info *unix.TCPInfo) counted {
	return counted{without: info.Segs_in - info.Data_segs_in, with: info.Data_segs_in, sent: info.Segs_out}
}

const (
	tcpHeader = 20
	// What timestamps take of a segment (RFC 7323, padded), and the bit by
	// which TCP_INFO tells that both ends use them.
	timestampOption = 12
	optTimestamps   = 1
	// Queues of TCP_REPAIR, from tcp.h; and a way to end it that sends nothing.
	repairReceive = 1
	repairSend    = 2
	repairOff     = -1
	// leastMTU is the smallest that a network of IPv4 may have (RFC 791); what
	// tells less is not to be believed.
	leastMTU = 68
)

// headers is what a packet of TCP has beside the largest segment.
func headers(a netip.Addr) int {
	if a.Is6() {
		return 40 + tcpHeader
	}
	return 20 + tcpHeader
}

// standingOf reads where a connected TCP socket stands.
func standingOf(fd int) (Standing, error) {
	var out Standing
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return out, fmt.Errorf("TCP_INFO: %w", err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return out, err
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return out, err
	}
	out.From, out.To = addressOf(local), addressOf(peer)
	out.Announced, out.RTT = int(info.Advmss), time.Duration(info.Rtt)*time.Microsecond
	if info.Options&optTimestamps != 0 {
		out.Announced += timestampOption // taken off when the peer agreed to them (tcp_rcv_synsent_state_process)
	}
	out.DataIn, out.OctetsIn, out.counted = info.Data_segs_in, info.Bytes_received, countedOf(info)
	return out, repaired(fd, &out)
}

// InitialSequence is the sequence number with which a TCP socket has begun to
// connect, as long as it has sent no data.
func InitialSequence(fd int) (uint32, error) {
	var s Standing
	err := repaired(fd, &s)
	return s.Sequence - 1, err // of SYN
}

// repaired reads what can be read in repair mode only: the sequence numbers, and
// the peer's MSS. In normal mode the kernel tells the smallest of this and of
// the path MTU it remembers (do_tcp_getsockopt).
func repaired(fd int, out *Standing) (err error) {
	set := func(option, value int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value) }
	if err := set(unix.TCP_REPAIR, 1); err != nil {
		return fmt.Errorf("sequence numbers: %w", err)
	}
	get := func(option int) int {
		n, getErr := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option)
		err = errors.Join(err, getErr)
		return n
	}
	err = errors.Join(err, set(unix.TCP_REPAIR_QUEUE, repairSend))
	out.Sequence = uint32(get(unix.TCP_QUEUE_SEQ))
	err = errors.Join(err, set(unix.TCP_REPAIR_QUEUE, repairReceive))
	out.Acknowledgement = uint32(get(unix.TCP_QUEUE_SEQ))
	out.peerMSS = get(unix.TCP_MAXSEG)
	if set(unix.TCP_REPAIR, repairOff) != nil {
		err = errors.Join(err, set(unix.TCP_REPAIR, 0)) // kernels before 4.19; it sends a window probe
	}
	return err
}

// Own prepares the packet for a connection of this host.
func (all *FullSizes) Own(fd int) (*FullSize, Standing, error) {
	standing, err := standingOf(fd)
	if err != nil {
		return nil, standing, err
	}
	more := headers(standing.To.Addr())
	f, err := all.Of(standing.Segment, standing.peerMSS+more)
	if err != nil {
		return nil, standing, err
	}
	f.fd, f.before = fd, standing.counted
	standing.Reply = f.way.route.MTU
	if mss := f.way.route.MSS; mss != 0 {
		standing.Reply = min(standing.Reply, mss+more)
	}
	return f, standing, nil
}

// Of prepares the packet for a connection of which this host is known to have
// an end. It has at most so many octets.
func (all *FullSizes) Of(s Segment, octets int) (*FullSize, error) {
	way, err := all.way(s.From.Addr(), s.To.Addr())
	if err != nil {
		return nil, err
	}
	f := &FullSize{Octets: min(octets, way.route.MTU), segment: s, way: way}
	if f.Octets < headers(s.To.Addr()) {
		return nil, fmt.Errorf("a TCP packet of %d octets is not possible", f.Octets)
	}
	way.packets[f.ports()] = f
	return f, nil
}

func (all *FullSizes) way(from, to netip.Addr) (*rawWay, error) {
	key := [2]netip.Addr{from, to}
	if w := all.ways[key]; w != nil {
		return w, nil
	}
	w, err := newRawWay(from, to)
	if err != nil {
		return nil, err
	}
	if all.ways == nil {
		all.ways = map[[2]netip.Addr]*rawWay{}
	}
	all.ways[key] = w
	return w, nil
}

// Hear takes in what the ways have told of the packets' sizes since the last
// time. A packet that is too large is made smaller, and named in the result.
func (all *FullSizes) Hear() []*FullSize {
	var out []*FullSize
	for _, w := range all.ways {
		out = append(out, w.hear()...)
	}
	return out
}

// Close lets go of all of them.
func (all *FullSizes) Close() {
	for _, w := range all.ways {
		_ = unix.Close(w.fd) // nothing is left to be lost
	}
	all.ways = nil
}

// Send sends the packet, once, with the mark that forbids to take it apart.
func (f *FullSize) Send() error {
	data := f.Octets - headers(f.segment.To.Addr())
	s := f.segment
	packet := oldSegment(s.From, s.To, s.Sequence-uint32(data), s.Acknowledgement, data)
	err := f.way.send(packet)
	if errors.Is(err, unix.ENOBUFS) {
		return nil // the device dropped it: lost like one that is dropped further on
	}
	return err
}

// Acknowledged reports whether the peer has answered the packet of an own
// connection; open is false when it has hung up, and answers nothing any more.
// Nothing else is on its way on an idle connection that the peer could
// acknowledge.
//
// But the peer accepts the connection again as long as the last packet of the
// handshake is lost, and may ask whether it is alive. Such a segment is answered
// from here (tcp_send_challenge_ack), and an acknowledgement is not.
func (f *FullSize) Acknowledged() (acknowledged, open bool) {
	info, err := unix.GetsockoptTCPInfo(f.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.State != unix.BPF_TCP_ESTABLISHED {
		return false, false
	}
	if acknowledged = acknowledges(f.before, countedOf(info)); acknowledged {
		delete(f.way.packets, f.ports()) // it got through, whatever is told of others
	}
	return acknowledged, true
}

func (f *FullSize) ports() ports { return ports{f.segment.From.Port(), f.segment.To.Port()} }

// acknowledges reports whether more segments without data came in than can have
// asked for one that was sent. Data is answered, too, once a segment at most.
func acknowledges(before, now counted) bool {
	answers, data := now.sent-before.sent, now.with-before.with
	return now.without-before.without > answers-min(answers, data)
}

// WithoutData counts the segments without data that came in on a TCP socket, as
// those that accept the connection are; open is false when the peer has hung up.
func WithoutData(fd int) (segments int, open bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return int(countedOf(info).without), info.State == unix.BPF_TCP_ESTABLISHED
}

// DataIn counts the segments with data that came in on a TCP socket, and the
// octets of them that were new; open is false when the peer has hung up.
func DataIn(fd int) (segments uint32, octets uint64, open bool) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, false
	}
	return info.Data_segs_in, info.Bytes_received, info.State == unix.BPF_TCP_ESTABLISHED
}

// oldSegment is a TCP segment of zeroes.
func oldSegment(from, to netip.AddrPort, sequence, acknowledged uint32, data int) []byte {
	p := make([]byte, tcpHeader+data)
	binary.BigEndian.PutUint16(p[0:], from.Port())
	binary.BigEndian.PutUint16(p[2:], to.Port())
	binary.BigEndian.PutUint32(p[4:], sequence)
	binary.BigEndian.PutUint32(p[8:], acknowledged)
	p[12], p[13] = tcpHeader/4<<4, tcpACK
	binary.BigEndian.PutUint16(p[14:], 512) // window; of an old segment nobody takes it over

	pseudo := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, unix.IPPROTO_TCP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(p)))
	sum := append(pseudo, p...)
	if len(sum)%2 != 0 {
		sum = append(sum, 0)
	}
	binary.BigEndian.PutUint16(p[16:], internetChecksum(sum))
	return p
}
