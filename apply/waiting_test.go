package apply_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/apply"
)

func TestWaiting(t *testing.T) {
	var got []string
	w := apply.NewWaiting(func(line string) { got = append(got, line) }, "connecting", []string{"lb", "web1", "web2", "web3", "web4", "web5"})
	w.At("web1", "authentication")
	for _, name := range []string{"lb", "web3", "web5", "web4", "web2", "web1"} {
		w.Done(name)
	}
	want := []string{
		"connecting: 0 of 6 hosts; waiting for lb, web1, web2, web3 and 2 more",
		"connecting: 0 of 6 hosts; waiting for lb, web1 (authentication), web2, web3 and 2 more",
		"connecting: 1 of 6 hosts; waiting for web1 (authentication), web2, web3, web4 and 1 more",
		"connecting: 2 of 6 hosts; waiting for web1 (authentication), web2, web4, web5",
		"connecting: 3 of 6 hosts; waiting for web1 (authentication), web2, web4",
		"connecting: 4 of 6 hosts; waiting for web1 (authentication), web2",
		"connecting: 5 of 6 hosts; waiting for web1 (authentication)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
