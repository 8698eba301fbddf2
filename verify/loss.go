package verify

import (
	"context"
	"fmt"

	"github.com/lvsform/lvsform/inventory"
)

// repeated counts the probes that were answered, and of these the ones whose
// request was sent again: because something was lost, or only because the answer
// was late.
func repeated(ev *evidence) (answered, again, late int) {
	for _, p := range ev.probes {
		switch {
		case p.failed != "":
			continue
		case p.repeats != 0 && p.late:
			late++
		case p.repeats != 0:
			again++
		}
		answered++
	}
	return answered, again, late
}

// tooMany reports whether so many probes are more than the service allows.
func tooMany(s *inventory.Service, again, of int) bool { return again*100 > int(s.Loss)*of }

// tellsChance is how many probes there must be for one lost packet to be within
// what the service allows.
func tellsChance(s *inventory.Service) int {
	if s.Loss == 0 {
		return 1
	}
	return (100 + int(s.Loss) - 1) / int(s.Loss) // rounded up
}

// openMore sends more probes where one or more had to be sent again and there are
// too few to tell a bad way from one lost packet. It leaves a number that somebody
// chose as it is, and a service that may have no room for more connections.
func (t *trial) openMore(ctx context.Context) {
	_, again, _ := repeated(t.ev)
	more := tellsChance(t.service) - len(t.ev.probes)
	if again == 0 || more <= 0 || t.opts.Probes > 0 || roomOf(t.service) != nil {
		return
	}
	each := (more + len(t.targets) - 1) / len(t.targets)
	for _, to := range t.targets {
		t.openFrom(ctx, to, each)
	}
}

// roomOf is a real server that takes so many connections at most; nil if none does.
func roomOf(s *inventory.Service) *inventory.RealServer {
	for _, r := range s.RealServers {
		if r.UpperThreshold != 0 {
			return r
		}
	}
	return nil
}

// wouldTell says what would tell chance from a bad way.
func wouldTell(s *inventory.Service) string {
	more := tellsChance(s)
	if r := roomOf(s); r != nil {
		return fmt.Sprintf("%d would tell, for which there may be no room: %s has upper_threshold: %d", more, r.Host.Name, r.UpperThreshold)
	}
	return fmt.Sprintf("--probes %d would tell", more)
}

// judgeLoss checks that few requests had to be sent again: the network lost them,
// or their answers, or somebody on the way drops some.
func judgeLoss(s *inventory.Service, ev *evidence) (c Check, notes []string) {
	answered, again, late := repeated(ev)
	f := finding{facts: Facts{Counted: answered, Right: answered - again, Repeated: again, Late: late}}
	of := count(answered, succeeded(s)+" probe")
	switch {
	case late != 0:
		f.seen = fmt.Sprintf("%d of %s lost a packet; %d more had the request sent again, and the answer to each came late", again, of, late)
	case answered != 0:
		f.seen = fmt.Sprintf("%d of %s had the request sent again", again, of)
	}
	switch {
	case again == 0:
	case !tooMany(s, again, answered):
		notes = []string{fmt.Sprintf("%s: %s, where %d %% may", checkLoss, f.seen, s.Loss)}
	case again == 1 && answered < tellsChance(s):
		f.open = []string{"one repeat among so few probes can be chance, and " + wouldTell(s)}
	default:
		f.wrong = []string{fmt.Sprintf("more than %d %% of the requests had to be sent again: packets are lost on the way, or dropped", s.Loss)}
	}
	return f.check(checkLoss), notes
}
