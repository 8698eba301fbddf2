package state

import (
	"fmt"
	"net/netip"
)

// The types of tunnel devices, in the words of ip-link(8).
const (
	TunnelIPIP   = "ipip"   // IPv4 in IPv4
	TunnelGRE    = "gre"    // anything in IPv4
	TunnelSIT    = "sit"    // IPv6 in IPv4
	TunnelIP6TNL = "ip6tnl" // IPv4 or IPv6 in IPv6
	TunnelIP6GRE = "ip6gre" // anything in IPv6
)

// TunnelLink is a tunnel device of its own, made for a purpose; not one of the
// fallback devices (tunl0, gre0, ip6tnl0) that come with the kernel's modules.
// It is created down; Up brings it up.
type TunnelLink struct {
	Name   string     `json:"name"`
	Type   string     `json:"type"`
	Local  netip.Addr `json:"local,omitzero"`  // zero: any
	Remote netip.Addr `json:"remote,omitzero"` // zero: any
	// TTL of the outer header; 0 inherits the inner one's, and over IPv6 is the
	// route's usual hop limit.
	TTL uint8 `json:"ttl,omitempty"`
	// Checksum of gre and ip6gre: sends one, and takes no packet without.
	Checksum bool `json:"checksum,omitempty"`
}

// InPlace reports whether the kernel makes one version of a tunnel of another.
// It takes no other type; no far end where it had one, and the reverse
// (ip_tunnel_changelink: the device would no longer be point-to-point); and
// lvsform does not ask it for another header of gre. Such a device is made anew.
func (t TunnelLink) InPlace(other TunnelLink) bool {
	return t.Type == other.Type && t.Remote.IsValid() == other.Remote.IsValid() && t.Checksum == other.Checksum
}

// SameEnds reports whether two tunnels would take the same packets: the kernel
// has one device for them.
func (t TunnelLink) SameEnds(other TunnelLink) bool {
	return t.Type == other.Type && t.Local == other.Local && t.Remote == other.Remote
}

// unlessInPlace: a tunnel that is removed or made anew loses what is in it.
func unlessInPlace(c Change) bool {
	before, was := c.Before.(TunnelLink)
	after, is := c.After.(TunnelLink)
	return was && (!is || !before.InPlace(after))
}

// Kind implements Item.
func (TunnelLink) Kind() Kind { return KindTunnel }

// Key implements Item.
func (t TunnelLink) Key() string { return t.Name }

// Value implements Item.
func (t TunnelLink) Value() string {
	s := t.Type
	if t.Local.IsValid() {
		s += " local " + t.Local.String()
	}
	if t.Remote.IsValid() {
		s += " remote " + t.Remote.String()
	}
	if t.TTL != 0 {
		s += fmt.Sprintf(" ttl %d", t.TTL)
	}
	if t.Checksum {
		s += " csum"
	}
	return s
}
