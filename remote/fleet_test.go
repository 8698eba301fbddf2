package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFleetKeepsResultsOfOthers(t *testing.T) {
	s := startServer(t)
	const hosts = 50
	bad := map[int]bool{3: true, 17: true, 49: true}
	var targets []Target
	want := make(map[string]string)
	for i := range hosts {
		target := s.target(fmt.Sprintf("host%02d", i))
		if bad[i] {
			target.SSH.Key = s.path("missing")
		} else {
			want[target.Name] = target.Name
		}
		targets = append(targets, target)
	}
	o := s.options()
	o.Parallel = 8
	f := Dial(context.Background(), targets, o)
	defer func() { _ = f.Close() }()

	results := Each(context.Background(), f.Group, echo)
	if diff := cmp.Diff(want, results.Values()); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	for i, r := range results {
		if r.Host != targets[i].Name || (r.Err != nil) != bad[i] {
			t.Errorf("result %d: %s, %v", i, r.Host, r.Err)
		}
	}
	lines := strings.Split(results.Err().Error(), "\n")
	if len(lines) != len(bad) || !strings.HasPrefix(lines[0], "host03: authentication: ") {
		t.Errorf("errors:\n%s", strings.Join(lines, "\n"))
	}
	if diff := cmp.Diff(f.Err().Error(), results.Err().Error()); diff != "" {
		t.Errorf("the fleet's errors and the results' differ:\n%s", diff)
	}

	some := Each(context.Background(), f.Only("host02", "host01", "nobody"), func(_ context.Context, h *Host) (int, error) {
		if h.Name() == "host01" {
			return 0, errors.New("refused")
		}
		return 2, nil
	})
	if err := some.Err(); err == nil || err.Error() != "host01: refused" {
		t.Errorf("some: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"host02": 2}, some.Values()); diff != "" {
		t.Errorf("some (-want +got):\n%s", diff)
	}
	if _, err := f.Host("nobody"); err == nil {
		t.Error("there is no host nobody")
	}
}

func TestFleetOfNobody(t *testing.T) {
	f := Dial(context.Background(), nil, &Options{ConfigFiles: []string{}})
	if got := Each(context.Background(), f.Group, echo); len(got) != 0 || got.Err() != nil {
		t.Errorf("got %v", got)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
