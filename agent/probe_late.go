package agent

import (
	"context"
	"slices"
	"time"

	"github.com/lvsform/lvsform/kernel/traffic"
)

// lookForLate finds out whether a connection whose opening is in doubt was only
// late: then each request is answered, and the answer to a repeat comes as much
// after the first one as it was sent after it.
//
// The number of answers does not tell by itself. Where the first one is lost, the
// peer's kernel repeats it, too, and answers the repeat besides: those come at once.
func (t *attempt) lookForLate(now time.Time) {
	if !t.doubt || t.late || t.pending || t.err != nil {
		return
	}
	answers, open := traffic.WithoutData(t.fd)
	switch {
	case !open:
		t.doubt = false // the peer's end of the connection counts like an answer
	case now.Before(t.begun.Add(t.took + synRepeat/2)):
		t.answers = answers
	default:
		t.late = answers > t.repeats && answers > t.answers
	}
}

// waitForLateOpenings waits for the answers to requests to connect that were sent
// again, though one was answered. It takes about as long as that answer took.
func waitForLateOpenings(ctx context.Context, attempts []*attempt) {
	waiting := slices.Clone(attempts)
	for ctx.Err() == nil {
		now := time.Now()
		waiting = slices.DeleteFunc(waiting, func(t *attempt) bool {
			t.lookForLate(now)
			return t.err != nil || !t.doubt || t.late || now.After(t.begun.Add(2*t.took+probePoll))
		})
		if len(waiting) == 0 {
			return
		}
		time.Sleep(latePoll)
	}
}

// latePoll is how often it looks.
const latePoll = 20 * time.Millisecond
