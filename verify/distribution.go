package verify

import (
	"fmt"
	"net/netip"
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

// judgeDistribution checks how the director shared the probes out.
func judgeDistribution(s *inventory.Service, ev *evidence) Check {
	got := make([]int, len(s.RealServers))
	total, unknown := 0, 0
	for _, p := range ev.probes {
		if p.row == nil && p.noTable {
			unknown++
		}
		if p.row == nil || p.server == nil {
			continue // told by real-server-known or reachability
		}
		for i, r := range s.RealServers {
			if r == p.server {
				got[i]++
				total++
			}
		}
	}
	if total == 0 && unknown != 0 {
		return ev.check(checkDistribution, []string{"which real server the director gave the probes to is not known"}, "")
	}
	if total == 0 {
		return ev.check(checkDistribution, []string{"the director gave no probe to a real server of the service"}, "")
	}
	var wrong []string
	for i, r := range s.RealServers {
		if r.Weight == 0 && got[i] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s has weight 0 and got %s", r.Host.Name, count(got[i], "probe")))
		}
	}
	note := ""
	switch shareOf(s.Scheduler) {
	case shareTurns:
		var more []string
		more, note = judgeTurns(s, got, total, ev.others+unknown)
		wrong = append(wrong, more...)
	case shareEach:
		_, servers := turns(s)
		switch {
		case total < servers:
			note = fmt.Sprintf("too few to show that each of %d gets some", servers)
		case busy(ev):
			note = fmt.Sprintf("others have %d active and %d inactive connections, so not every server need get some", ev.active, ev.inactive)
		default:
			wrong = append(wrong, judgeEach(s, got)...)
		}
	case shareClient:
		wrong = append(wrong, judgeClients(s, ev)...)
	case shareService:
		if n := used(got); n > 1 {
			wrong = append(wrong, fmt.Sprintf("%s gives one VIP always the same server; %d were used", s.Scheduler, n))
		}
	case shareHeaviest:
		wrong = append(wrong, judgeHeaviest(s, got)...)
	case shareAny:
		note = s.Scheduler + " may choose any of them"
	}
	seen := fmt.Sprintf("%s over %s: %s", s.Scheduler, count(total, "probe"), shares(s, got))
	if note != "" {
		seen += "; " + note
	}
	return ev.check(checkDistribution, wrong, seen)
}

// judgeTurns holds the shares against the cycle. The probes are consecutive
// turns from an unknown place in it: each whole cycle gives every server its
// turns exactly, and the rest of r turns gives it at most r, at most what it
// has, and at least what the other servers cannot take. Connections that
// others open meanwhile take turns, too.
func judgeTurns(s *inventory.Service, got []int, total, others int) (wrong []string, note string) {
	each, cycle := turns(s)
	if cycle == 0 {
		return nil, "" // weight 0 everywhere
	}
	whole, rest := (total+others)/cycle, (total+others)%cycle
	for i, r := range s.RealServers {
		least := max(whole*each[i]+max(0, rest-(cycle-each[i]))-others, 0)
		most := min(whole*each[i]+min(rest, each[i]), total)
		if got[i] >= least && got[i] <= most {
			continue
		}
		due := fmt.Sprint(least)
		if least != most {
			due = fmt.Sprintf("%d to %d", least, most)
		}
		wrong = append(wrong, fmt.Sprintf("%s got %d where %s is due", r.Host.Name, got[i], due))
	}
	if others != 0 {
		note = fmt.Sprintf("%s not counted here took turns meanwhile, which is allowed for", count(others, "connection"))
	}
	return wrong, note
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

// judgeClients holds every client address to one server.
func judgeClients(s *inventory.Service, ev *evidence) []string {
	var wrong tally
	first := map[netip.Addr]*inventory.RealServer{}
	for _, p := range ev.probes {
		if p.row == nil || p.server == nil {
			continue
		}
		a := p.local.Addr()
		if first[a] == nil {
			first[a] = p.server
		}
		if first[a] != p.server {
			wrong.add("of %s at %s after %s, where %s keeps to one server", a, p.server.Host.Name, first[a].Host.Name, s.Scheduler)
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
