package verify

import (
	"context"
	"fmt"

	"github.com/lvsform/lvsform/inventory"
)

// repeated counts the probes that were answered, and of these the ones whose
// request had to be sent again. A late answer is no loss.
func repeated(ev *evidence) (answered, again int) {
	for _, p := range ev.probes {
		if p.failed != "" {
			continue
		}
		answered++
		if p.repeats != 0 && !p.late {
			again++
		}
	}
	return answered, again
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
	_, again := repeated(t.ev)
	more := min(tellsChance(t.service), maxProbes) - len(t.ev.probes)
	if again == 0 || more <= 0 || t.opts.Probes > 0 {
		return
	}
	for _, r := range t.service.RealServers {
		if r.UpperThreshold != 0 {
			return
		}
	}
	each := (more + len(t.targets) - 1) / len(t.targets)
	for _, to := range t.targets {
		t.openFrom(ctx, to, each)
	}
}

// judgeLoss checks that few requests had to be sent again: the network lost them,
// or their answers, or somebody on the way drops some.
func judgeLoss(s *inventory.Service, ev *evidence) (c Check, notes []string) {
	answered, again := repeated(ev)
	f := finding{facts: Facts{Counted: answered, Right: answered - again, Repeated: again}}
	if answered != 0 {
		f.seen = fmt.Sprintf("%d of %s had the request sent again", again, count(answered, succeeded(s)+" probe"))
	}
	switch {
	case again == 0:
	case !tooMany(s, again, answered):
		notes = []string{fmt.Sprintf("%s: %s, where %d %% may", checkLoss, f.seen, s.Loss)}
	case again == 1 && answered < tellsChance(s):
		f.open = []string{fmt.Sprintf("one repeat among so few probes can be chance, and --probes %d would tell", tellsChance(s))}
	default:
		f.wrong = []string{fmt.Sprintf("more than %d %% of the requests had to be sent again: packets are lost on the way, or dropped", s.Loss)}
	}
	return f.check(checkLoss), notes
}
