package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
)

const (
	// replyRounds is how often a reply of full size is sent at most, as often as
	// the agent sends packets of full size.
	replyRounds = 6
	// replyWait is how long one may take beyond two round trips.
	replyWait = 300 * time.Millisecond
	// maxReplyWait is the longest that the agents agree to.
	maxReplyWait = 10 * time.Second
	// fullSizeLimit is for questions that wait for packets of full size.
	fullSizeLimit = replyRounds*maxReplyWait + callLimit
)

// fullReply is a packet as large as the real server's connection makes them.
type fullReply struct {
	before  wire.Received // at the client
	sent    wire.FullReplySent
	arrived bool
	hungUp  bool // before it was there
	busy    bool // the real server's program sent something meanwhile
	unknown bool // nobody could say whether it came
	larger  int  // octets of those that were lost; it is as large as the client announced now
	lost    int  // rounds in which it did not come to an open connection
}

// sendReplies has the real servers send a packet of full size to the client on
// each connection. It must come after the sockets, and the watches must be over:
// these packets are no replies to the probes.
//
// It is the real server's agent that sends it: the program there gets nothing
// that it could answer. The client's agent knows where the connection stands.
func (t *trial) sendReplies(ctx context.Context) {
	if t.service.Protocol != inventory.TCP {
		return
	}
	wait := replyWait
	for i := range t.ev.probes {
		if p := &t.ev.probes[i]; p.takesReply() {
			p.reply = &fullReply{before: p.full.Received}
			wait = max(wait, min(replyWait+2*p.full.RTT, maxReplyWait))
		}
	}
	listen := time.Duration(0) // a router may tell a smaller size: only where the packet does not come
	for range replyRounds {
		if !t.sendOnce(ctx, listen) || !t.lookForReplies(ctx, wait) {
			return
		}
		listen = wait
	}
}

// takesReply reports whether it is known how to send a reply of full size.
func (p *probe) takesReply() bool {
	return p.failed == "" && p.full != nil && p.full.Failed == "" && !p.full.HungUp &&
		p.socket != nil && p.socket.State == "ESTABLISHED" && (p.arrived != nil || !p.noArrival)
}

func (p *probe) waitsForReply() bool {
	return p.reply != nil && !p.reply.arrived && !p.reply.hungUp && !p.reply.unknown && p.reply.sent.Failed == ""
}

// replyOctets is how large the real server's packets may be as far as the
// client has told: the MSS that came there if somebody on the way has lowered it,
// or else what the client's device and route take. What the client announced
// itself may come from a path MTU that it remembers and will forget.
func (p *probe) replyOctets() int {
	asCame := p.asMSSCame()
	if p.arrived == nil || asCame < p.full.Announced+p.headers() || p.reply != nil && p.reply.larger != 0 {
		return min(asCame, p.full.Reply)
	}
	return p.full.Reply
}

// asMSSCame is what the MSS that came to the real server allows.
func (p *probe) asMSSCame() int {
	const none = 536 // without the option (RFC 9293, 3.7.1)
	switch {
	case p.arrived == nil:
		return p.full.Announced + p.headers()
	case p.arrived.MSS == 0:
		return none + p.headers()
	default:
		return int(p.arrived.MSS) + p.headers()
	}
}

// headers are what a packet has beside the largest segment.
func (p *probe) headers() int {
	if p.local.Addr().Is6() {
		return 60
	}
	return 40
}

// tryLess has a smaller packet sent after some that were lost, where it is not
// known how large the real server's are: the client has announced less than its
// device takes, for a path MTU that it remembers, so it does not show whether
// somebody on the way lowers the MSS to as much.
func (p *probe) tryLess() {
	if p.waitsForReply() && p.reply.lost >= replyRounds/2 && p.reply.larger == 0 && p.reply.sent.Octets > p.asMSSCame() {
		p.reply.larger = p.reply.sent.Octets
	}
}

// sendOnce reports whether there was something to send.
func (t *trial) sendOnce(ctx context.Context, listen time.Duration) bool {
	of := map[*inventory.Host][]*probe{}
	var hosts []*inventory.Host
	for i := range t.ev.probes {
		p := &t.ev.probes[i]
		if !p.waitsForReply() {
			continue
		}
		if of[p.server.Host] == nil {
			hosts = append(hosts, p.server.Host)
		}
		of[p.server.Host] = append(of[p.server.Host], p)
	}
	for i, r := range askAll[wire.FullReplies](ctx, t.gatherer, hosts, "send replies of full size", fullSizeLimit, wire.MethodFullReplies, func(h *inventory.Host) any {
		req := wire.FullRepliesRequest{Wait: listen}
		for _, p := range of[h] {
			req.Replies = append(req.Replies, wire.FullReply{
				From: p.socket.Local, To: p.socket.Remote, Octets: p.replyOctets(),
				Sequence: p.full.Acknowledgement, Acknowledgement: p.full.Sequence,
			})
		}
		return req
	}) {
		if r.err != nil {
			t.ev.trouble(checkFullReplies, r.err)
		}
		for j, p := range of[hosts[i]] {
			if j < len(r.got.Sent) {
				p.reply.sent = r.got.Sent[j]
			} else {
				p.reply = nil // not asked
			}
		}
	}
	return len(hosts) != 0
}

// lookForReplies asks the clients what came in, and reports whether something
// has not.
func (t *trial) lookForReplies(ctx context.Context, wait time.Duration) (missing bool) {
	of := map[*inventory.Host][]*probe{}
	var hosts []*inventory.Host
	for _, h := range t.clients() {
		for i := range t.ev.probes {
			if p := &t.ev.probes[i]; p.client == h.Name && p.waitsForReply() {
				of[h] = append(of[h], p)
			}
		}
		if of[h] != nil {
			hosts = append(hosts, h)
		}
	}
	for i, r := range askAll[wire.DataIn](ctx, t.gatherer, hosts, "look for replies of full size", fullSizeLimit, wire.MethodDataIn, func(h *inventory.Host) any {
		req := wire.DataInRequest{Wait: wait}
		for _, p := range of[h] {
			req.Before = append(req.Before, wire.DataInOf{Local: p.local, Received: p.reply.before})
		}
		return req
	}) {
		if r.err != nil {
			t.ev.trouble(checkFullReplies, r.err)
		}
		for _, p := range of[hosts[i]] {
			p.reply.unknown = true // unless it is still held
			for _, now := range r.got.Now {
				if now.Local == p.local {
					p.reply.take(now)
				}
			}
			p.tryLess()
			missing = missing || p.waitsForReply()
		}
	}
	return missing
}

// take takes in what the client has. Data that was new to it is the program's:
// then nothing follows from the number of segments.
func (r *fullReply) take(now wire.DataInOf) {
	r.unknown, r.hungUp = false, now.HungUp
	r.busy = now.New != r.before.New
	r.arrived = !r.busy && now.Segments != r.before.Segments
	r.before = now.Received
	if !r.hungUp && !r.busy && !r.arrived {
		r.lost++
	}
}

// toldTo says behind the failure of a packet that it had been told to be that small.
func toldTo(told *wire.Told) string {
	if told == nil {
		return ""
	}
	return fmt.Sprintf(", as small as %s told it to be", told.By)
}

// judgeFullReplies checks that a packet of full size came from the real server to
// the client on each connection that has two ends.
func judgeFullReplies(ev *evidence) (checks []Check, notes []string) {
	var wrong, open, untold, without, told tally
	noSockets := false
	right, largest, elsewhere := 0, 0, 0
	for _, p := range ev.probes {
		switch {
		case p.failed != "":
		case p.socket == nil && p.noSockets:
			noSockets = true // the step that failed is told below
		case p.arrived == nil && p.noArrival:
			untold.add("%s", p.untold())
		case p.full != nil && p.full.HungUp, p.socket == nil, p.socket.State == "SYN_RECV":
			elsewhere++ // full-size-packets and real-server-known tell
		case p.socket.State != "ESTABLISHED":
			without.add("on which the real server hung up at once")
		case p.reply == nil:
			open.add("had no reply of full size sent")
		case p.reply.sent.Failed != "":
			open.add("had no reply of full size sent by %s: %s", p.server.Host.Name, p.reply.sent.Failed)
		case p.reply.unknown:
			open.add("had a reply of %d octets sent by %s, and whether it came to %s is not known", p.reply.sent.Octets, p.server.Host.Name, p.client)
		case p.reply.hungUp && p.reply.lost != 0:
			open.add("did not get a packet of %d octets before %s hung up", p.reply.sent.Octets, p.server.Host.Name)
		case p.reply.hungUp:
			without.add("on which the real server hung up meanwhile")
		case p.reply.arrived && p.reply.larger != 0:
			open.add("got a packet of %d octets from %s, and none of %d: %s remembers a path MTU, so it is not known whether the MSS is lowered on the way",
				p.reply.sent.Octets, p.server.Host.Name, p.reply.larger, p.client)
		case p.reply.arrived:
			right++
			largest = max(largest, p.reply.sent.Octets)
			if by := p.reply.sent.Told; by != nil {
				told.add("had the reply come through after %s had told %s to send at most %d octets (path MTU discovery)", by.By, p.server.Host.Name, p.reply.sent.Octets)
			}
		case p.reply.busy:
			without.add("on which the real server's program sends by itself")
		default:
			wrong.add("connected, but a packet of %d octets from %s did not come to %s%s",
				p.reply.sent.Octets, p.server.Host.Name, p.client, toldTo(p.reply.sent.Told))
		}
	}
	for _, line := range without.lines() {
		notes = append(notes, checkFullReplies+" left out for "+line)
	}
	for _, line := range told.lines() {
		notes = append(notes, checkFullReplies+": "+line)
	}
	if right+wrong.total()+open.total()+untold.total() == 0 && !noSockets && elsewhere+without.total() != 0 && ev.missing[checkFullReplies] == nil {
		return nil, notes
	}
	restsOn := []string{checkArrival, checkFullSize}
	if noSockets {
		restsOn = append(restsOn, checkServerKnown)
	}
	seen := ""
	if right != 0 {
		seen = fmt.Sprintf("packets of up to %d octets came back in %s", largest, count(right, "probe"))
	}
	return []Check{ev.check(checkFullReplies, finding{
		wrong: wrong.lines(), open: open.lines(), untold: untold.lines(), seen: seen,
		facts: Facts{Counted: right + wrong.total() + open.total(), Right: right, Octets: largest},
	}, restsOn...)}, notes
}
