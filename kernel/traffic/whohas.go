package traffic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// whoHasWait is how long answers are collected: devices that answer for an
	// address that is not theirs do so as fast as its owner.
	whoHasWait = 300 * time.Millisecond
	// whoHasAgain is when the question is repeated, in case it was lost.
	whoHasAgain = 150 * time.Millisecond
)

// WhoHas asks a device's network for an address, by ARP or neighbour
// discovery, and returns the MAC address of everybody who answers, each once,
// sorted. The source is the device's own address.
func WhoHas(ctx context.Context, device string, source, target netip.Addr) ([]string, error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", device, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("device %s has no Ethernet address", device)
	}
	q := arpQuestion(ifi.HardwareAddr, source, target)
	if target.Is6() {
		q = neighbourQuestion(ifi.HardwareAddr, source, target)
	}
	filter, err := bpf.Assemble(q.filter)
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0, "who-has", nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be lost
	to := &unix.SockaddrLinklayer{Protocol: htons(q.protocol), Ifindex: ifi.Index, Halen: 6}
	copy(to.Addr[:], q.to)
	if err := errors.Join(conn.SetBPF(filter), conn.Bind(&unix.SockaddrLinklayer{Protocol: htons(q.protocol), Ifindex: ifi.Index})); err != nil {
		return nil, err
	}

	found := map[string]bool{}
	buf := make([]byte, 1500)
	start := time.Now()
	for _, until := range []time.Duration{whoHasAgain, whoHasWait} {
		if err := conn.Sendto(ctx, q.packet, 0, to); err != nil {
			return nil, fmt.Errorf("device %s: %w", device, err)
		}
		if err := conn.SetReadDeadline(start.Add(until)); err != nil {
			return nil, err
		}
		for {
			n, from, err := conn.Recvfrom(context.Background(), buf, 0)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("device %s: %w", device, err)
			}
			ll, ok := from.(*unix.SockaddrLinklayer)
			if !ok || ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if mac := q.answer(buf[:n], ll.Addr[:6]); mac != nil {
				found[mac.String()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// question is a packet that asks for an address, and how to read the answers.
type question struct {
	protocol uint16 // Ethernet's
	to       net.HardwareAddr
	packet   []byte
	filter   []bpf.Instruction // passes what may be an answer
	// answer is the MAC address a packet gives for the target, nil when it is
	// no answer; sender is whom the frame came from.
	answer func(packet []byte, sender net.HardwareAddr) net.HardwareAddr
}

// arpQuestion is RFC 826's request.
func arpQuestion(mac net.HardwareAddr, source, target netip.Addr) question {
	var b bytes.Buffer
	b.Write([]byte{0, 1, 8, 0, 6, 4, 0, 1}) // Ethernet, IPv4, lengths 6 and 4, request
	b.Write(mac)
	b.Write(source.AsSlice())
	b.Write(make([]byte, 6))
	b.Write(target.AsSlice())
	return question{
		protocol: unix.ETH_P_ARP,
		to:       net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		packet:   b.Bytes(),
		filter: []bpf.Instruction{
			bpf.LoadAbsolute{Off: 6, Size: 2}, // operation
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 2, SkipTrue: 1},
			bpf.RetConstant{},
			bpf.LoadAbsolute{Off: 14, Size: 4}, // sender's IP address
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(target.AsSlice()), SkipTrue: 1},
			bpf.RetConstant{},
			bpf.RetConstant{Val: 28},
		},
		answer: func(p []byte, _ net.HardwareAddr) net.HardwareAddr {
			if len(p) < 28 || p[7] != 2 || !bytes.Equal(p[14:18], target.AsSlice()) {
				return nil
			}
			return bytes.Clone(p[8:14])
		},
	}
}

const (
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
	optionSourceMAC        = 1
	optionTargetMAC        = 2
)

// neighbourQuestion is a neighbour solicitation (RFC 4861 section 4.3) to the
// target's solicited-node group.
func neighbourQuestion(mac net.HardwareAddr, source, target netip.Addr) question {
	t := target.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
	var body bytes.Buffer
	body.Write([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}) // checksum to come
	body.Write(t[:])
	body.Write([]byte{optionSourceMAC, 1}) // of 8 octets
	body.Write(mac)
	return question{
		protocol: unix.ETH_P_IPV6,
		to:       net.HardwareAddr{0x33, 0x33, 0xff, t[13], t[14], t[15]},
		packet:   icmpv6Packet(source, group, body.Bytes()),
		filter: []bpf.Instruction{
			bpf.LoadAbsolute{Off: 6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 1},
			bpf.RetConstant{},
			bpf.LoadAbsolute{Off: 40, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: neighbourAdvertisement, SkipTrue: 1},
			bpf.RetConstant{},
			bpf.RetConstant{Val: 1500},
		},
		answer: func(p []byte, sender net.HardwareAddr) net.HardwareAddr {
			if len(p) < 64 || p[40] != neighbourAdvertisement || !bytes.Equal(p[48:64], t[:]) {
				return nil
			}
			for o := p[64:]; len(o) >= 8 && o[1] != 0 && len(o) >= int(o[1])*8; o = o[int(o[1])*8:] {
				if o[0] == optionTargetMAC {
					return bytes.Clone(o[2:8])
				}
			}
			return bytes.Clone(sender) // the option may be left out
		},
	}
}

// Neighbour looks an IPv4 address up in the neighbour table of a device; mac is
// empty when it has no entry, or none that is of use.
func Neighbour(device string, address netip.Addr) (mac string, permanent bool, err error) {
	f, err := os.Open(ProcNet + "arp")
	if err != nil {
		return "", false, err
	}
	defer f.Close() //nolint:errcheck // read only
	return scanNeighbours(f, device, address)
}

// The flags of a neighbour in /proc/net/arp, from if_arp.h.
const (
	arpComplete  = 0x02
	arpPermanent = 0x04
)

// scanNeighbours reads the table's text:
//
//	IP address       HW type     Flags       HW address            Mask     Device
//	192.168.91.30    0x1         0x6         52:54:00:aa:bb:cc     *        ens33
func scanNeighbours(r io.Reader, device string, address netip.Addr) (mac string, permanent bool, err error) {
	rows := bufio.NewScanner(r)
	for rows.Scan() {
		f := strings.Fields(rows.Text())
		if len(f) != 6 || f[0] != address.String() || f[5] != device {
			continue
		}
		flags, err := strconv.ParseUint(f[2], 0, 32)
		if err != nil {
			return "", false, fmt.Errorf("row %q of the neighbour table: %w", rows.Text(), err)
		}
		if flags&(arpComplete|arpPermanent) != 0 {
			return f[3], flags&arpPermanent != 0, nil
		}
	}
	return "", false, rows.Err()
}
