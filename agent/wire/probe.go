package wire

import (
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

// The methods of verify. They change nothing on the host: they open sockets,
// read tables, and listen.
const (
	// MethodProbeOpen opens connections one after the other and holds them: TCP
	// without sending anything, UDP with a datagram that must be answered.
	// Request ProbeOpenRequest, answer ProbeOpened.
	MethodProbeOpen Method = "probe-open"
	// MethodFullSize sends a packet of full size on each held TCP connection.
	// Request Nothing, answer FullSizes.
	MethodFullSize Method = "full-size"
	// MethodFullReplies sends packets of full size from the other end of such
	// connections. Request FullRepliesRequest, answer FullReplies.
	MethodFullReplies Method = "full-replies"
	// MethodDataIn waits for these at the held connections. Request
	// DataInRequest, answer DataIn.
	MethodDataIn Method = "data-in"
	// MethodProbeClose closes all held connections. Request and answer Nothing.
	MethodProbeClose Method = "probe-close"
	// MethodConnections looks clients up in the director's connection table.
	// Request ConnectionsRequest, answer flow.Connections.
	MethodConnections Method = "connections"
	// MethodSockets looks peers up in the host's TCP sockets.
	// Request SocketsRequest, answer Sockets.
	MethodSockets Method = "sockets"
	// MethodListeners lists what takes requests on the host.
	// Request ListenersRequest, answer Listeners.
	MethodListeners Method = "listeners"
	// MethodStandIn listens where nothing else does, until MethodStandInEnd or
	// the request's limit. Request StandInRequest, answer Nothing.
	MethodStandIn Method = "stand-in"
	// MethodStandInEnd stops that. Request and answer Nothing.
	MethodStandInEnd Method = "stand-in-end"
	// MethodWatchStart begins to count packets that come in at the host; a
	// watch that runs already ends. Request WatchRequest, answer Nothing.
	MethodWatchStart Method = "watch-start"
	// MethodWatchStop ends the watch. Request Nothing, answer Watched.
	MethodWatchStop Method = "watch-stop"
	// MethodWhoHas asks networks which devices have an address (ARP, ND), all
	// questions at the same time. Request WhoHasRequest, answer WhoHas.
	MethodWhoHas Method = "who-has"
	// MethodNeighbour looks an address up in the host's neighbour table.
	// Request NeighbourRequest, answer Neighbour.
	MethodNeighbour Method = "neighbour"
	// MethodEcho asks an address for echoes (ping). Request EchoRequest, answer Echo.
	MethodEcho Method = "echo"
	// MethodMACs lists the host's devices. Request Nothing, answer MACs.
	MethodMACs Method = "macs"
)

// MaxProbes is how many connections the agent opens at most for one request.
const MaxProbes = 1024

// ProbeOpenRequest says where to connect to.
type ProbeOpenRequest struct {
	Protocol state.Protocol `json:"protocol"` // tcp or udp
	Address  netip.AddrPort `json:"address"`
	Count    int            `json:"count"`
	Timeout  time.Duration  `json:"timeout"` // of each connection; nanoseconds
	Hold     time.Duration  `json:"hold"`    // until the agent closes them by itself; nanoseconds
	// Silent is for services that answer nothing: a datagram is sent once, and
	// fails only when it is refused.
	Silent bool `json:"silent,omitempty"`
	// Once keeps a datagram from being sent again. It is for services that give
	// each datagram to a real server of its own: the repeat's answer would hide
	// that the first one got none.
	Once bool `json:"once,omitempty"`
}

// ProbeOpened has a probe for each connection that was asked for, in the order
// in which they were begun.
type ProbeOpened struct {
	Probes []Probe `json:"probes"`
}

// Probe is one connection attempt as the client sees it.
type Probe struct {
	Local  netip.AddrPort `json:"local,omitzero"`   // zero where there was not even a route
	Failed string         `json:"failed,omitempty"` // why it is not open
	Mark   uint32         `json:"mark,omitempty"`   // by which hosts on the way know it: flow.Sighting; 0: not known
	// Repeats is how often the request was sent again: of TCP the packet with
	// SYN, of UDP the datagram.
	Repeats int `json:"repeats,omitempty"`
	// Took is the time from the first request until the connection was open, or
	// the answer there; nanoseconds, 0 where it failed.
	Took time.Duration `json:"took,omitempty"`
	// Late says that the repeats were for nothing: the answer to each request
	// came, that to the first one only after it had been sent again.
	Late bool `json:"late,omitempty"`
}

// FullSizes tells of each held TCP connection, by its local address.
type FullSizes struct {
	Sent []FullSize `json:"sent"`
}

// FullSize is a packet as large as the peer of the client's connection takes
// them, and the client's device and route.
type FullSize struct {
	Local        netip.AddrPort `json:"local"`
	Octets       int            `json:"octets"` // of the IP packet
	Told         *Told          `json:"told,omitempty"`
	Acknowledged bool           `json:"acknowledged"`
	HungUp       bool           `json:"hung_up,omitempty"` // the peer ended the connection before
	Lost         int            `json:"lost,omitempty"`    // how often it was not acknowledged while the connection was open
	Failed       string         `json:"failed,omitempty"`  // why it was not sent

	// For the packet in the other direction: how large the client's device and
	// route let it be, the MSS that the client announced, and where the
	// connection stands.
	Reply           int           `json:"reply,omitempty"` // octets of the IP packet
	Announced       int           `json:"announced,omitempty"`
	Sequence        uint32        `json:"sequence,omitempty"`        // the client's next
	Acknowledgement uint32        `json:"acknowledgement,omitempty"` // what the client has of the peer
	RTT             time.Duration `json:"rtt,omitempty"`             // nanoseconds
	Received
}

// Told is a size that somebody on the way told the sender of a larger packet: path
// MTU discovery (RFC 1191, RFC 8201).
type Told struct {
	Octets int        `json:"octets"`
	By     netip.Addr `json:"by,omitzero"`
}

// Received counts what came in on a TCP connection.
type Received struct {
	Segments uint32 `json:"segments,omitempty"` // with data
	New      uint64 `json:"new,omitempty"`      // octets of data that had not come before
}

// FullRepliesRequest says which packets to send.
type FullRepliesRequest struct {
	Replies []FullReply `json:"replies"`
	// Wait is how long to listen to who tells a smaller size, which is then
	// sent; nanoseconds.
	Wait time.Duration `json:"wait"`
}

// FullReply is a packet of so many octets at most from the host to a peer of
// its TCP connections.
type FullReply struct {
	From            netip.AddrPort `json:"from"`
	To              netip.AddrPort `json:"to"`
	Sequence        uint32         `json:"sequence"`        // the host's next
	Acknowledgement uint32         `json:"acknowledgement"` // what it has of the peer
	Octets          int            `json:"octets"`
}

// FullReplies has an answer for each packet, in their order.
type FullReplies struct {
	Sent []FullReplySent `json:"sent"`
}

// FullReplySent is what was sent, which can be less than was asked for: the
// host's device and route have a say, too.
type FullReplySent struct {
	Octets int    `json:"octets"`
	Told   *Told  `json:"told,omitempty"`
	Failed string `json:"failed,omitempty"` // why it was not sent
}

// DataInRequest names held connections, by their local address, with what had
// come in before.
type DataInRequest struct {
	Before []DataInOf    `json:"before"`
	Wait   time.Duration `json:"wait"` // until something came in on each; nanoseconds
}

// DataInOf is what came in on one connection.
type DataInOf struct {
	Local netip.AddrPort `json:"local"`
	Received
	HungUp bool `json:"hung_up,omitempty"` // the peer ended the connection
}

// DataIn has what came in by now on each connection that is still held.
type DataIn struct {
	Now []DataInOf `json:"now"`
}

// ConnectionsRequest names a service of the director, the addresses at which
// it was used, and clients of it.
type ConnectionsRequest struct {
	Service   state.ServiceID  `json:"service"`
	Addresses []netip.AddrPort `json:"addresses"`
	Clients   []netip.AddrPort `json:"clients"`
}

// SocketsRequest names local ports and the ports of peers. Addresses are not
// asked for, so that a rewritten one is found, too.
type SocketsRequest struct {
	Ports []uint16 `json:"ports"`
	Peers []uint16 `json:"peers"`
}

// Sockets is what the host's socket table has of the peers.
type Sockets struct {
	Found []flow.Socket `json:"found,omitempty"` // in no order
}

// ListenersRequest asks for one protocol's.
type ListenersRequest struct {
	Protocol state.Protocol `json:"protocol"` // tcp or udp
}

// Listeners are the addresses at which the host takes requests. An unspecified
// one stands for all of its family; a socket of IPv6 that takes IPv4, too, is there
// for both.
type Listeners struct {
	Addresses []netip.AddrPort `json:"addresses,omitempty"`
}

// StandInRequest says where to listen: TCP connections are taken and held, UDP
// datagrams sent back.
type StandInRequest struct {
	Protocol  state.Protocol   `json:"protocol"`
	Addresses []netip.AddrPort `json:"addresses"` // of the host
	Limit     time.Duration    `json:"limit"`     // nanoseconds
}

// WatchRequest says which packets to count: each by the first pattern that
// matches.
type WatchRequest struct {
	Patterns []flow.Pattern `json:"patterns"`
	Limit    time.Duration  `json:"limit"` // the watch ends by itself; nanoseconds
}

// Watched is what came in at the host, on any device.
type Watched struct {
	Seen []flow.Sighting `json:"seen,omitempty"` // in no order
}

// WhoHasRequest has one or more questions.
type WhoHasRequest struct {
	Questions []Question `json:"questions"`
}

// Question says what to ask and where.
type Question struct {
	Device string     `json:"device"`
	Source netip.Addr `json:"source"` // the device's own address
	Target netip.Addr `json:"target"`
}

// WhoHas has an answer to each question, in their order.
type WhoHas struct {
	Answers []Answers `json:"answers"`
}

// Answers lists the MAC addresses that answered a question, each once, sorted.
type Answers struct {
	MACs   []string `json:"macs,omitempty"`
	Failed string   `json:"failed,omitempty"` // why it could not be asked
}

// NeighbourRequest says what to look up.
type NeighbourRequest struct {
	Device  string     `json:"device"`
	Address netip.Addr `json:"address"` // IPv4
}

// Neighbour is an entry of the neighbour table; without a MAC address there is none.
type Neighbour struct {
	MAC       string `json:"mac,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
}

// EchoRequest says whom to ask, from which of the host's addresses.
type EchoRequest struct {
	From    netip.Addr    `json:"from"`
	To      netip.Addr    `json:"to"`
	Timeout time.Duration `json:"timeout"` // nanoseconds
}

// Echo is how that went: the first answer ends it.
type Echo struct {
	Asked    int    `json:"asked"`
	Answered bool   `json:"answered"`
	Failed   string `json:"failed,omitempty"` // why nothing could be sent
}

// MACs gives each device's MAC address by the device's name; devices that have
// none are left out.
type MACs struct {
	Devices map[string]string `json:"devices"`
}
