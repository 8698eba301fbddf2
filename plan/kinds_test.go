package plan

import (
	"testing"

	"github.com/lvsform/lvsform/state"
)

// Every kind that lvsform changes has its place in the waves.
func TestWavesOfKinds(t *testing.T) {
	for _, kind := range state.Kinds() {
		if placed := partOf(kind) != 0; placed == kind.Traits().Observed {
			t.Errorf("%s: placed in the waves: %t", kind, placed)
		}
	}
}
