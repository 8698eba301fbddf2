package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/cloudflare/ipvs"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Destinations, timeouts and removals go through cloudflare/ipvs. Virtual
// services do not: the library neither reads nor writes the persistence
// engine, so that its update of a service erases one. Nor does it know sync
// daemons. Both are plain generic netlink, here and in sync.go.

func ipvsFamily() genericFamily { return genericFamily{name: "IPVS", version: 1} }

// From linux/ip_vs.h.
const (
	ipvsCmdNewService = 1
	ipvsCmdSetService = 2
	ipvsCmdGetService = 4
	ipvsCmdNewDaemon  = 9
	ipvsCmdDelDaemon  = 10
	ipvsCmdGetDaemon  = 11

	ipvsCmdAttrService = 1
	ipvsCmdAttrDaemon  = 3

	ipvsSvcAttrAF        = 1
	ipvsSvcAttrProtocol  = 2
	ipvsSvcAttrAddr      = 3
	ipvsSvcAttrPort      = 4 // big-endian
	ipvsSvcAttrFWMark    = 5
	ipvsSvcAttrSchedName = 6
	ipvsSvcAttrFlags     = 7 // flags, mask
	ipvsSvcAttrTimeout   = 8
	ipvsSvcAttrNetmask   = 9
	ipvsSvcAttrPEName    = 11

	ipvsSvcPersistent = 0x1
	ipvsSvcOnePacket  = 0x4
	ipvsSvcSched1     = 0x8
	ipvsSvcSched2     = 0x10
	ipvsSvcSched3     = 0x20

	ipvsDaemonAttrState       = 1
	ipvsDaemonAttrMcastIfn    = 2
	ipvsDaemonAttrSyncID      = 3
	ipvsDaemonAttrSyncMaxLen  = 4
	ipvsDaemonAttrMcastGroup  = 5
	ipvsDaemonAttrMcastGroup6 = 6
	ipvsDaemonAttrMcastPort   = 7
	ipvsDaemonAttrMcastTTL    = 8

	ipvsStateMaster = 1
	ipvsStateBackup = 2
)

// ipvsLoaded reports whether the ip_vs module is there. Asking generic netlink
// for the IPVS family instead would load it.
func ipvsLoaded() bool {
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil
}

func (k *Kernel) ipvsClient() (ipvs.Client, error) {
	if k.ipvs == nil {
		c, err := ipvs.New()
		if err != nil {
			return nil, fmt.Errorf("open IPVS: %w", err)
		}
		k.ipvs = c
	}
	return k.ipvs, nil
}

// observeIPVS reads all that ip_vs keeps.
func (k *Kernel) observeIPVS(_ context.Context, host state.Host) error {
	if !ipvsLoaded() {
		return nil
	}
	for _, part := range []struct {
		what    string
		observe func(state.Host) error
	}{
		{"timeouts", k.observeTimeouts},
		{"virtual services", k.observeServices},
		{"sync daemons", k.observeSyncDaemons},
	} {
		if err := part.observe(host); err != nil {
			return fmt.Errorf("%s: %w", part.what, err)
		}
	}
	return nil
}

// encodeService writes a whole service, or with only the identity set what
// names one.
func encodeService(ae *netlink.AttributeEncoder, s state.Service) {
	bits := 32
	ae.Uint16(ipvsSvcAttrAF, unix.AF_INET)
	if s.Is6() {
		bits = 128
		ae.Uint16(ipvsSvcAttrAF, unix.AF_INET6)
	}
	if s.FWMark != 0 {
		ae.Uint32(ipvsSvcAttrFWMark, s.FWMark)
	} else {
		ae.Uint16(ipvsSvcAttrProtocol, protocolNumber(s.Protocol))
		ae.Bytes(ipvsSvcAttrAddr, s.Address.Addr().AsSlice())
		ae.Bytes(ipvsSvcAttrPort, bigEndian16(s.Address.Port()))
	}
	ae.String(ipvsSvcAttrSchedName, s.Scheduler)
	if s.Engine != "" { // absent: none
		ae.String(ipvsSvcAttrPEName, s.Engine)
	}
	flags := schedulerFlagBits(s.Flags)
	if s.Persistence != 0 {
		flags |= ipvsSvcPersistent
	}
	if s.OnePacket {
		flags |= ipvsSvcOnePacket
	}
	// The mask says which flags are meant: all of them.
	ae.Bytes(ipvsSvcAttrFlags, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, flags), ^uint32(0)))
	ae.Uint32(ipvsSvcAttrTimeout, s.Persistence)
	// The kernel refuses a service without a mask, persistent or not. IPv4's
	// is the mask itself, IPv6's the number of bits.
	if bits == 128 {
		ae.Uint32(ipvsSvcAttrNetmask, uint32(s.PersistenceBits))
	} else {
		ae.Bytes(ipvsSvcAttrNetmask, binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-s.PersistenceBits)))
	}
}

// decodeService reads one. The protocol is empty where it is none of IPVS'.
func decodeService(data []byte) (state.Service, error) {
	var (
		s              state.Service
		family, number uint16
		addr, mask     []byte
		port           uint16
		flags, timeout uint32
	)
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return s, err
	}
	for ad.Next() {
		switch ad.Type() {
		case ipvsSvcAttrAF:
			family = ad.Uint16()
		case ipvsSvcAttrProtocol:
			number = ad.Uint16()
		case ipvsSvcAttrAddr:
			addr = ad.Bytes()
		case ipvsSvcAttrPort:
			if b := ad.Bytes(); len(b) == 2 {
				port = binary.BigEndian.Uint16(b)
			}
		case ipvsSvcAttrFWMark:
			s.FWMark = ad.Uint32()
		case ipvsSvcAttrSchedName:
			s.Scheduler = ad.String()
		case ipvsSvcAttrFlags:
			if b := ad.Bytes(); len(b) == 8 {
				flags = binary.NativeEndian.Uint32(b)
			}
		case ipvsSvcAttrTimeout:
			timeout = ad.Uint32()
		case ipvsSvcAttrNetmask:
			mask = ad.Bytes()
		case ipvsSvcAttrPEName:
			s.Engine = ad.String()
		}
	}
	if err := ad.Err(); err != nil {
		return s, err
	}
	is6 := family == unix.AF_INET6
	s.PersistenceBits = maskBits(mask, is6)
	s.Flags = schedulerFlagNames(flags)
	s.OnePacket = flags&ipvsSvcOnePacket != 0
	if flags&ipvsSvcPersistent != 0 {
		s.Persistence = timeout
	}
	if s.FWMark != 0 {
		s.IPv6 = is6
		return s, nil
	}
	ip, err := ipvsAddr(addr, is6)
	if err != nil {
		return s, err
	}
	s.Address, s.Protocol = netip.AddrPortFrom(ip, port), protocolOf(number)
	return s, nil
}

// ipvsAddr reads an address: 16 bytes, of which IPv4 uses the first four.
func ipvsAddr(b []byte, is6 bool) (netip.Addr, error) {
	if !is6 && len(b) > 4 {
		b = b[:4]
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok || ip.Is6() != is6 {
		return ip, fmt.Errorf("address of %d bytes", len(b))
	}
	return ip, nil
}

// maskBits counts the leading ones. A mask with holes, which IPv4 allows, has
// no number: -1.
func maskBits(mask []byte, is6 bool) int {
	if len(mask) != 4 {
		return -1
	}
	if is6 {
		return int(binary.NativeEndian.Uint32(mask))
	}
	v := binary.BigEndian.Uint32(mask)
	for bits := range 33 {
		if v == ^uint32(0)<<(32-bits) {
			return bits
		}
	}
	return -1
}
