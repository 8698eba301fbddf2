package state

import (
	"fmt"
	"net/netip"
	"strings"
)

// Forward is how IPVS hands a packet to a destination.
type Forward string

// The forwarding methods of the kernel.
const (
	ForwardNAT    Forward = "nat"    // masquerading; ipvsadm -m
	ForwardDR     Forward = "dr"     // direct routing; ipvsadm -g
	ForwardTUN    Forward = "tun"    // tunnelling; ipvsadm -i
	ForwardLocal  Forward = "local"  // the destination is the director itself
	ForwardBypass Forward = "bypass" // to where the packet was going
)

// Destination is a real server inside a virtual service.
type Destination struct {
	Service        ServiceID      `json:"service"`
	Address        netip.AddrPort `json:"address"` // RIP and port
	Forward        Forward        `json:"forward"`
	Weight         uint32         `json:"weight"` // 0: no new connections
	UpperThreshold uint32         `json:"upper_threshold,omitempty"`
	LowerThreshold uint32         `json:"lower_threshold,omitempty"`
	Tunnel         Tunnel         `json:"tunnel,omitzero"` // with forward tun
}

// Tunnel is the encapsulation of a destination with forward tun. Where nothing
// is said, it is plain IP in IP, the kernel's default.
type Tunnel struct {
	Type           string `json:"type,omitempty"` // empty: ipip; otherwise gue or gre
	Port           uint16 `json:"port,omitempty"` // of gue
	Checksum       bool   `json:"checksum,omitempty"`
	RemoteChecksum bool   `json:"remote_checksum,omitempty"`
}

// Kind implements Item.
func (Destination) Kind() Kind { return KindDestination }

// Key implements Item.
func (d Destination) Key() string { return d.Service.String() + " -> " + d.Address.String() }

// Value implements Item.
func (d Destination) Value() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s weight %d", d.Forward, d.Weight)
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		fmt.Fprintf(&b, " thresholds %d..%d", d.LowerThreshold, d.UpperThreshold)
	}
	if d.Tunnel != (Tunnel{}) {
		b.WriteString(" tun-type " + d.Tunnel.Type)
		if d.Tunnel.Port != 0 {
			fmt.Fprintf(&b, " tun-port %d", d.Tunnel.Port)
		}
		if d.Tunnel.Checksum {
			b.WriteString(" tun-csum")
		}
		if d.Tunnel.RemoteChecksum {
			b.WriteString(" tun-remcsum")
		}
	}
	return b.String()
}

func serviceOf(i Item) ID { return IDOf(Service{ServiceID: i.(Destination).Service}) }

// breaksConnections: packets of a connection would go another way, or nowhere.
func breaksConnections(c Change) bool {
	before, was := c.Before.(Destination)
	after, is := c.After.(Destination)
	return was && (!is || before.Forward != after.Forward || before.Tunnel != after.Tunnel)
}
