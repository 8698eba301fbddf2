package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/remote"
)

// twoHosts is a topology with a director and a real server.
func twoHosts(t *testing.T) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.Parse("lvsform.yaml", []byte(`
version: 1
name: two
networks: {lan: 192.0.2.0/24}
hosts:
  lb: {role: director, nics: {eth0: {network: lan, address: 192.0.2.3}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}}
services:
  - {vip: 192.0.2.30, port: 80, mode: dr, directors: [lb], real_servers: [web1]}
`))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// journalOf is what a host answers whose journal names these hosts.
func journalOf(members ...journal.Member) wire.Observed {
	return wire.Observed{Journal: journal.Journal{Topology: "two", Members: members}}
}

// answers is a host that answers every question alike.
type answers wire.Observed

func (a answers) Call(_ context.Context, _ wire.Method, _, response any) error {
	*response.(*wire.Observed) = wire.Observed(a) //nolint:forcetypeassert // nothing else is asked
	return nil
}

// Hosts that only the journals of other hosts name are connected to with the
// keys of who runs lvsform; so that is said.
func TestAlsoAsked(t *testing.T) {
	var stderr strings.Builder
	s := &session{
		inv: twoHosts(t), options: &remote.Options{}, progress: &progress{}, stderr: &stderr,
		hosts: apply.Hosts{
			"lb":   answers(journalOf(journal.Member{Name: "lb"}, journal.Member{Name: "db3", Address: "127.0.0.1", Port: 1, User: "root"})),
			"web1": answers(journalOf()),
		},
	}
	defer s.Close()
	observed, err := s.observe(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := observed["db3"]; o.Member == nil || o.Err == nil || !strings.Contains(o.Err.Error(), "say --forget-host db3") {
		t.Errorf("db3: %v", o)
	}
	if got, want := stderr.String(), "also asked: db3 (root@127.0.0.1 port 1), which has left the inventory\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	stderr.Reset()
	if _, err := s.observe(t.Context(), []string{"db3"}); err != nil || stderr.Len() != 0 {
		t.Errorf("to be forgotten: %v, told %q", err, stderr.String())
	}
}

func TestForgetHost(t *testing.T) {
	inv := twoHosts(t)
	named := map[string]plan.Observation{
		"lb":   {Observed: journalOf(journal.Member{Name: "lb"}, journal.Member{Name: "db3", Address: "192.0.2.9"}, journal.Member{Name: "db4", Address: "192.0.2.10"})},
		"web1": {},
	}
	for _, c := range []struct {
		name     string
		observed map[string]plan.Observation
		forget   []string
		left     string
		err      string
	}{
		{"nothing", named, nil, "db3 db4", ""},
		{"one that has left", named, []string{"db3"}, "db4", ""},
		{"all that have left", named, []string{"db3", "db4"}, "", ""},
		{"misspelt", named, []string{"db5"}, "", "--forget-host db5: there is no such host; those that have left the inventory are db3, db4"},
		{"one of the inventory", named, []string{"web1"}, "", "--forget-host web1: web1 is in the inventory; take it out first"},
		{"nobody has left", map[string]plan.Observation{"lb": {}, "web1": {}}, []string{"db3"}, "", "--forget-host db3: no host has left the inventory"},
		{"the host that knows is out of reach", map[string]plan.Observation{"lb": {Err: errors.New("no route to host")}, "web1": {}}, []string{"db3"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, err := leave(inv, c.observed, c.forget)
			var names []string
			for _, m := range left {
				names = append(names, m.Name)
			}
			if got := strings.Join(names, " "); got != c.left {
				t.Errorf("left: %s, want %s", got, c.left)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
