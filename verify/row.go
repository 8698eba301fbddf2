package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// rowCheck is something that must be seen of the probes whose real server's
// mode has certain traits.
type rowCheck struct {
	of    func(modes.Traits) bool
	judge func(s *inventory.Service, ev *evidence, probes []*probe) Check
	// replies are what it looks at; without them it is left out.
	replies bool
	// behindDirector is for what a director that is the real server changes after
	// a packet has come in. Only a socket tells of that, and UDP's do not.
	behindDirector bool
}

// table is what the forwarding modes differ in: the source and the destination
// the real server sees, the way of the replies, and what brings the request.
func table() []rowCheck {
	return []rowCheck{
		{of: func(t modes.Traits) bool { return t.Source == modes.SourceClient }, judge: judgeSourceIsClient},
		{of: func(t modes.Traits) bool { return t.Source == modes.SourceDirector }, judge: judgeSourceIsDirector},
		{of: func(t modes.Traits) bool { return t.KeepsDestination }, judge: judgeDestinationIsVIP},
		{of: func(t modes.Traits) bool { return !t.KeepsDestination }, judge: judgeDestinationIsServer, behindDirector: true},
		{of: func(t modes.Traits) bool { return t.Tunnelled }, judge: judgeTunnelled},
		// Of a real server that is the director itself there is nothing to tell.
		{of: func(t modes.Traits) bool { return !t.RepliesThroughDirector && !t.Local }, judge: judgeRepliesBypassDirector, replies: true},
		{of: func(t modes.Traits) bool { return t.RepliesThroughDirector && !t.Local }, judge: judgeRepliesThroughDirector, replies: true},
	}
}

// judgeRows holds each probe against the row of its real server's mode. A mode
// nobody's probe met is left out, unless no probe met any.
func judgeRows(s *inventory.Service, ev *evidence) []Check {
	met := map[modes.Traits]bool{}
	for i := range ev.probes {
		if p := &ev.probes[i]; p.server != nil {
			met[modes.TraitsFor(s, p.server)] = true
		}
	}
	if len(met) == 0 {
		for _, r := range s.RealServers {
			met[modes.TraitsFor(s, r)] = true
		}
	}
	var out []Check
	for _, row := range table() {
		var probes []*probe
		wanted := false
		for i := range ev.probes {
			if p := &ev.probes[i]; p.server != nil && row.of(modes.TraitsFor(s, p.server)) {
				probes = append(probes, p)
			}
		}
		for traits := range met {
			hidden := row.behindDirector && traits.Local && s.Protocol == inventory.UDP
			wanted = wanted || row.of(traits) && !hidden
		}
		if wanted && (s.Answers() || !row.replies) {
			out = append(out, row.judge(s, ev, probes))
		}
	}
	if !s.Answers() {
		out = append(out, judgeRequestsThroughDirector(s, ev))
	}
	return out
}

// judgeSeen checks what the real servers saw of the probes: compare returns
// what is wrong with one, "" if nothing is.
func judgeSeen(ev *evidence, name, expected string, probes []*probe, compare func(p *probe, from, to netip.AddrPort) string) Check {
	var wrong tally
	n, right := 0, 0
	for _, p := range probes {
		from, to, ok := p.saw()
		if !ok {
			continue // real-server-known or reachability tells
		}
		n++
		if text := compare(p, from, to); text != "" {
			wrong.add("at %s: %s", p.server.Host.Name, text)
		} else {
			right++
		}
	}
	seen := ""
	if n != 0 {
		seen = fmt.Sprintf("the real servers saw %s in %d of %s", expected, right, count(n, "probe"))
	}
	return ev.check(name, finding{wrong: wrong.lines(), seen: seen, facts: Facts{Counted: n, Right: right}})
}

func judgeSourceIsClient(_ *inventory.Service, ev *evidence, probes []*probe) Check {
	return judgeSeen(ev, checkSourceClient, "the client's own address and port", probes, func(p *probe, from, _ netip.AddrPort) string {
		if from == p.local {
			return ""
		}
		return fmt.Sprintf("source %s instead of %s's %s", from.Addr(), p.client, p.local.Addr())
	})
}

func judgeSourceIsDirector(s *inventory.Service, ev *evidence, probes []*probe) Check {
	expected := "an address of the director"
	if len(s.LocalAddresses) != 0 {
		expected = "one of " + addressList(s.LocalAddresses)
	}
	return judgeSeen(ev, checkSourceDirector, expected, probes, func(p *probe, from, _ netip.AddrPort) string {
		// Each director's rule has an address of its own.
		var local []netip.Addr
		for _, d := range s.Directors {
			if p.director == "" || p.director == d.Name {
				local = union(local, modes.LocalAddresses(s, d, p.server))
			}
		}
		if slices.Contains(local, from.Addr()) {
			return ""
		}
		return fmt.Sprintf("source %s instead of %s", from.Addr(), addressList(local))
	})
}

func addressList(list []netip.Addr) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, " or ")
}

func judgeDestinationIsVIP(s *inventory.Service, ev *evidence, probes []*probe) Check {
	expected := "the VIP and the port asked for"
	if len(probes) != 0 && ports(ev) == 1 {
		expected = expectedAtVIP(probes[0]).String()
	}
	if redirected := slices.ContainsFunc(probes, func(p *probe) bool { return p.server.Redirect != 0 }); redirected {
		expected += ", or what it redirects that to,"
	}
	return judgeSeen(ev, checkDestVIP, expected, probes, func(p *probe, _, to netip.AddrPort) string {
		want := expectedAtVIP(p)
		// A redirect turns it into an address of the device it came in on.
		redirected := p.server.Redirect != 0 && p.socket != nil && to.Port() == want.Port() && ownOf(p.server, s, to.Addr())
		if to == want || redirected || p.socket == nil && to == p.vip {
			return ""
		}
		return fmt.Sprintf("destination %s instead of %s", to, want)
	})
}

// expectedAtVIP is what a real server that takes packets for the VIP has them
// for in the end.
func expectedAtVIP(p *probe) netip.AddrPort {
	return netip.AddrPortFrom(p.vip.Addr(), listeningPort(p.server, p.vip.Port()))
}

// ownOf reports whether a real server has an address as its own: one of its
// NICs', or a VIP on its tunnel device.
func ownOf(r *inventory.RealServer, s *inventory.Service, a netip.Addr) bool {
	return a == s.VIP || slices.Contains(addressesOf(r.Host), a)
}

func judgeDestinationIsServer(s *inventory.Service, ev *evidence, probes []*probe) Check {
	seen := slices.DeleteFunc(probes, func(p *probe) bool { return p.beforeDirector(s) })
	return judgeSeen(ev, checkDestServer, "their own address and port", seen, func(p *probe, _, to netip.AddrPort) string {
		if p.row == nil { // the director keeps none
			if want := arrivalAddresses(s, p.server, p.vip.Port()); !slices.Contains(want, to) {
				return fmt.Sprintf("destination %s instead of %s", to, joined(want))
			}
			return ""
		}
		if to == p.row.Destination {
			return ""
		}
		return fmt.Sprintf("destination %s instead of %s", to, p.row.Destination)
	})
}

// judgeTunnelled checks what the requests came in.
func judgeTunnelled(_ *inventory.Service, ev *evidence, probes []*probe) Check {
	var wrong, open, untold, right tally
	for _, p := range probes {
		e := p.server.Encapsulation
		if e.Type == "" {
			e.Type = "ipip"
		}
		name := p.server.Host.Name
		switch {
		case p.wrapped == nil && p.noArrival:
			untold.add("%s", p.untold()) // if no step failed that tells it
		case p.wrapped == nil && p.arrived != nil && p.arrived.From != p.local:
			open.add("came to %s from %s instead of %s, and it is not known in what", name, p.arrived.From.Addr(), p.local.Addr())
		case p.wrapped == nil && p.arrived != nil:
			wrong.add("came to %s without a tunnel", name)
		case p.wrapped == nil:
			wrong.add("did not come to %s in a tunnel", name)
		case p.wrapped.Tunnel != e.Type || e.Type == "gue" && p.wrapped.OuterPort != e.Port:
			wrong.add("came to %s in %s instead of %s", name, outerText(p.wrapped), e.Type)
		case p.row != nil && p.wrapped.OuterTo != p.row.Destination.Addr():
			wrong.add("came to %s in %s, not to %s", name, outerText(p.wrapped), p.row.Destination.Addr())
		default:
			right.add("came to %s in %s", name, outerText(p.wrapped))
		}
	}
	return ev.check(checkTunnelled, finding{
		wrong: wrong.lines(), open: open.lines(), untold: untold.lines(), seen: strings.Join(right.lines(), ", "), facts: Facts{Counted: right.total() + wrong.total() + open.total(), Right: right.total()},
	}, checkArrival)
}

// passage is what the directors saw of some probes.
type passage struct {
	watched, requests, replies int
	unwatched                  int   // not seen, and not all packets could be told apart there
	connected                  int   // or answered
	unseen                     int   // connected without a request there
	unanswered                 tally // came to a real server, and no reply to them came back
	stopped                    tally // a reply came to a director, and not to the client
}

func passageOf(probes []*probe) passage {
	var out passage
	for _, p := range probes {
		if p.noWatch {
			out.unwatched++
			continue
		}
		out.watched++
		out.requests, out.replies = out.requests+p.requests, out.replies+p.replies
		if _, _, came := p.saw(); came && p.replies == 0 && !p.refused() {
			out.unanswered.add("came to %s, and no reply came back through the director", p.server.Host.Name)
		}
		if p.replyStopped() {
			out.stopped.add("had a reply that came to %s, and not from there to the client: it does not pass it on, or it is lost behind it", p.repliedAt)
		}
		if p.failed != "" {
			continue
		}
		out.connected++
		if p.requests == 0 {
			out.unseen++
		}
	}
	return out
}

func directorNames(s *inventory.Service) string {
	var names []string
	for _, d := range s.Directors {
		names = append(names, d.Name)
	}
	return strings.Join(names, " and ")
}

func (w passage) text(s *inventory.Service) string {
	return fmt.Sprintf("director %s saw %s and %s of %s",
		directorNames(s), count(w.requests, "request packet"), count(w.replies, "reply packet"), count(w.watched, "probe"))
}

// finding is what either way of the replies demands; wrong is what more is wrong.
func (w passage) finding(s *inventory.Service, ev *evidence, wrong []string) finding {
	open := ev.unwatched(s, w.unwatched)
	if w.watched == 0 {
		return finding{open: open}
	}
	f := finding{wrong: wrong, open: open, seen: w.text(s), facts: Facts{Counted: w.watched, Requests: w.requests, Replies: w.replies}}
	switch {
	case w.connected == 0 && w.replies == 0:
		f.open = append(f.open, "no probe came through, so there was no reply to follow")
	case w.unseen != 0:
		f.wrong = append(f.wrong, fmt.Sprintf("%s came through without a packet at the director", count(w.unseen, "probe")))
	}
	return f
}

// unwatched says of so many probes that no director saw them where all directors
// could be asked, and that nothing follows.
func (e *evidence) unwatched(s *inventory.Service, n int) []string {
	if n == 0 || e.missing[checkReplies] != nil {
		return nil // or the step that failed tells
	}
	return []string{fmt.Sprintf("%s went unseen at director %s, which saw more packets than it could tell apart", count(n, "probe"), directorNames(s))}
}

func judgeRepliesBypassDirector(s *inventory.Service, ev *evidence, probes []*probe) Check {
	w := passageOf(probes)
	f := w.finding(s, ev, nil)
	if w.replies != 0 {
		f.wrong = append(f.wrong, "replies come back through the director")
	}
	return ev.check(checkBypass, f, checkReplies)
}

func judgeRepliesThroughDirector(s *inventory.Service, ev *evidence, probes []*probe) Check {
	w := passageOf(probes)
	return ev.check(checkThrough, w.finding(s, ev, append(w.unanswered.lines(), w.stopped.lines()...)), checkReplies)
}

// judgeRequestsThroughDirector is what is left of the two where nobody answers.
func judgeRequestsThroughDirector(s *inventory.Service, ev *evidence) Check {
	f, watched, unwatched, right, requests := finding{}, 0, 0, 0, 0
	for _, p := range ev.probes {
		if p.arrived == nil {
			continue // reachability tells
		}
		if p.noWatch {
			unwatched++
			continue
		}
		watched++
		if requests += p.requests; p.requests != 0 {
			right++
		}
	}
	f.open = ev.unwatched(s, unwatched)
	if watched != 0 {
		f.seen = fmt.Sprintf("director %s saw %s of %s that arrived", directorNames(s), count(requests, "request packet"), count(watched, "probe"))
		f.facts = Facts{Counted: watched, Right: right, Requests: requests}
	}
	if right < watched {
		f.wrong = []string{fmt.Sprintf("%s came through without a packet at the director", count(watched-right, "probe"))}
	}
	return ev.check(checkRequests, f, checkReplies)
}
