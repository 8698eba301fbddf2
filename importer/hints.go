package importer

import (
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// Hints are what a user tells beside the source.
type Hints struct {
	Topology string // its name; empty: the director's
	Source   string // what the source is called, for the first line
	File     string // the inventory's name in messages
	Networks []NamedPrefix
	NIC      string // the name of NICs that nothing tells
	// Directors are addresses of the one director that a text is for, each
	// after the other on a NIC of its own, but for the two families on one. One
	// without an address tells the name only.
	Directors []DirectorHint
	Gateways  []netip.Addr // the director's default routes
	Marks     []Mark
	// Lab asks for what a lab needs beside a text: a client, a router, servers
	// that answer, and whatever is not told. Live ignores it.
	Lab bool
}

// NamedPrefix is a network's prefix with the name it is to have.
type NamedPrefix struct {
	Name   string
	Prefix netip.Prefix // masked
}

// DirectorHint is an address of the director.
type DirectorHint struct {
	Name    string
	Address netip.Prefix // of full length: the network's prefix is not told; zero: no address
	NIC     string       // empty: not told
}

// Mark is a firewall mark, and which packets have it.
type Mark struct {
	Mark     uint32
	VIP      netip.Addr
	Ports    []uint16
	Protocol inventory.Protocol
}

// Unknown is what neither the source nor the hints tell and nobody should
// guess. As an error it is one line a fact.
type Unknown []string

func (u Unknown) Error() string { return strings.Join(u, "\n") }
