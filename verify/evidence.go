package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// evidence is all that was found out about one service. It is gathered from
// the hosts, and nothing else is judged.
type evidence struct {
	probes []probe
	notes  []string // what was left out, and why
	once   bool     // no request could be sent again
	// others counts connections that somebody else opened meanwhile; active
	// and inactive are those in the connection table before, and templates the
	// clients that a persistent service already kept on their servers.
	others, active, inactive, templates int
	answers                             []answer // of the VIP's network
	locals                              []localAnswer
	neighbours                          []neighbour
	owners                              map[string][]owner
	ownersMissing                       bool // some host's devices are not among them
	// broken is why no probe could be sent, where that is the service's fault.
	broken []string
	// missing is what could not be asked, by the check it was for.
	missing map[string][]*fault.Error
}

// probe is one connection, as the hosts on its way know it.
type probe struct {
	client string         // host
	entry  netip.AddrPort // where the client sent it
	vip    netip.AddrPort // where the director gets it
	local  netip.AddrPort // the client's; zero where it had no route
	from   netip.AddrPort // what that has become at a director; zero: nothing else
	failed string         // why it did not connect, or was not answered
	// mark is what tells it from others wherever it is seen, however
	// translated (flow.Sighting); 0 if not known. repeats is how often the
	// request was sent again, and took the time until it was answered.
	mark    uint32
	repeats int
	took    time.Duration
	late    bool // the repeats were for nothing: each was answered
	// row is what the director's connection table has of it.
	director string // host
	row      *flow.Connection
	server   *inventory.RealServer // that the director chose, or that got it
	// arrived is what came in at the real server, wrapped what brought it there
	// in a tunnel, and socket what took it.
	arrived, wrapped *flow.Sighting
	socket           *flow.Socket
	requests         int // packets the directors saw
	replies          int
	repliedAt        string // director that saw a reply
	full             *wire.FullSize
	reply            *fullReply
	// What could not be asked. Then nothing follows from a row or a socket
	// that is not there, or from packets that nobody saw: at the directors, or
	// at the real server.
	noTable, noSockets, noWatch, noArrival bool
	// Of a service that answers nothing: what arrives is enough. It is not known
	// whether an unproven one did, to a program that takes it.
	silent, unproven bool
}

// source is the client's address as the director sees it.
func (p *probe) source() netip.Addr {
	if p.from.IsValid() {
		return p.from.Addr()
	}
	return p.local.Addr()
}

// saw is the source and destination that the real server saw: those of its
// socket, or else of the packet that came in.
func (p *probe) saw() (from, to netip.AddrPort, ok bool) {
	switch {
	case p.socket != nil:
		return p.socket.Remote, p.socket.Local, true
	case p.arrived != nil:
		return p.arrived.From, p.arrived.To, true
	default:
		return netip.AddrPort{}, netip.AddrPort{}, false
	}
}

// beforeDirector reports whether what was seen of the probe is only how it came in
// at a director that is the real server, and that changes its destination after.
func (p *probe) beforeDirector(s *inventory.Service) bool {
	if p.socket != nil || p.server == nil {
		return false
	}
	t := modes.TraitsFor(s, p.server)
	return t.Local && !t.KeepsDestination
}

// untold says why nobody saw what became of the probe at its real server.
func (p *probe) untold() string {
	if p.server == nil {
		return "may have come to a real server whose packets could not be told apart"
	}
	return fmt.Sprintf("given to %s, whose packets could not be told apart", p.server.Host.Name)
}

// refused reports whether the client was told that nothing listens, which is an
// answer, too.
func (p *probe) refused() bool { return p.failed == syscall.ECONNREFUSED.Error() }

// replyStopped reports whether a reply came to a director, and the client got none.
func (p *probe) replyStopped() bool { return p.failed != "" && !p.refused() && p.replies != 0 }

// answer is what one host's question for the VIP brought.
type answer struct {
	host, device string   // who asked
	macs         []string // who answered
}

// localAnswer is an answer about an address of the directors.
type localAnswer struct {
	address netip.Addr
	answer
}

// neighbour is what one host that must know the VIP's MAC for good has for it.
type neighbour struct {
	host, device string
	wire.Neighbour
}

// owner is a device with a certain MAC address; several can share one.
type owner struct {
	host, device string
	director     bool // of the service, and in the network of the VIP
}

func (e *evidence) trouble(check string, err error) {
	if e.missing == nil {
		e.missing = map[string][]*fault.Error{}
	}
	// Several questions of one step can fail alike.
	f := fault.From(err)
	if !slices.ContainsFunc(e.missing[check], func(m *fault.Error) bool { return m.Message == f.Message }) {
		e.missing[check] = append(e.missing[check], f)
	}
}
