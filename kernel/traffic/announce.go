package traffic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Announce sends an unsolicited answer for the address on a device: a
// gratuitous ARP reply (RFC 5227 section 3), or for IPv6 an unsolicited
// neighbour advertisement with the override flag (RFC 4861 section 7.2.6). The device is
// named by its index.
func Announce(device int, mac net.HardwareAddr, ip netip.Addr) error {
	proto, to, payload := unix.ETH_P_ARP, net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, gratuitousARP(mac, ip)
	if ip.Is6() {
		// The all-nodes group ff02::1.
		proto, to, payload = unix.ETH_P_IPV6, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, unsolicitedNA(mac, ip)
	}
	// SOCK_DGRAM: the kernel writes the Ethernet header.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	addr := &unix.SockaddrLinklayer{Protocol: htons(uint16(proto)), Ifindex: device, Halen: uint8(len(to))}
	copy(addr.Addr[:], to)
	return errors.Join(unix.Sendto(fd, payload, 0, addr), unix.Close(fd))
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// gratuitousARP is an ARP reply whose sender and target are the same address
// (the layout is RFC 826's).
func gratuitousARP(mac net.HardwareAddr, ip netip.Addr) []byte {
	var b bytes.Buffer
	b.Write([]byte{0, 1, 8, 0, 6, 4, 0, 2}) // Ethernet, IPv4, lengths 6 and 4, reply
	for range 2 {
		b.Write(mac)
		b.Write(ip.AsSlice())
	}
	return b.Bytes()
}

// unsolicitedNA is a whole IPv6 packet to ff02::1 with a neighbour
// advertisement for the address.
func unsolicitedNA(mac net.HardwareAddr, ip netip.Addr) []byte {
	var na bytes.Buffer
	na.Write([]byte{136, 0, 0, 0})  // type neighbour advertisement, checksum to come
	na.Write([]byte{0x20, 0, 0, 0}) // override
	na.Write(ip.AsSlice())          // target
	na.Write([]byte{2, 1})          // option: target link-layer address, 8 octets
	na.Write(mac)
	return icmpv6Packet(ip, netip.MustParseAddr("ff02::1"), na.Bytes())
}

// icmpv6Packet is a whole IPv6 packet of neighbour discovery: hop limit 255,
// and the checksum put into the message.
func icmpv6Packet(from, to netip.Addr, message []byte) []byte {
	var pseudo bytes.Buffer // RFC 8200 section 8.1
	pseudo.Write(from.AsSlice())
	pseudo.Write(to.AsSlice())
	_ = binary.Write(&pseudo, binary.BigEndian, uint32(len(message)))
	pseudo.Write([]byte{0, 0, 0, unix.IPPROTO_ICMPV6})
	pseudo.Write(message)
	binary.BigEndian.PutUint16(message[2:], internetChecksum(pseudo.Bytes()))

	var p bytes.Buffer
	p.Write([]byte{0x60, 0, 0, 0, 0, byte(len(message)), unix.IPPROTO_ICMPV6, 255})
	p.Write(from.AsSlice())
	p.Write(to.AsSlice())
	p.Write(message)
	return p.Bytes()
}

// internetChecksum is RFC 1071's, over an even number of bytes.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
