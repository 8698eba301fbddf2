package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// share says which shares of the probes a scheduler may give the real servers
// (ipvsadm(8), and net/netfilter/ipvs/ip_vs_<scheduler>.c). In each, a server
// with weight 0 gets none.
type share int

const (
	// shareAny promises nothing that a few probes could show.
	shareAny share = iota
	// shareTurns gives each server as many turns in a cycle as its weight, or
	// one turn if the scheduler does not look at weights.
	shareTurns
	// shareEach gives every server something as long as the service is idle:
	// an open probe makes a server the worse choice for the next one.
	shareEach
	// shareClient gives all probes of one client address to one server.
	shareClient
	// shareService gives all probes to one server.
	shareService
	// shareHeaviest gives all probes to a server of the highest weight.
	shareHeaviest
)

func shareOf(scheduler string) share {
	switch scheduler {
	case "rr", "wrr":
		return shareTurns
	case "lc", "wlc":
		return shareEach
	case "sh", "mh":
		return shareClient
	case "dh":
		return shareService // hashes the destination, which is the VIP
	case "fo":
		return shareHeaviest
	default:
		// sed and nq may rightly leave out a slow server; lblc, lblcr and ovf
		// move on when a server has more connections than its weight.
		return shareAny
	}
}

// The least and the most probes one client sends when not told how many.
const (
	minProbes = 4
	maxProbes = 64
)

// defaultProbes is how many probes one client sends: two whole cycles of the
// real servers, within limits.
func defaultProbes(s *inventory.Service) int {
	_, cycle := turns(s)
	return min(max(2*cycle, minProbes), maxProbes)
}

// turns is how often each real server comes up in one cycle of the scheduler,
// and the length of the cycle. rr leaves out weight 0 and else ignores
// weights; wrr divides them by their greatest common divisor.
func turns(s *inventory.Service) (each []int, cycle int) {
	divisor := uint32(0)
	for _, r := range s.RealServers {
		divisor = gcd(divisor, r.Weight)
	}
	each = make([]int, len(s.RealServers))
	for i, r := range s.RealServers {
		switch {
		case r.Weight == 0:
		case s.Scheduler == "wrr":
			each[i] = int(r.Weight / divisor)
		default:
			each[i] = 1
		}
		cycle += each[i]
	}
	return each, cycle
}

func gcd(a, b uint32) uint32 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// countsConnections reports whether the shares depend on what connections
// there were before the probes.
func countsConnections(s *inventory.Service) bool {
	return s.Persistence.Timeout != 0 || shareOf(s.Scheduler) == shareEach
}

// judgeDistribution checks how the director shared the probes out; of a
// persistent service, the clients.
func judgeDistribution(s *inventory.Service, ev *evidence) Check {
	units, noun := given(s, ev)
	got := make([]int, len(s.RealServers))
	total := len(units)
	for _, u := range units {
		got[slices.Index(s.RealServers, u.server)]++
	}
	unknown, lost := 0, 0
	for _, p := range ev.probes {
		switch {
		case s.OnePacket && p.server == nil && p.requests != 0:
			lost++ // its turn was somebody's
		case p.row == nil && p.noTable:
			unknown++
		}
	}
	sent := slices.ContainsFunc(ev.probes, func(p probe) bool { return p.local.IsValid() })
	switch {
	case !sent && ev.missing[checkReachability] != nil:
		return ev.check(checkDistribution, finding{open: []string{"no probe is known to have been sent"}})
	case !sent:
		return ev.check(checkDistribution, finding{open: []string{"no probe was sent"}})
	case total == 0 && unknown+lost != 0:
		return ev.check(checkDistribution, finding{open: []string{"which real server the director gave the probes to is not known"}})
	case total == 0:
		return ev.check(checkDistribution, finding{wrong: []string{"the director gave no probe to a real server of the service"}})
	}
	wrong, due, note := judgeShares(s, ev, units, got, ev.others+unknown, lost)
	var open, restsOn []string
	if len(ev.missing[checkReplies]) != 0 && len(wrong) != 0 {
		// Others may have had any number of turns: nobody counted them.
		sure, _, _ := judgeShares(s, ev, units, got, countless, lost)
		open = slices.DeleteFunc(wrong, func(text string) bool { return slices.Contains(sure, text) })
		wrong = sure
		if open != nil {
			due, restsOn = nil, []string{checkReplies}
		}
	}
	seen := fmt.Sprintf("%s over %s: %s", s.Scheduler, count(total, noun), shares(s, got))
	if lost != 0 {
		seen += fmt.Sprintf("; %s came to no real server that could be asked, and may have been the turn of any", count(lost, noun))
	}
	if note != "" {
		seen += "; " + note
	}
	facts := Facts{Counted: total}
	for i, r := range s.RealServers {
		facts.Shares = append(facts.Shares, Share{RealServer: r.Host.Name, Got: got[i]})
		if due != nil {
			facts.Shares[i].Due = &due[i]
		}
	}
	return ev.check(checkDistribution, finding{wrong: wrong, open: open, seen: seen, facts: facts}, restsOn...)
}

// countless is more connections than any that could change the shares.
const countless = 1 << 20

// unit is what the scheduler gave to a real server at a time.
type unit struct {
	client netip.Addr
	server *inventory.RealServer
}

// given lists the scheduler's decisions: the probes, or the first one of each
// client of a persistent service.
func given(s *inventory.Service, ev *evidence) (units []unit, noun string) {
	noun = "probe"
	kept := map[netip.Prefix]bool{}
	for _, p := range ev.probes {
		if p.server == nil || p.row == nil && !s.OnePacket {
			continue // told by real-server-known or reachability
		}
		if s.Persistence.Timeout != 0 && s.Persistence.Engine == "" {
			noun = "client"
			group := persistenceGroup(s, p.source())
			if kept[group] {
				continue
			}
			kept[group] = true
		}
		units = append(units, unit{p.source(), p.server})
	}
	return units, noun
}

// judgeShares holds what each real server got against the scheduler, and returns
// what was due where the scheduler gives turns. The note
// says why less was demanded than the scheduler's own rule; others is how many
// turns somebody else may have had, and lost how many probes are at nobody known.
func judgeShares(s *inventory.Service, ev *evidence, units []unit, got []int, others, lost int) (wrong []string, due []Range, note string) {
	if s.Persistence.Timeout != 0 && ev.templates != 0 {
		return nil, nil, fmt.Sprintf("%s had a real server from before, which it keeps whatever the scheduler says", count(ev.templates, "client"))
	}
	limited := false
	for i, r := range s.RealServers {
		if r.Weight == 0 && got[i] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s has weight 0 and got %s", r.Host.Name, count(got[i], "probe")))
		}
		if r.UpperThreshold != 0 {
			limited = true
			if held := held(ev, r); uint32(held) > r.UpperThreshold {
				wrong = append(wrong, fmt.Sprintf("%s takes %s at a time and got %d", r.Host.Name, count(int(r.UpperThreshold), "connection"), held))
			}
		}
	}
	if limited {
		return wrong, nil, "the thresholds may rightly change the shares"
	}
	var more []string
	switch shareOf(s.Scheduler) {
	case shareTurns:
		due = dueTurns(s, len(units), others+lost)
		more, note = judgeTurns(s, got, due, others)
	case shareEach:
		_, servers := turns(s)
		switch {
		case len(units) < servers:
			note = fmt.Sprintf("too few to show that each of %d gets some", servers)
		case others != 0:
			note = fmt.Sprintf("%s not counted here came meanwhile, so not every server need get some", count(others, "connection"))
		case busy(ev):
			note = fmt.Sprintf("others have %d active and %d inactive connections, so not every server need get some", ev.active, ev.inactive)
		case s.OnePacket:
			note = "without connections to count, " + s.Scheduler + " may choose any of them"
		default:
			more = judgeEach(s, got)
		}
	case shareClient:
		more = judgeClients(s, units)
	case shareService:
		if n := used(got); n > 1 {
			more = append(more, fmt.Sprintf("%s gives one VIP always the same server; %d were used", s.Scheduler, n))
		}
	case shareHeaviest:
		more = judgeHeaviest(s, got)
	case shareAny:
		note = s.Scheduler + " may choose any of them"
	}
	return append(wrong, more...), due, note
}

// held counts the probes that were open at a real server at the same time.
func held(ev *evidence, r *inventory.RealServer) (n int) {
	for _, p := range ev.probes {
		if p.server == r && p.row != nil && p.failed == "" {
			n++
		}
	}
	return n
}

// judgeTurns holds what each real server got against what is due.
func judgeTurns(s *inventory.Service, got []int, due []Range, others int) (wrong []string, note string) {
	if due == nil {
		return nil, "" // weight 0 everywhere
	}
	for i, due := range due {
		if got[i] < due.Least || got[i] > due.Most {
			wrong = append(wrong, fmt.Sprintf("%s got %d where %s is due", s.RealServers[i].Host.Name, got[i], due))
		}
	}
	if others != 0 {
		note = fmt.Sprintf("%s not counted here took turns meanwhile, which is allowed for", count(others, "connection"))
	}
	return wrong, note
}

// dueTurns is what a scheduler that gives turns owes each real server; nil when
// all weights are 0. The probes are consecutive turns from an unknown place in
// the cycle: each whole cycle gives every server its turns exactly, and the rest
// of r turns gives it at most r, at most what it has, and at least what the other
// servers cannot take. Connections that others open meanwhile take turns, too.
func dueTurns(s *inventory.Service, total, others int) []Range {
	each, cycle := turns(s)
	if cycle == 0 {
		return nil
	}
	whole, rest := (total+others)/cycle, (total+others)%cycle
	out := make([]Range, len(each))
	for i, n := range each {
		out[i] = Range{
			Least: max(whole*n+max(0, rest-(cycle-n))-others, 0),
			Most:  min(whole*n+min(rest, n), total),
		}
	}
	return out
}

// inactiveWeight is how many inactive connections count as much as an active
// one to lc and wlc.
const inactiveWeight = 256

// busy reports whether others' connections may rightly keep a server from
// getting a probe.
func busy(ev *evidence) bool { return ev.active > 0 || ev.inactive >= inactiveWeight }

func judgeEach(s *inventory.Service, got []int) (wrong []string) {
	for i, r := range s.RealServers {
		if r.Weight != 0 && got[i] == 0 {
			wrong = append(wrong, r.Host.Name+" got none, though the service was idle")
		}
	}
	return wrong
}

func judgeHeaviest(s *inventory.Service, got []int) (wrong []string) {
	heaviest := uint32(0)
	for _, r := range s.RealServers {
		heaviest = max(heaviest, r.Weight)
	}
	for i, r := range s.RealServers {
		if r.Weight != heaviest && r.Weight != 0 && got[i] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s has weight %d, not the highest, and got %s", r.Host.Name, r.Weight, count(got[i], "probe")))
		}
	}
	if n := used(got); n > 1 {
		wrong = append(wrong, fmt.Sprintf("%s uses one server; %d were used", s.Scheduler, n))
	}
	return wrong
}

// judgeClients holds every client address to one server. With sh-port and
// mh-port the client's port counts, too.
func judgeClients(s *inventory.Service, units []unit) []string {
	if slices.Contains(s.Flags, "flag-2") {
		return nil
	}
	var wrong tally
	first := map[netip.Addr]*inventory.RealServer{}
	for _, u := range units {
		if first[u.client] == nil {
			first[u.client] = u.server
		}
		if first[u.client] != u.server {
			wrong.add("of %s at %s after %s, where %s keeps to one server", u.client, u.server.Host.Name, first[u.client].Host.Name, s.Scheduler)
		}
	}
	return wrong.lines()
}

func used(got []int) int {
	n := 0
	for _, g := range got {
		if g != 0 {
			n++
		}
	}
	return n
}

// shares lists what each real server got.
func shares(s *inventory.Service, got []int) string {
	var out []string
	for i, r := range s.RealServers {
		out = append(out, fmt.Sprintf("%s %d", r.Host.Name, got[i]))
	}
	return strings.Join(out, ", ")
}
