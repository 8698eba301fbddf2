package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// FullSize shows that a packet of the largest size an idle TCP connection uses
// gets through to the peer, without giving the peer's program anything: the
// packet is a segment whose data lies before what was acknowledged already, as
// of a keepalive. The peer's kernel drops the data and acknowledges it again.
type FullSize struct {
	Octets int // of the IP packet
	fd     int
	to     netip.AddrPort
	from   netip.AddrPort
	packet []byte // TCP header and data
	acks   uint32 // received before
}

const (
	tcpHeader = 20
	// What timestamps take of a segment (RFC 7323, padded), and the bit by
	// which TCP_INFO tells that both ends use them. The packet has data in
	// their place.
	timestampOption = 12
	optTimestamps   = 1
	// Queues of TCP_REPAIR, from tcp.h; and a way to end it that sends nothing.
	repairReceive = 1
	repairSend    = 2
	repairOff     = -1
)

// NewFullSize prepares the packet for a connected TCP socket.
func NewFullSize(fd int) (*FullSize, error) {
	f := &FullSize{fd: fd}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return nil, fmt.Errorf("TCP_INFO: %w", err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return nil, err
	}
	f.from, f.to = addressOf(local), addressOf(peer)
	sent, received, err := sequences(fd)
	if err != nil {
		return nil, fmt.Errorf("sequence numbers: %w", err)
	}
	data := int(info.Snd_mss)
	if info.Options&optTimestamps != 0 {
		data += timestampOption
	}
	f.packet = oldSegment(f.from, f.to, sent-uint32(data), received, data)
	f.Octets = len(f.packet) + 20
	if f.to.Addr().Is6() {
		f.Octets += 20
	}
	f.acks = pureAcks(info)
	return f, nil
}

// InitialSequence is the sequence number with which a TCP socket has begun to
// connect, as long as it has sent no data.
func InitialSequence(fd int) (uint32, error) {
	sent, _, err := sequences(fd)
	return sent - 1, err // of SYN
}

// sequences are the socket's next to send and next to receive. They can be
// read in repair mode only.
func sequences(fd int) (sent, received uint32, err error) {
	set := func(option, value int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value) }
	if err := set(unix.TCP_REPAIR, 1); err != nil {
		return 0, 0, err
	}
	get := func(queue int) uint32 {
		setErr := set(unix.TCP_REPAIR_QUEUE, queue)
		n, getErr := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
		err = errors.Join(err, setErr, getErr)
		return uint32(n)
	}
	sent, received = get(repairSend), get(repairReceive)
	if set(unix.TCP_REPAIR, repairOff) != nil {
		err = errors.Join(err, set(unix.TCP_REPAIR, 0)) // kernels before 4.19; it sends a window probe
	}
	return sent, received, err
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

// Send sends the packet, once, with the mark that forbids to take it apart.
func (f *FullSize) Send() error {
	family, level, option, probe := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	if f.to.Addr().Is6() {
		family, level, option, probe = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is left to be lost
	// A raw socket would get a copy of every TCP packet of the host.
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{}})
	if err != nil {
		return err
	}
	filter := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: nothing[0].Op, K: nothing[0].K}}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &filter),
		unix.SetsockoptInt(fd, level, option, probe),
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(f.from.Addr(), 0))),
	)
	if err != nil {
		return err
	}
	err = unix.Sendto(fd, f.packet, 0, sockaddr(netip.AddrPortFrom(f.to.Addr(), 0)))
	if errors.Is(err, unix.ENOBUFS) {
		return nil // the device dropped it: lost like one that is dropped further on
	}
	return err
}

// Acknowledged reports whether the peer has answered the packet; open is false
// when it has hung up, and answers nothing any more. Nothing else is on its way
// on an idle connection that the peer could acknowledge.
func (f *FullSize) Acknowledged() (acknowledged, open bool) {
	info, err := unix.GetsockoptTCPInfo(f.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	open = err == nil && info.State == unix.BPF_TCP_ESTABLISHED
	return open && pureAcks(info) != f.acks, open
}

// pureAcks counts the segments without data that came in.
func pureAcks(info *unix.TCPInfo) uint32 { return info.Segs_in - info.Data_segs_in }
