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
	// Repeats is how often a datagram was sent again.
	Repeats int `json:"repeats,omitempty"`
}

// FullSizes tells of each held TCP connection, by its local address.
type FullSizes struct {
	Sent []FullSize `json:"sent"`
}

// FullSize is a packet as large as the client's connection makes them.
type FullSize struct {
	Local        netip.AddrPort `json:"local"`
	Octets       int            `json:"octets"` // of the IP packet
	Acknowledged bool           `json:"acknowledged"`
	HungUp       bool           `json:"hung_up,omitempty"` // the peer ended the connection before
	Failed       string         `json:"failed,omitempty"`  // why it was not sent
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
