package verify

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// The checks, in the order of a report. Their names are part of the output.
const (
	checkReachability = "reachability"            // every probe connected
	checkServerKnown  = "real-server-known"       // director and real server both have every probe
	checkSourceClient = "source-is-client"        // the real server saw CIP
	checkDestVIP      = "destination-is-vip"      // the real server saw VIP and port
	checkBypass       = "replies-bypass-director" // replies do not come back through the director
	checkOneMAC       = "one-mac-for-vip"         // the director alone answers ARP or ND
	checkDistribution = "distribution"            // the real servers' shares fit the scheduler
)

// judge turns evidence into a verdict. It is pure.
func judge(s *inventory.Service, ev *evidence) Service {
	out := Service{Name: s.Name, Mode: string(s.Mode), Probes: []Probe{}, Notes: ev.notes}
	if why := cannotVerify(s); why != "" {
		out.Checks = []Check{{Name: checkReachability, Evidence: "not verified: " + why}}
		return out
	}
	for _, p := range ev.probes {
		out.Probes = append(out.Probes, p.report())
	}
	out.Checks = append(out.Checks, judgeReachability(ev), judgeServerKnown(ev))
	for _, check := range rowOf(s.Mode) {
		out.Checks = append(out.Checks, check(s, ev))
	}
	if ev.answers != nil || ev.troubles[checkOneMAC] != nil {
		out.Checks = append(out.Checks, judgeOneMAC(s, ev))
	}
	out.Checks = append(out.Checks, judgeDistribution(s, ev))
	out.Passed = true
	for _, c := range out.Checks {
		out.Passed = out.Passed && c.Passed
	}
	return out
}

// cannotVerify says why there is no way yet to verify the service.
func cannotVerify(s *inventory.Service) string {
	switch {
	case s.Protocol != inventory.TCP:
		return fmt.Sprintf("lvsform has no probe for %s yet", s.Protocol)
	case rowOf(s.Mode) == nil:
		return fmt.Sprintf("lvsform does not know yet what to expect of mode %s", s.Mode)
	}
	return ""
}

func (p *probe) report() Probe {
	out := Probe{Client: p.client}
	if p.server != nil {
		out.RealServer = p.server.Host.Name
	}
	if p.socket != nil {
		out.Source, out.Destination = p.socket.Remote, p.socket.Local
	}
	if p.failed != "" {
		out.Error = p.failed
		if p.local.IsValid() {
			out.Error = fmt.Sprintf("from %s: %s", p.local, p.failed)
		}
	}
	return out
}

// check makes a check that passes with the evidence seen when nothing is
// wrong, no step failed, and there is evidence at all.
func (e *evidence) check(name string, wrong []string, seen string) Check {
	wrong = append(wrong, e.troubles[name]...)
	if len(wrong) == 0 && seen == "" {
		wrong = []string{"nothing was found to judge by"}
	}
	if len(wrong) == 0 {
		return Check{Name: name, Passed: true, Evidence: seen}
	}
	if seen != "" {
		wrong = append(wrong, seen)
	}
	return Check{Name: name, Evidence: strings.Join(wrong, "; ")}
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

// lines are the sentences, each after the number of probes it is true of.
func (t *tally) lines() []string {
	var out []string
	for _, text := range t.texts {
		out = append(out, count(t.counts[text], "probe")+" "+text)
	}
	return out
}

func judgeReachability(ev *evidence) Check {
	var wrong tally
	connected := 0
	for _, p := range ev.probes {
		if p.failed == "" {
			connected++
			continue
		}
		wrong.add("from %s: %s (%s)", p.client, p.failed, p.trail())
	}
	if len(ev.probes) == 0 && ev.troubles[checkReachability] == nil {
		return Check{Name: checkReachability, Evidence: "no probe was sent: the inventory has no client for this service"}
	}
	seen := ""
	if len(ev.probes) != 0 {
		seen = fmt.Sprintf("%d of %s connected", connected, count(len(ev.probes), "probe"))
	}
	return ev.check(checkReachability, wrong.lines(), seen)
}

// trail tells how far a probe came.
func (p *probe) trail() string {
	switch {
	case !p.local.IsValid():
		return "the client sent nothing"
	case p.row == nil && p.noTable && p.socket != nil:
		return fmt.Sprintf("%s has it in state %s", p.server.Host.Name, p.socket.State)
	case p.row == nil && p.noTable:
		return "where it went is not known"
	case p.row == nil && p.socket != nil:
		return fmt.Sprintf("%s got it around the director and has it in state %s", p.server.Host.Name, p.socket.State)
	case p.row == nil && p.noWatch:
		return "no director's connection table has it"
	case p.row == nil && p.requests == 0:
		return "it did not reach the director"
	case p.row == nil:
		return "it reached the director, whose connection table does not have it"
	case p.server == nil:
		return fmt.Sprintf("%s gave it to %s, which is no real server of the service", p.director, p.row.Destination)
	case p.socket == nil && p.noSockets:
		return fmt.Sprintf("%s gave it to %s and has it in state %s", p.director, p.server.Host.Name, p.row.State)
	case p.socket == nil:
		return fmt.Sprintf("%s gave it to %s and has it in state %s; %s has no such connection", p.director, p.server.Host.Name, p.row.State, p.server.Host.Name)
	default:
		return fmt.Sprintf("%s gave it to %s and has it in state %s; %s has it in state %s, so it came there and the reply was lost", p.director, p.server.Host.Name, p.row.State, p.server.Host.Name, p.socket.State)
	}
}

func judgeServerKnown(ev *evidence) Check {
	var wrong tally
	connected, known := 0, 0
	for _, p := range ev.probes {
		if p.failed != "" {
			continue
		}
		connected++
		switch {
		case p.row == nil && p.noTable, p.socket == nil && p.noSockets:
			// Who could not be asked is told by the step that failed.
		case p.row == nil && p.socket != nil:
			wrong.add("reached %s around the director, whose connection table does not have it", p.server.Host.Name)
		case p.row == nil:
			wrong.add("in no connection table of a director")
		case p.server == nil:
			wrong.add("given by %s to %s, which is no real server of the service", p.director, p.row.Destination)
		case p.socket == nil:
			wrong.add("given by %s to %s, which does not have the connection", p.director, p.server.Host.Name)
		default:
			known++
		}
	}
	seen := ""
	if connected != 0 {
		seen = fmt.Sprintf("%d of %s found in the connection table of the director and among the sockets of a real server", known, count(connected, "connected probe"))
	}
	return ev.check(checkServerKnown, wrong.lines(), seen)
}

// judgeSockets checks what the real servers saw of the probes: compare returns
// what is wrong with one, "" if nothing is.
func judgeSockets(ev *evidence, name, expected string, compare func(*probe) string) Check {
	var wrong tally
	n, right := 0, 0
	for i := range ev.probes {
		p := &ev.probes[i]
		if p.socket == nil {
			continue // real-server-known or reachability tells
		}
		n++
		if text := compare(p); text != "" {
			wrong.add("at %s: %s", p.server.Host.Name, text)
		} else {
			right++
		}
	}
	seen := ""
	if n != 0 {
		seen = fmt.Sprintf("the real servers saw %s in %d of %s", expected, right, count(n, "probe"))
	}
	return ev.check(name, wrong.lines(), seen)
}

func judgeSourceIsClient(_ *inventory.Service, ev *evidence) Check {
	return judgeSockets(ev, checkSourceClient, "the client's own address and port", func(p *probe) string {
		if p.socket.Remote == p.local {
			return ""
		}
		return fmt.Sprintf("source %s instead of %s's %s", p.socket.Remote.Addr(), p.client, p.local.Addr())
	})
}

func judgeDestinationIsVIP(s *inventory.Service, ev *evidence) Check {
	vip := netip.AddrPortFrom(s.VIP, s.Port)
	return judgeSockets(ev, checkDestVIP, vip.String(), func(p *probe) string {
		if p.socket.Local == vip {
			return ""
		}
		return fmt.Sprintf("destination %s instead of %s", p.socket.Local, vip)
	})
}

func judgeRepliesBypassDirector(s *inventory.Service, ev *evidence) Check {
	requests, replies, unseen, connected, watched := 0, 0, 0, 0, 0
	for _, p := range ev.probes {
		if p.noWatch {
			continue
		}
		watched++
		requests, replies = requests+p.requests, replies+p.replies
		if p.failed == "" {
			connected++
			if p.requests == 0 {
				unseen++
			}
		}
	}
	if watched == 0 {
		return ev.check(checkBypass, nil, "")
	}
	var wrong []string
	switch {
	case connected == 0:
		wrong = append(wrong, "no probe connected, so there was no reply to follow")
	case unseen != 0:
		wrong = append(wrong, fmt.Sprintf("%s connected without a packet through the director", count(unseen, "probe")))
	}
	if replies != 0 {
		wrong = append(wrong, "replies come back through the director")
	}
	var names []string
	for _, d := range s.Directors {
		names = append(names, d.Name)
	}
	return ev.check(checkBypass, wrong, fmt.Sprintf("director %s saw %s and %s of %s",
		strings.Join(names, " and "), count(requests, "request packet"), count(replies, "reply packet"), count(watched, "probe")))
}
