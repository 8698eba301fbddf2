package verify

import (
	"net/netip"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
)

// evidence is all that was found out about one service. It is gathered from
// the hosts, and nothing else is judged.
type evidence struct {
	probes []probe
	notes  []string // what was left out, and why
	// others counts connections that somebody else opened meanwhile; active
	// and inactive are those in the connection table before.
	others, active, inactive int
	answers                  []answer // of the VIP's network
	owners                   map[string][]owner
	ownersMissing            bool // some host's devices are not among them
	// troubles are the steps that could not be done, by the check they were for.
	troubles map[string][]string
}

// probe is one connection, as the hosts on its way know it.
type probe struct {
	client string         // host
	local  netip.AddrPort // the client's; zero where it had no route
	failed string         // why it did not connect
	// row is what the director's connection table has of it.
	director string // host
	row      *wire.Connection
	server   *inventory.RealServer // that the director chose, or that has the socket
	socket   *wire.Socket          // what the real server has of it
	requests int                   // packets the directors saw
	replies  int
	// What could not be asked. Then nothing follows from a row or a socket
	// that is not there, or from packets that nobody saw.
	noTable, noSockets, noWatch bool
}

// answer is what one host's question for the VIP brought.
type answer struct {
	host, device string   // who asked
	macs         []string // who answered
}

// owner is a device with a certain MAC address; several can share one.
type owner struct {
	host, device string
	director     bool // of the service, and in the network of the VIP
}

func (e *evidence) trouble(check string, err error) {
	if e.troubles == nil {
		e.troubles = map[string][]string{}
	}
	e.troubles[check] = append(e.troubles[check], err.Error())
}
