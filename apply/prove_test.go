package apply_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
)

// story notes what a run asks of hosts, in its order.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 || s.lines[len(s.lines)-1] != line {
		s.lines = append(s.lines, line)
	}
}

type noted struct {
	wire.Caller
	story *story
}

func (n noted) Call(ctx context.Context, m wire.Method, req, resp any) error {
	n.story.note(string(m))
	return n.Caller.Call(ctx, m, req, resp)
}

// The proof stands between the last wave and settling. When it fails, or nobody
// waits for it any more, the journals are settled all the same.
func TestProofBeforeSettling(t *testing.T) {
	notProved := errors.New("no traffic")
	for name, prove := range map[string]func(context.CancelFunc) error{
		"proved":      func(context.CancelFunc) error { return nil },
		"not proved":  func(context.CancelFunc) error { return notProved },
		"interrupted": func(cancel context.CancelFunc) error { cancel(); return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(parse(t, tutorialText(t)), t.TempDir())
			if err := w.run(w.plan()); err != nil {
				t.Fatal(err)
			}
			// An item less to hold: there is something to put back and to settle.
			w.inv.Services[0].RealServers = w.inv.Services[0].RealServers[:1]
			p := w.plan()
			connected, done := w.Connect()
			defer done()
			var s story
			hosts := apply.Hosts{}
			for h, c := range connected {
				hosts[h] = noted{c, &s}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			want := prove(func() {})
			err := apply.Run(ctx, p, hosts, apply.Options{Prove: func(context.Context) error {
				s.note("prove")
				return prove(cancel)
			}})
			if !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			at := slices.Index(s.lines, "prove")
			if at < 1 || slices.Contains(s.lines[at:], string(wire.MethodApply)) || slices.Contains(s.lines[:at], string(wire.MethodSettle)) ||
				!slices.Contains(s.lines[at:], string(wire.MethodSettle)) {
				t.Errorf("order: %v", s.lines)
			}
			if again := w.plan(); !again.Empty() {
				t.Errorf("changes are left: %v", again.Summary)
			}
		})
	}
}
