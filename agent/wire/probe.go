package wire

import (
	"net/netip"
	"time"

	"github.com/lvsform/lvsform/state"
)

// The methods of verify. They change nothing on the host: they open sockets,
// read tables, and listen.
const (
	// MethodProbeOpen opens TCP connections one after the other, sends nothing
	// on them, and holds them. Request ProbeOpenRequest, answer ProbeOpened.
	MethodProbeOpen Method = "probe-open"
	// MethodProbeClose closes all held connections. Request and answer Nothing.
	MethodProbeClose Method = "probe-close"
	// MethodConnections looks clients up in the director's connection table.
	// Request ConnectionsRequest, answer Connections.
	MethodConnections Method = "connections"
	// MethodSockets looks peers up in the host's TCP sockets.
	// Request SocketsRequest, answer Sockets.
	MethodSockets Method = "sockets"
	// MethodWatchStart begins to count the packets between a service and a
	// client; a watch that runs already ends. Request WatchRequest, answer Nothing.
	MethodWatchStart Method = "watch-start"
	// MethodWatchStop ends the watch. Request Nothing, answer Watched.
	MethodWatchStop Method = "watch-stop"
	// MethodWhoHas asks a network which devices have an address (ARP, ND).
	// Request WhoHasRequest, answer WhoHas.
	MethodWhoHas Method = "who-has"
	// MethodMACs lists the host's devices. Request Nothing, answer MACs.
	MethodMACs Method = "macs"
)

// ProbeHold is how long the agent holds connections that nobody closes.
const ProbeHold = 30 * time.Second

// MaxProbes is how many connections the agent opens at most for one request.
const MaxProbes = 1024

// ProbeOpenRequest says where to connect to.
type ProbeOpenRequest struct {
	Address netip.AddrPort `json:"address"`
	Count   int            `json:"count"`
	Timeout time.Duration  `json:"timeout"` // of each connection; nanoseconds
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
}

// ConnectionsRequest names a service of the director and clients of it.
type ConnectionsRequest struct {
	Service state.ServiceID  `json:"service"`
	Clients []netip.AddrPort `json:"clients"`
}

// Connections is what the director's connection table has of a service.
type Connections struct {
	Found []Connection `json:"found,omitempty"` // of the clients asked for, in no order
	// Active and Inactive count the service's other connections, as IPVS does.
	Active   int `json:"active"`
	Inactive int `json:"inactive"`
}

// Connection is one row of the table.
type Connection struct {
	Client      netip.AddrPort `json:"client"`
	Destination netip.AddrPort `json:"destination"` // the real server that was chosen
	State       string         `json:"state"`       // ESTABLISHED, SYN_RECV, ...
}

// SocketsRequest names a local port and the ports of peers. Addresses are not
// asked for, so that a rewritten one is found, too.
type SocketsRequest struct {
	Port  uint16   `json:"port"`
	Peers []uint16 `json:"peers"`
}

// Sockets is what the host's socket table has of the peers.
type Sockets struct {
	Found []Socket `json:"found,omitempty"` // in no order
}

// Socket is one TCP connection as the host sees it.
type Socket struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	State  string         `json:"state"` // ESTABLISHED, SYN_RECV, ...
}

// WatchRequest says which packets to count.
type WatchRequest struct {
	Service netip.AddrPort `json:"service"` // TCP
	Clients []netip.Addr   `json:"clients"` // a client host's addresses
	Limit   time.Duration  `json:"limit"`   // the watch ends by itself; nanoseconds
}

// Watched is what came in at the host, on any device.
type Watched struct {
	Flows []Flow `json:"flows,omitempty"` // of the client host, in no order
	// Others counts connection requests to the service from elsewhere.
	Others int `json:"others"`
}

// Flow counts the packets of one connection.
type Flow struct {
	Client   netip.AddrPort `json:"client"`
	Opening  int            `json:"opening"`  // of the requests, those that open a connection
	Requests int            `json:"requests"` // from the client to the service
	Replies  int            `json:"replies"`  // from the service to the client
}

// WhoHasRequest says what to ask and where.
type WhoHasRequest struct {
	Device string     `json:"device"`
	Source netip.Addr `json:"source"` // the device's own address
	Target netip.Addr `json:"target"`
}

// WhoHas lists the MAC addresses that answered, each once, sorted.
type WhoHas struct {
	MACs []string `json:"macs,omitempty"`
}

// MACs gives each device's MAC address by the device's name; devices that have
// none are left out.
type MACs struct {
	Devices map[string]string `json:"devices"`
}
