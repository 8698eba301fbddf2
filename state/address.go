package state

import (
	"fmt"
	"net/netip"
)

// Address is an address on a network device.
type Address struct {
	Link   string       `json:"link"`
	Prefix netip.Prefix `json:"prefix"` // the address itself with its prefix length, not masked
	// Peer is the other end's address on a point-to-point device; the prefix
	// length is then the peer's.
	Peer netip.Addr `json:"peer,omitzero"`
	// Deprecated is preferred_lft 0: the kernel never chooses the address as
	// the source of a new connection. IPv6 only.
	Deprecated bool `json:"deprecated,omitempty"`
}

// Kind implements Item.
func (Address) Kind() Kind { return KindAddress }

// Key implements Item.
func (a Address) Key() string {
	if a.Peer.IsValid() {
		return fmt.Sprintf("%s peer %s/%d on %s", a.Prefix.Addr(), a.Peer, a.Prefix.Bits(), a.Link)
	}
	return a.Prefix.String() + " on " + a.Link
}

// Value implements Item.
func (a Address) Value() string {
	if a.Deprecated {
		return "preferred_lft 0"
	}
	return ""
}
