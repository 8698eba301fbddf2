package apply_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plan"
)

// atOnce carries plans out at the same time, each as a workstation of its own.
func (w *world) atOnce(plans ...*plan.Plan) []error {
	errs := make([]error, len(plans))
	var all sync.WaitGroup
	for i, p := range plans {
		all.Go(func() {
			hosts, done := w.Connect()
			defer done()
			errs[i] = apply.Run(context.Background(), p, hosts, quick())
		})
	}
	all.Wait()
	return errs
}

// Of two equal runs at once neither fails: what one has done, the other need not.
func TestEqualRunsAtOnce(t *testing.T) {
	for range 8 {
		w := newWorld(parse(t, tutorialText(t)), t.TempDir())
		found := w.dump()
		once := newWorld(w.inv, t.TempDir())
		if err := once.run(once.plan()); err != nil {
			t.Fatal(err)
		}
		for i, err := range w.atOnce(w.plan(), w.plan()) {
			if err != nil {
				t.Errorf("apply %d: %v: %v", i, fault.Of(err), err)
			}
		}
		if diff := cmp.Diff(once.dump(), w.dump()); diff != "" {
			t.Fatalf("(-once +twice):\n%s", diff)
		}
		for i, err := range w.atOnce(w.destroyPlan(), w.destroyPlan()) {
			if err != nil {
				t.Errorf("destroy %d: %v: %v", i, fault.Of(err), err)
			}
		}
		if diff := cmp.Diff(found, w.dump()); diff != "" || len(w.journals()) != 0 {
			t.Fatalf("left: %v (-found +left):\n%s", w.journals(), diff)
		}
	}
}

// A run that another takes its ground from is told so, whoever is faster.
func TestApplyAgainstDestroy(t *testing.T) {
	for range 12 {
		w := newWorld(parse(t, tutorialText(t)), t.TempDir())
		found := w.dump()
		smaller := *w.inv
		s := *w.inv.Services[0]
		s.RealServers = s.RealServers[:1]
		smaller.Services = append(smaller.Services[:0:0], &s)
		half := newWorld(&smaller, w.Dir)
		half.Fleet = w.Fleet
		if err := half.run(half.plan()); err != nil {
			t.Fatal(err)
		}
		for i, err := range w.atOnce(w.plan(), w.destroyPlan()) {
			if kind := fault.Of(err); err != nil && kind != fault.Stale && kind != fault.Conflict {
				t.Errorf("%s: kind %s: %v", []string{"apply", "destroy"}[i], kind, err)
			}
		}
		if err := w.run(w.plan()); err != nil {
			t.Fatal(err)
		}
		if err := w.destroy(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(found, w.dump()); diff != "" || len(w.journals()) != 0 {
			t.Fatalf("left: %v (-found +left):\n%s", w.journals(), diff)
		}
	}
}

func (w *world) destroyPlan() *plan.Plan {
	hosts, done := w.Connect()
	defer done()
	return plan.Destroy(w.inv, apply.Observe(context.Background(), w.inv, hosts, apply.Options{}))
}
