package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/journal"
)

func TestFleetKeepsResultsOfOthers(t *testing.T) {
	s := startServer(t)
	const hosts = 50
	bad := map[int]bool{3: true, 17: true, 49: true}
	var targets []journal.Member
	for i := range hosts {
		target := s.target(fmt.Sprintf("host%02d", i))
		if bad[i] {
			target.Key = s.path("missing")
		}
		targets = append(targets, target)
	}
	o := s.options()
	o.Parallel = 8
	f := Dial(context.Background(), targets, o)
	defer func() { _ = f.Close() }()

	for i, target := range targets {
		h, err := f.Host(target.Name)
		if (err != nil) != bad[i] {
			t.Errorf("%s: %v", target.Name, err)
		}
		if err != nil {
			continue
		}
		if got, err := echo(context.Background(), h); err != nil || got != target.Name {
			t.Errorf("%s answers %q, %v", target.Name, got, err)
		}
	}
	lines := strings.Split(failures(f).Error(), "\n")
	if len(lines) != len(bad) || !strings.HasPrefix(lines[0], "host03: authentication: ") {
		t.Errorf("errors:\n%s", strings.Join(lines, "\n"))
	}
	if _, err := f.Host("nobody"); err == nil {
		t.Error("there is no host nobody")
	}
}

func TestFleetOfNobody(t *testing.T) {
	f := Dial(context.Background(), nil, &Options{ConfigFiles: []string{}})
	if err := failures(f); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// echoAll asks every host of a fleet at once, and joins the errors.
func echoAll(f *Fleet) error {
	if err := failures(f); err != nil {
		return err
	}
	errs := make([]error, len(f.members))
	bounded(len(f.members), defaultParallel, func(i int) {
		_, errs[i] = echo(context.Background(), f.members[i].host)
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// connectTo reaches one host. Options.Progress hears of its steps, not that it is done.
func connectTo(ctx context.Context, t journal.Member, o *Options) (*Fleet, error) {
	alone := *o
	if tell := o.Progress; tell != nil {
		alone.Progress = func(host, step string) {
			if step != "" {
				tell(host, step)
			}
		}
	}
	f := Dial(ctx, []journal.Member{t}, &alone)
	_, err := f.Host(t.Name)
	return f, err
}

// failures are why hosts could not be reached, one line a host; nil: all were.
func failures(f *Fleet) error {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.err)
	}
	return errors.Join(errs...)
}
