package modes_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// What must be seen of a probe in each mode, as docs/verify.md has it.
func TestTraits(t *testing.T) {
	want := map[inventory.Mode]modes.Traits{
		inventory.ModeNAT:     {Forward: state.ForwardNAT, Source: modes.SourceClient, RepliesThroughDirector: true},
		inventory.ModeDR:      {Forward: state.ForwardDR, Source: modes.SourceClient, KeepsDestination: true},
		inventory.ModeTUN:     {Forward: state.ForwardTUN, Source: modes.SourceClient, KeepsDestination: true, VIPWhereItArrives: true, Tunnelled: true},
		inventory.ModeFullNAT: {Forward: state.ForwardNAT, Source: modes.SourceDirector, RepliesThroughDirector: true},
	}
	for _, m := range allModes() {
		if diff := cmp.Diff(want[m], modes.TraitsOf(m)); diff != "" {
			t.Errorf("%s (-want +has):\n%s", m, diff)
		}
	}
	for _, m := range allModes() {
		if got := modes.With(want[m].Forward, want[m].Source); got != m {
			t.Errorf("with the traits of %s: %q", m, got)
		}
	}
	if got := modes.With(state.ForwardDR, modes.SourceDirector); got != "" {
		t.Errorf("%s hands packets on with another source", got)
	}
	if got := modes.TraitsOf("no such mode"); got != (modes.Traits{}) {
		t.Errorf("a mode without a file has traits: %+v", got)
	}
}

// Only a reply to the client's own address has to be routed to the director.
func TestRoutesBack(t *testing.T) {
	for _, m := range allModes() {
		if got, want := modes.TraitsOf(m).RoutesBack(), m == inventory.ModeNAT; got != want {
			t.Errorf("%s: %v, want %v", m, got, want)
		}
	}
}
