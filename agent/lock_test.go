package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
)

// held is an agent in the middle of a step, and how to let it go on.
func held(t *testing.T, r wire.ApplyRequest) (a *Agent, goOn func()) {
	t.Helper()
	a = newAgent(t)
	inside, release, done := make(chan bool), make(chan bool), make(chan error)
	k := a.Kernel.(*fake.Kernel)
	k.BeforeDo = func(state.Change) error {
		k.BeforeDo = nil
		inside <- true
		<-release
		return nil
	}
	go func() {
		_, err := a.apply(context.Background(), r)
		done <- err
	}()
	<-inside
	return a, func() {
		t.Helper()
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// An agent waits for another on the same host, and neither journal is lost.
func TestLockWaits(t *testing.T) {
	a, goOn := held(t, steps(state.Change{Before: off, After: on}))
	second := &Agent{Kernel: a.Kernel, Dir: a.Dir}
	r := steps(state.Change{After: vip})
	came := make(chan error)
	go func() {
		_, err := second.apply(context.Background(), r)
		came <- err
	}()
	select {
	case err := <-came:
		t.Fatalf("the second did not wait: %v", err)
	case <-time.After(5 * lockPoll):
	}
	goOn()
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	for _, id := range []state.ID{state.IDOf(on), state.IDOf(vip)} {
		if _, ok := entries(t, a)[id]; !ok {
			t.Errorf("%v is not in the journal", id)
		}
	}
}

func TestLockEndsWaiting(t *testing.T) {
	a, goOn := held(t, steps(state.Change{Before: off, After: on}))
	defer goOn()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*lockPoll, fault.New(fault.Connection, "hung up"))
	defer cancel()
	for what, ask := range map[string]func() error{
		"apply":  func() error { _, err := a.apply(ctx, steps(state.Change{After: vip})); return err },
		"adopt":  func() error { _, err := a.adopt(ctx, wire.AdoptRequest{Topology: "t"}); return err },
		"settle": func() error { _, err := a.settle(ctx, wire.SettleRequest{Topology: "t", Leave: true}); return err },
		"drain":  func() error { _, err := a.drain(ctx, wire.DrainRequest{Topology: "t"}); return err },
	} {
		if err := ask(); err == nil || err.Error() != "hung up" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whoever waits for a folder that is taken away meanwhile gets the new one.
func TestLockSurvivesLeaving(t *testing.T) {
	a := newAgent(t)
	unlock, err := a.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan error)
	go func() {
		_, err := (&Agent{Kernel: a.Kernel, Dir: a.Dir}).apply(context.Background(), steps(state.Change{After: vip}))
		came <- err
	}()
	time.Sleep(2 * lockPoll) // it has opened the folder by then, or will find none
	if err := os.RemoveAll(a.Dir); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	if _, ok := entries(t, a)[state.IDOf(vip)]; !ok {
		t.Error("the address is set, and no journal says so")
	}
}

// isStale reports whether an error is of kind stale and says just that; "": there
// is none.
func isStale(err error, text string) bool {
	if text == "" {
		return err == nil
	}
	return fault.Of(err) == fault.Stale && err.Error() == text
}

// hold writes another topology's journal.
func hold(t *testing.T, a *Agent, before, after state.Item) {
	t.Helper()
	j := &journal.Draft{Topology: "other", Entries: map[state.ID]journal.Entry{
		state.IDOf(after): {Before: state.Tagged{Item: before}, After: state.Tagged{Item: after}},
	}}
	if err := writeJournal(a.Dir, j); err != nil {
		t.Fatal(err)
	}
}

// What another topology has come to hold since the plan was made is not taken
// from it, nor changed.
func TestOthersCameMeanwhile(t *testing.T) {
	back := steps(state.Change{Before: on, After: off})
	back.Steps[0].Restore = true
	for what, r := range map[string]wire.ApplyRequest{
		"restore": back,
		"change":  steps(state.Change{Before: on, After: state.Sysctl{Name: on.Name, Setting: "2"}}),
	} {
		a := newAgent(t)
		mustApply(t, a, steps(state.Change{Before: off, After: on}))
		hold(t, a, on, on)
		res, err := a.apply(t.Context(), r)
		if !isStale(err, "changed since the plan was made: sysctl net.ipv4.ip_forward 1 is held by topology other now") {
			t.Errorf("%s: %+v, %v", what, res, err)
		}
		if !a.Kernel.(*fake.Kernel).State.Has(on) {
			t.Errorf("%s: changed all the same", what)
		}
	}
}

// And what was to be left to another that has gone is not forgotten.
func TestOthersWentMeanwhile(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{Before: off, After: on}))
	r := wire.SettleRequest{Topology: "t", HandOver: []state.ID{state.IDOf(on)}, Leave: true}
	if _, err := a.settle(t.Context(), r); fault.Of(err) != fault.Stale {
		t.Fatalf("forgot it: %v", err)
	}
	if e := entries(t, a)[state.IDOf(on)]; e.Before.Item != off {
		t.Fatalf("what was found is lost: %v", e)
	}
	hold(t, a, on, on)
	if _, err := a.settle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	j, err := readJournal(a.Dir, "other")
	if err != nil || j.Entries[state.IDOf(on)].Before.Item != off {
		t.Errorf("the heir does not know what was found: %v, %v", j.Entries, err)
	}
}

// Nothing is adopted that is not in place any more.
func TestAdoptWhatHasGone(t *testing.T) {
	a := newAgent(t)
	there, gone := state.Tagged{Item: off}, state.Tagged{Item: vip}
	_, err := a.adopt(t.Context(), wire.AdoptRequest{Topology: "t", Entries: []journal.Entry{{Before: there, After: there}, {Before: gone, After: gone}}})
	if !isStale(err, "changed since the plan was made: address 192.0.2.10/32 on lo was there and is gone now") {
		t.Fatal(err)
	}
	if held := entries(t, a); len(held) != 0 {
		t.Errorf("adopted %v", held)
	}
}

// A step that no plan may hold is not carried out, and not written down.
func TestUnsoundSteps(t *testing.T) {
	for _, c := range []state.Change{{}, {Before: off}, {Before: off, After: vip}} {
		a := newAgent(t)
		if res, err := a.apply(t.Context(), steps(c)); err == nil || !strings.Contains(err.Error(), "a step changes nothing") || res.Done != 0 {
			t.Errorf("%v: %+v, %v", c, res, err)
		}
		if _, err := os.Stat(filepath.Join(a.Dir, "t.json")); err == nil {
			t.Errorf("%v: a journal was written", c)
		}
	}
}
