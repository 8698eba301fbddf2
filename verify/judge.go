package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
)

// The checks, in the order of a report. Their names are part of the output.
const (
	checkReachability   = "reachability"               // every probe connected, or was answered
	checkServerKnown    = "real-server-known"          // director and real server both have every probe
	checkSourceClient   = "source-is-client"           // the real server saw CIP
	checkSourceDirector = "source-is-director"         // the real server saw DIP, or one of the local addresses
	checkDestVIP        = "destination-is-vip"         // the real server saw VIP and port
	checkDestServer     = "destination-is-real-server" // the real server saw RIP and its own port
	checkTunnelled      = "tunnel-to-real-server"      // the request came in the right tunnel from the director
	checkBypass         = "replies-bypass-director"    // replies do not come back through the director
	checkThrough        = "replies-through-director"   // replies do
	checkRequests       = "requests-through-director"  // replies: none; requests came through the director
	checkFullSize       = "full-size-packets"          // the largest packets the client sends get through
	checkFullReplies    = "full-size-replies"          // the largest packets the real server sends do
	checkOneMAC         = "one-mac-for-vip"            // the director alone answers ARP or ND
	checkLocals         = "mac-for-local-addresses"    // the directors alone answer for local_addresses
	checkNeighbour      = "neighbour-is-director"      // arp: static; the VIP's senders know the director's MAC
	checkPersistence    = "persistence"                // a client keeps its real server
	checkDistribution   = "distribution"               // the real servers' shares fit the scheduler
	checkLoss           = "loss"                       // few requests had to be sent again

	// Of tunnels.
	checkBothWays = "reach-both-ways" // each end is answered by the other
	checkOuter    = "outer-header"    // in packets of the right type, between the right addresses
)

// What failed steps are filed under that several checks rest on.
const (
	checkReplies = "replies" // the directors' watch
	checkArrival = "arrival" // the real servers' watch
)

// judge turns evidence into a verdict. It is pure.
func judge(s *inventory.Service, ev *evidence) Service {
	out := Service{Name: s.Name, Mode: string(s.Mode), Probes: []Probe{}, Notes: ev.notes}
	if why := cannotVerify(s); why != "" {
		f := finding{missing: []*fault.Error{fault.New(fault.Unsupported, "not verified: %s", why)}}
		out.Checks = []Check{f.check(checkReachability)}
		out.Outcome = outcomeOf(out.Checks)
		return out
	}
	for _, p := range ev.probes {
		out.Probes = append(out.Probes, p.report(s))
	}
	out.Checks = append(out.Checks, judgeReachability(s, ev), judgeServerKnown(s, ev))
	out.Checks = append(out.Checks, judgeRows(s, ev)...)
	if s.Protocol == inventory.TCP {
		checks, notes := judgeFullSize(ev)
		out.Checks, out.Notes = append(out.Checks, checks...), append(out.Notes, notes...)
		checks, notes = judgeFullReplies(ev)
		out.Checks, out.Notes = append(out.Checks, checks...), append(out.Notes, notes...)
	}
	out.Checks = append(out.Checks, judgeOwner(s, ev)...)
	out.Checks = append(out.Checks, judgeLocals(s, ev)...)
	if s.Persistence.Timeout != 0 && s.Persistence.Engine == "" {
		out.Checks = append(out.Checks, judgePersistence(s, ev))
	}
	out.Checks = append(out.Checks, judgeDistribution(s, ev))
	if !ev.once {
		check, notes := judgeLoss(s, ev)
		out.Checks, out.Notes = append(out.Checks, check), append(out.Notes, notes...)
	}
	out.Notes = append(out.Notes, unproven(s, ev)...)
	out.Outcome = outcomeOf(out.Checks)
	return out
}

// outcomeOf is that of all checks together.
func outcomeOf(checks []Check) Outcome {
	var list []Outcome
	for _, c := range checks {
		list = append(list, c.Outcome)
	}
	return together(list)
}

// cannotVerify says why there is no way to verify the service.
func cannotVerify(s *inventory.Service) string {
	if s.Protocol == inventory.SCTP {
		// A socket would load the module sctp, and verify changes nothing.
		return "lvsform has no probe for sctp"
	}
	return ""
}

// unproven names the real servers of which the probes prove nothing.
func unproven(s *inventory.Service, ev *evidence) []string {
	var names []string
	for _, r := range s.RealServers {
		if r.Weight != 0 && !slices.ContainsFunc(ev.probes, func(p probe) bool { return p.server == r }) {
			names = append(names, r.Host.Name)
		}
	}
	if len(names) == 0 || len(names) == len(s.RealServers) {
		return nil // or all failed, which the checks tell
	}
	if slices.ContainsFunc(ev.probes, func(p probe) bool { return p.server == nil && (p.noTable || p.noArrival || p.noSockets) }) {
		return []string{"it is not known whether a probe came to " + strings.Join(names, ", ") + ", so this run proves nothing about it"}
	}
	return []string{"no probe came to " + strings.Join(names, ", ") + ", so this run proves nothing about it"}
}

func (p *probe) report(s *inventory.Service) Probe {
	out := Probe{Client: p.client, Stage: p.stage(), Requests: p.requests, Replies: p.replies, Repeats: p.repeats, Microseconds: int(p.took.Microseconds()), Late: p.late}
	if p.entry != p.vip {
		out.Entry = p.entry
	}
	if p.server != nil {
		out.RealServer = p.server.Host.Name
		if p.server.Mode != s.Mode {
			out.Mode = string(p.server.Mode)
		}
	}
	if p.wrapped != nil {
		out.Tunnel = outerOf(p.wrapped)
	}
	if !p.beforeDirector(s) {
		out.Source, out.Destination, _ = p.saw()
	}
	if p.failed != "" {
		out.Error = p.failed
		if p.local.IsValid() {
			out.Error = fmt.Sprintf("from %s: %s", p.local, p.failed)
		}
	}
	return out
}

// tally counts equal sentences, in the order in which they first came.
type tally struct {
	texts  []string
	counts map[string]int
}

func (t *tally) add(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	if t.counts[text]++; t.counts[text] == 1 {
		t.texts = append(t.texts, text)
	}
}

// total is how many probes the sentences are of.
func (t *tally) total() (n int) {
	for _, c := range t.counts {
		n += c
	}
	return n
}

// lines are the sentences, each after the number of probes it is true of.
func (t *tally) lines() []string {
	var out []string
	for _, text := range t.texts {
		out = append(out, count(t.counts[text], "probe")+" "+text)
	}
	return out
}

// succeeded is what a probe must have done.
func succeeded(s *inventory.Service) string {
	if !s.Answers() {
		return "arrived"
	}
	if s.Protocol == inventory.UDP {
		return "answered"
	}
	return "connected"
}

func judgeReachability(s *inventory.Service, ev *evidence) Check {
	var wrong, open tally
	connected, slowest := 0, time.Duration(0)
	for _, p := range ev.probes {
		switch {
		case p.unproven:
			open.add("from %s: whether it arrived is not known", p.client)
			continue
		case p.failed == "":
			connected++
			slowest = max(slowest, p.took)
			continue
		}
		wrong.add("from %s: %s (%s)", p.client, p.failed, p.trail(s))
	}
	if len(ev.probes)+len(ev.broken) == 0 && ev.missing[checkReachability] == nil {
		f := finding{missing: []*fault.Error{fault.New(fault.Input, "no probe was sent: the inventory has no client for this service")}}
		return f.check(checkReachability)
	}
	seen := ""
	if len(ev.probes) != 0 {
		seen = fmt.Sprintf("%d of %s %s", connected, count(len(ev.probes), "probe"), succeeded(s))
		if n := ports(ev); n > 1 {
			seen += fmt.Sprintf(" on %d ports", n)
		}
		if slowest >= slow {
			seen += fmt.Sprintf(", the slowest after %d ms", slowest.Milliseconds())
		}
	}
	return ev.check(checkReachability, finding{
		wrong: append(wrong.lines(), ev.broken...), open: open.lines(), seen: seen, facts: Facts{Counted: len(ev.probes), Right: connected},
	})
}

func ports(ev *evidence) int {
	found := map[uint16]bool{}
	for _, p := range ev.probes {
		found[p.vip.Port()] = true
	}
	return len(found)
}

// trail says in words how far a probe came that was not answered.
func (p *probe) trail(s *inventory.Service) string {
	switch {
	case p.stage() == StageNotSent:
		return "the client sent nothing"
	case p.silent && p.arrived != nil:
		return fmt.Sprintf("it came to %s %s", p.server.Host.Name, p.asArrived())
	case s.OnePacket:
		return p.trailOfOnePacket()
	case p.row == nil:
		return p.trailWithoutRow()
	case p.server == nil:
		return fmt.Sprintf("%s gave it to %s, which is no real server of the service", p.director, p.row.Destination)
	}
	given := fmt.Sprintf("%s gave it to %s and has it in state %s", p.director, p.server.Host.Name, p.row.State)
	if there := p.trailAtServer(s); there != "" {
		given += "; " + there
	}
	return given
}

// trailOfOnePacket is the trail of a datagram that no director's connection table
// is ever to have.
func (p *probe) trailOfOnePacket() string {
	switch {
	case p.server != nil:
		return "it came to " + p.server.Host.Name + p.withoutReply()
	case p.noWatch && p.noArrival:
		return "where it went is not known"
	case p.noWatch:
		return "no real server saw it"
	case p.requests == 0:
		return "it did not reach the director"
	case p.noArrival:
		return "it reached the director, and no real server that could be asked saw it"
	default:
		return "it reached the director, and no real server saw it"
	}
}

// trailWithoutRow is the trail of a probe that no director's connection table is
// known to have.
func (p *probe) trailWithoutRow() string {
	switch {
	case p.noTable && p.server != nil && p.socket != nil:
		return p.server.Host.Name + " has it" + p.inState()
	case p.noTable:
		return "where it went is not known"
	case p.server != nil && (p.requests == 0 || p.socket != nil):
		return p.server.Host.Name + " got it around the director" + p.inState()
	case p.noWatch:
		return "no director's connection table has it"
	case p.requests == 0:
		return "it did not reach the director"
	default:
		return "it reached the director, whose connection table does not have it"
	}
}

// trailAtServer is what the real server saw of a probe that the director gave to
// it; empty where the real server could not be asked.
func (p *probe) trailAtServer(s *inventory.Service) string {
	name, udp := p.server.Host.Name, s.Protocol == inventory.UDP
	switch {
	case p.socket != nil:
		return name + " has it" + p.inState() + p.lostReply()
	case p.arrived != nil && udp:
		return "it came in there " + p.asArrived() + p.withoutReply()
	case p.arrived != nil && p.wrapped != nil && !p.noSockets:
		return fmt.Sprintf("it came there in %s and was dropped behind the tunnel: %s has no such connection", outerText(p.wrapped), name)
	case p.arrived != nil && !p.noSockets:
		return fmt.Sprintf("it came in there %s, but %s has no such connection", p.asArrived(), name)
	case p.wrapped != nil:
		return fmt.Sprintf("it came there in %s and did not come out of the tunnel", outerText(p.wrapped))
	case p.noSockets || p.noArrival && udp:
		return ""
	case udp:
		return "it did not come in at " + name
	default:
		return name + " has no such connection"
	}
}

// withoutReply goes on about a datagram that came to a real server.
func (p *probe) withoutReply() string {
	switch {
	case p.refused():
		return " and was refused"
	case p.replyStopped():
		return p.lostReply()
	default:
		return " and was not answered, or the reply was lost"
	}
}

// lostReply goes on about a request that came to a real server and was answered.
func (p *probe) lostReply() string {
	if p.replyStopped() {
		return fmt.Sprintf("; its reply came to %s, and not from there to the client", p.repliedAt)
	}
	return ", so it came there and the reply was lost"
}

func (p *probe) inState() string {
	if p.socket == nil {
		return ""
	}
	return " in state " + p.socket.State
}

// asArrived names what the director may have changed, without ports of the
// client's: probes that went the same way have the same text.
func (p *probe) asArrived() string {
	return fmt.Sprintf("from %s for %s", p.arrived.From.Addr(), p.arrived.To)
}

func judgeServerKnown(s *inventory.Service, ev *evidence) Check {
	var wrong, untold tally
	connected, known := 0, 0
	where := "in the connection table of the director and among the sockets of a real server"
	switch {
	case s.OnePacket: // the director keeps no connection
		where = "among the packets that came in at a real server"
	case s.Protocol == inventory.UDP:
		where = "in the connection table of the director and among the packets that came in at a real server"
	}
	for _, p := range ev.probes {
		if p.failed != "" || p.unproven {
			continue
		}
		connected++
		_, _, seen := p.saw()
		switch {
		case p.row == nil && p.noTable && !s.OnePacket, p.socket == nil && p.noSockets, !seen && p.noArrival:
			// Who could not be asked is told by the step that failed, if one did.
			untold.add("%s", p.untold())
		case s.Protocol == inventory.TCP && p.socket == nil && p.row != nil && p.server != nil:
			wrong.add("given by %s to %s, which does not have the connection", p.director, p.server.Host.Name)
		case s.OnePacket && seen:
			known++
		case s.OnePacket:
			wrong.add("seen at no real server")
		case p.row == nil && p.server != nil:
			wrong.add("reached %s around the director, whose connection table does not have it", p.server.Host.Name)
		case p.row == nil:
			wrong.add("in no connection table of a director")
		case p.server == nil:
			wrong.add("given by %s to %s, which is no real server of the service", p.director, p.row.Destination)
		case !seen:
			wrong.add("given by %s to %s, which did not see it", p.director, p.server.Host.Name)
		default:
			known++
		}
	}
	seen := ""
	if connected != 0 {
		seen = fmt.Sprintf("%d of %s found %s", known, count(connected, succeeded(s)+" probe"), where)
	}
	f := finding{wrong: wrong.lines(), untold: untold.lines(), seen: seen, facts: Facts{Counted: connected, Right: known}}
	if s.Protocol == inventory.UDP || untold.texts != nil {
		return ev.check(checkServerKnown, f, checkArrival)
	}
	return ev.check(checkServerKnown, f)
}

// judgeFullSize checks that each connected probe's packet of full size was
// acknowledged. A real server that has hung up, or waits for data before it
// accepts, has no connection that could acknowledge anything.
func judgeFullSize(ev *evidence) (checks []Check, notes []string) {
	var wrong, open, without, told tally
	right, largest := 0, 0
	for _, p := range ev.probes {
		switch {
		case p.failed != "":
		case p.socket != nil && p.socket.State == "SYN_RECV":
			without.add("whose real server waits for data before it accepts (TCP_DEFER_ACCEPT)")
		case p.full == nil:
			open.add("had no packet of full size sent")
		case p.full.HungUp && p.full.Lost != 0:
			open.add("had no packet of %d octets acknowledged before the real server hung up", p.full.Octets)
		case p.full.HungUp:
			without.add("on which the real server hung up at once")
		case p.full.Failed != "":
			wrong.add("from %s: %s", p.client, p.full.Failed)
		case !p.full.Acknowledged:
			name := "the real server"
			if p.server != nil {
				name = p.server.Host.Name
			}
			wrong.add("connected, but %s did not acknowledge a packet of %d octets from %s%s", name, p.full.Octets, p.client, toldTo(p.full.Told))
		default:
			right++
			largest = max(largest, p.full.Octets)
			if p.full.Told != nil {
				told.add("came through after %s had told %s to send at most %d octets (path MTU discovery)", p.full.Told.By, p.client, p.full.Octets)
			}
		}
	}
	for _, line := range without.lines() {
		notes = append(notes, checkFullSize+" left out for "+line)
	}
	for _, line := range told.lines() {
		notes = append(notes, checkFullSize+": "+line)
	}
	if without.texts != nil && right == 0 && wrong.texts == nil && open.texts == nil && ev.missing[checkFullSize] == nil {
		return nil, notes
	}
	seen := ""
	if right != 0 {
		seen = fmt.Sprintf("packets of up to %d octets were acknowledged in %s", largest, count(right, "probe"))
	}
	return []Check{ev.check(checkFullSize, finding{
		wrong: wrong.lines(), open: open.lines(), seen: seen,
		facts: Facts{Counted: right + wrong.total() + open.total(), Right: right, Octets: largest},
	})}, notes
}
