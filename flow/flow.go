// Package flow is the vocabulary of what hosts see of traffic, as plain values:
// packets that came in, rows of a connection table, sockets. It does no I/O.
package flow

import (
	"hash/fnv"
	"net/netip"

	"github.com/lvsform/lvsform/state"
)

// Pattern says which packets a watch looks for. What is empty matches
// anything. A packet that was translated on its way is matched as it came in.
type Pattern struct {
	Protocol  state.Protocol `json:"protocol"`       // tcp, udp or icmp (ICMPv6 in IPv6)
	From      []netip.Addr   `json:"from,omitempty"` // of one family
	To        []netip.Addr   `json:"to,omitempty"`   // of the same family; From and To are not both empty
	FromPorts []uint16       `json:"from_ports,omitempty"`
	ToPorts   []uint16       `json:"to_ports,omitempty"`
	Opening   bool           `json:"opening,omitempty"` // of TCP only what has SYN set
	// Wrapped looks for the packet inside of another one: of a tunnel by ipip,
	// GRE or GUE, in either family.
	Wrapped bool `json:"wrapped,omitempty"`
	// Others looks for packets that may be anybody's, and so many that a watch
	// cannot tell them all apart, or misses some, or has no room to look for them.
	// What it misses is no error: a sighting without addresses counts it. A packet that a pattern without
	// Others matches, too, is not seen again.
	Others bool `json:"others,omitempty"`
}

// Is6 reports whether the pattern's addresses are of IPv6.
func (p Pattern) Is6() bool {
	if len(p.To) == 0 {
		return p.From[0].Is6()
	}
	return p.To[0].Is6()
}

// Sighting counts the packets that look the same. Without addresses it counts
// those that were not told apart.
type Sighting struct {
	// Tunnel is ipip, gre or gue when the packet was inside of another one,
	// whose addresses, and for gue the port, follow.
	Tunnel    string     `json:"tunnel,omitempty"`
	OuterFrom netip.Addr `json:"outer_from,omitzero"`
	OuterTo   netip.Addr `json:"outer_to,omitzero"`
	OuterPort uint16     `json:"outer_port,omitempty"`

	From    netip.AddrPort `json:"from,omitzero"`
	To      netip.AddrPort `json:"to,omitzero"`
	Opening bool           `json:"opening,omitempty"` // TCP with SYN set
	// Mark tells packets of one conversation by what no translation on the way
	// changes: of TCP with SYN the client's initial sequence number, of UDP what
	// DatagramMark makes of the payload, of ICMP identifier and number of an
	// echo. It is 0 where there is none.
	Mark uint32 `json:"mark,omitempty"`
	// MSS is what a TCP packet with SYN announces as its sender's largest
	// segment, as it arrived: who forwards it can have lowered it. 0 where it
	// announces none.
	MSS   uint16 `json:"mss,omitempty"`
	Count int    `json:"count"`
}

// DatagramMark is the mark of a datagram with the payload. It is made of more
// octets than a DNS query's number, which many clients use.
func DatagramMark(payload []byte) uint32 {
	const octets = 32
	if len(payload) < 4 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write(payload[:min(len(payload), octets)]) // never fails
	return h.Sum32()
}

// Connections is what the director's connection table has of one service.
type Connections struct {
	Found []Connection `json:"found,omitempty"` // of the clients that were asked for, in no order
	// Active and Inactive count the service's other connections, as the
	// schedulers do.
	Active   int `json:"active"`
	Inactive int `json:"inactive"`
	// Templates counts the clients that a persistent service keeps on their
	// real servers.
	Templates int `json:"templates,omitempty"`
}

// Connection is one row of the table (/proc/net/ip_vs_conn).
type Connection struct {
	Client      netip.AddrPort `json:"client"`
	Destination netip.AddrPort `json:"destination"` // the real server that was chosen
	State       string         `json:"state"`       // as the kernel names it: ESTABLISHED, SYN_RECV, ...
}

// Socket is one TCP connection as a host sees it.
type Socket struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	State  string         `json:"state"` // as ss(8) and IPVS name it: ESTABLISHED, SYN_RECV, ...
}
