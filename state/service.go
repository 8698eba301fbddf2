package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// Protocol of a virtual service.
type Protocol string

// The protocols IPVS balances.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// ServiceID is what IPVS tells virtual services apart by: protocol and
// VIP:port, or a firewall mark and a family.
type ServiceID struct {
	Protocol Protocol       `json:"protocol,omitempty"`
	Address  netip.AddrPort `json:"address,omitzero"`
	FWMark   uint32         `json:"fwmark,omitempty"`
	IPv6     bool           `json:"ipv6,omitempty"` // with FWMark: the IPv6 service of that mark
}

func (id ServiceID) String() string {
	switch {
	case id.FWMark != 0 && id.IPv6:
		return fmt.Sprintf("fwmark %d -6", id.FWMark)
	case id.FWMark != 0:
		return fmt.Sprintf("fwmark %d", id.FWMark)
	default:
		return string(id.Protocol) + " " + id.Address.String()
	}
}

// Is6 reports whether the service's clients speak IPv6.
func (id ServiceID) Is6() bool { return id.IPv6 || id.Address.Addr().Is6() }

// Service is a virtual service of a director.
type Service struct {
	ServiceID
	Scheduler string `json:"scheduler"` // ipvsadm's name: rr, wlc, ...
	// Flags of the scheduler as ipvsadm names them, comma-separated, sorted:
	// flag-1, flag-2, flag-3.
	Flags string `json:"flags,omitempty"`
	// Persistence keeps a client on its server for so many seconds; 0 is off.
	Persistence uint32 `json:"persistence,omitempty"`
	// PersistenceBits is how many leading bits of the client's address count;
	// 32 for IPv4 and 128 for IPv6 unless narrowed. Always set, as in the kernel.
	PersistenceBits int `json:"persistence_bits"`
	// Engine is a persistence engine that tells a protocol's own sessions
	// apart: sip. With Persistence only.
	Engine string `json:"engine,omitempty"`
	// OnePacket schedules every UDP datagram on its own.
	OnePacket bool `json:"one_packet,omitempty"`
}

// Kind implements Item.
func (Service) Kind() Kind { return KindService }

// Key implements Item.
func (s Service) Key() string { return s.String() }

// Value implements Item.
func (s Service) Value() string {
	var b strings.Builder
	b.WriteString(s.Scheduler)
	if s.Flags != "" {
		b.WriteString(" sched-flags " + s.Flags)
	}
	if s.Persistence != 0 {
		fmt.Fprintf(&b, " persistent %d", s.Persistence)
	}
	if full := 32; s.PersistenceBits != full && (!s.Is6() || s.PersistenceBits != 128) {
		fmt.Fprintf(&b, " netmask /%d", s.PersistenceBits)
	}
	if s.Engine != "" {
		b.WriteString(" pe " + s.Engine)
	}
	if s.OnePacket {
		b.WriteString(" ops")
	}
	return b.String()
}
