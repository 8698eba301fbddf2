package apply_test

import (
	"maps"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// Hosts reboot, and come back with what somebody has configured by now. From
// then on that is what was found: destroy leaves it, or goes back to it if there
// was another apply.
func TestLawOfReboots(t *testing.T) {
	law(t, 1, func(t *rapid.T) {
		w := drawnWorld(t, parse(t, modestest.Inventory().Draw(t, "inventory")))
		boots := map[string]string{}
		w.Prepare = func(a *agent.Agent) { a.Boot = "boot 1" + boots[filepath.Base(a.Dir)] }
		bare := map[string]state.Host{}
		for name, k := range w.Kernels {
			bare[name] = maps.Clone(k.State)
		}
		disturb(t, w)
		found := map[string]string{}
		for name := range w.Kernels {
			found[name] = w.dumpOf(name)
		}
		w.mustRun(t, "apply", w.planOf(w.inv))

		up := map[string]state.Host{}
		for _, name := range w.Names() {
			up[name] = w.Kernels[name].State
			w.Kernels[name].State = maps.Clone(bare[name])
		}
		disturb(t, w)
		for _, name := range w.Names() {
			if rapid.Bool().Draw(t, name+" reboots") {
				boots[name] = ", and another"
				found[name] = w.dumpOf(name)
			} else {
				w.Kernels[name].State = up[name]
			}
		}
		observed := w.observe(w.inv)
		drift := plan.Deviations(w.inv, observed)
		for _, h := range drift.Hosts {
			if want := boots[h.Name] != "" && h.Held != 0; h.Rebooted != want {
				t.Fatalf("%s: drift says rebooted %t, want %t", h.Name, h.Rebooted, want)
			}
		}
		if rapid.Bool().Draw(t, "apply again") {
			w.mustRun(t, "apply after the reboot", w.planOf(w.inv))
			w.nothingLeft(t, "after the reboot", w.inv)
		}
		w.mustRun(t, "destroy", w.destroyOf(w.inv))
		for name := range w.Kernels {
			if left := w.dumpOf(name); left != found[name] {
				t.Fatalf("%s: destroy (-found +left):\n%s", name, cmp.Diff(found[name], left))
			}
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
