package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/plan"
)

// Every wave has words of its own, and they lead back to it.
func TestWavesInJSON(t *testing.T) {
	out, err := json.Marshal(plan.Waves())
	if err != nil {
		t.Fatal(err)
	}
	var back []plan.Wave
	if err := json.Unmarshal(out, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan.Waves(), back); diff != "" {
		t.Error(diff)
	}
}

func TestWavesThatAreNone(t *testing.T) {
	for _, w := range []plan.Wave{0, plan.RestoreHosts + 1} {
		if out, err := json.Marshal(w); err == nil {
			t.Errorf("wave %d is %s in JSON", int(w), out)
		}
	}
	for _, text := range []string{`7`, `""`, `"add"`, `"Add destinations"`, `"wave 7"`, `"add destinations "`} {
		var w plan.Wave
		if json.Unmarshal([]byte(text), &w) == nil {
			t.Errorf("%s is wave %s", text, w)
		}
	}
}
