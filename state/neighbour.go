package state

import "net/netip"

// Neighbour is a permanent entry of a device's neighbour table. What the
// kernel learns by itself is none of these.
type Neighbour struct {
	Link    string     `json:"link"`
	Address netip.Addr `json:"address"`
	MAC     string     `json:"mac"` // lower case, colons
}

// Kind implements Item.
func (Neighbour) Kind() Kind { return KindNeighbour }

// Key implements Item.
func (n Neighbour) Key() string { return n.Address.String() + " dev " + n.Link }

// Value implements Item.
func (n Neighbour) Value() string { return "lladdr " + n.MAC + " permanent" }
