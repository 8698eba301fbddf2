package kernel

import (
	"testing"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// The kernel has an entry for every kind: what carries out its changes, and
// what reads it where it is read by name.
func TestKernelKnowsKinds(t *testing.T) {
	var k Kernel
	for _, kind := range state.Kinds() {
		traits := kind.Traits()
		if does := k.doer(kind) != nil; does == traits.Observed {
			t.Errorf("%s: its changes are carried out: %t", kind, does)
		}
		if named := reader(kind) != nil; named != traits.Named {
			t.Errorf("%s: read by name: %t", kind, named)
		}
	}
}

// Check knows every kind, and refuses no sample.
func TestCheckKnowsKinds(t *testing.T) {
	for _, i := range statetest.Items() {
		if err := Check(i); err != nil {
			t.Errorf("%s: %v", state.Text(i), err)
		}
	}
	if Check(nil) == nil {
		t.Error("what is of no kind is not refused")
	}
}
