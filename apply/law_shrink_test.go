package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
)

var errLost = errors.New("the connection is lost")

// lossy is a host whose connection is lost, and with it all others', once so
// many calls have been made; heard says whether the host has heard the last one.
type lossy struct {
	wire.Caller
	left  *atomic.Int64
	heard bool
}

func (l lossy) Call(ctx context.Context, method wire.Method, req, resp any) error {
	switch n := l.left.Add(-1); {
	case n >= 0:
		return l.Caller.Call(ctx, method, req, resp)
	case n == -1 && l.heard:
		_ = l.Caller.Call(ctx, method, req, nil)
	}
	return errLost
}

// lose carries out as much of a plan as so many calls do.
func (w *world) lose(p *plan.Plan, calls int, heard bool) error {
	hosts, done := w.Connect()
	defer done()
	left := new(atomic.Int64)
	left.Store(int64(calls))
	for name, h := range hosts {
		hosts[name] = lossy{h, left, heard}
	}
	return apply.Run(context.Background(), p, hosts, quick())
}

// stumble carries a plan out, and may be cut short before its end.
func (w *world) stumble(t *rapid.T, what string, plans func() *plan.Plan) {
	t.Helper()
	for range rapid.IntRange(0, 2).Draw(t, "cut short") {
		p := plans()
		if p.Failed() {
			t.Fatalf("%s: cannot be planned: %v", what, p.Failure())
		}
		if rapid.Bool().Draw(t, "at a change") {
			(&served{left: rapid.IntRange(0, p.Summary.Steps()).Draw(t, "changes")}).hang(w.Kernels, unix.EIO)
			_ = w.run(p)
			w.unhook()
		} else {
			_ = w.lose(p, rapid.IntRange(0, 40).Draw(t, "calls"), rapid.Bool().Draw(t, "heard"))
		}
	}
	w.mustRun(t, what, plans())
}

// smaller draws an inventory and leaves out hosts it can do without.
func smaller(t *rapid.T) *inventory.Inventory {
	document := modestest.Inventory().Draw(t, "document")
	inv := parse(t, document)
	gone := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"client", "near1", "near2", "inner1", "inner2", "far1", "far2"}), rapid.ID).Draw(t, "hosts that leave")
	for i := range gone {
		if less := try(without(document, gone[:i+1]...)); less != nil {
			inv = less
		}
	}
	return inv
}

// knowEachOther fails unless all journals of the topology name exactly the
// inventory's hosts.
func (w *world) knowEachOther(t *rapid.T, inv *inventory.Inventory) {
	t.Helper()
	for _, name := range w.Names() {
		text, err := os.ReadFile(w.journal(name, inv.Name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var j journal.Journal
		if err := json.Unmarshal(text, &j); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(plan.Members(inv), j.Members); diff != "" {
			t.Fatalf("%s: members (-want +got):\n%s", name, diff)
		}
	}
}

// Hosts, services and real servers leave the inventory, and come back. Whoever
// has left is found through the journals of the others and put back as it was
// found, whenever the work before was cut short.
func TestLawOfLeaving(t *testing.T) {
	law(t, 4, func(t *rapid.T) {
		w := drawnWorld(t, allHosts(t))
		w.visit(t)
		found := map[string]string{}
		for _, name := range w.Names() {
			found[name] = w.dumpOf(name)
		}
		var inv *inventory.Inventory
		for range rapid.IntRange(1, 3).Draw(t, "inventories") {
			inv = smaller(t)
			w.inv = inv
			w.stumble(t, "apply", func() *plan.Plan { return w.planOf(inv) })
			w.nothingLeft(t, "the second plan", inv)
			w.knowEachOther(t, inv)
			for _, name := range w.Names() {
				if slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Name == name }) {
					continue
				}
				if left := w.dumpOf(name); left != found[name] {
					t.Fatalf("%s has left (-found +left):\n%s", name, cmp.Diff(found[name], left))
				}
				if _, err := os.Stat(w.journal(name, inv.Name)); !errors.Is(err, os.ErrNotExist) {
					t.Fatalf("%s has left and keeps a journal", name)
				}
			}
		}
		inv = smaller(t) // destroyed with an inventory that was never applied
		if rapid.Bool().Draw(t, "as applied") {
			inv = w.inv
		}
		w.stumble(t, "destroy", func() *plan.Plan { return w.destroyOf(inv) })
		for _, name := range w.Names() {
			if left := w.dumpOf(name); left != found[name] {
				t.Fatalf("%s after destroy (-found +left):\n%s", name, cmp.Diff(found[name], left))
			}
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
