package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/remote"
)

// session is a command's connections to the hosts of one inventory.
type session struct {
	inv      *inventory.Inventory
	fleet    *remote.Fleet
	hosts    apply.Hosts
	progress *progress
	parallel int
}

// sshFlags are the flags of every command that connects to hosts.
type sshFlags struct {
	acceptNew bool
	parallel  int
}

func (f *sshFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.acceptNew, "accept-new-host-keys", false, "add unknown host keys to known_hosts; changed keys are still refused")
	cmd.Flags().IntVar(&f.parallel, "parallel", 32, "how many hosts to connect to at a time")
}

// connect reaches every host of the inventory. A host that cannot be reached
// is no error here: it answers every question with the reason.
func (f *sshFlags) connect(ctx context.Context, cmd *cobra.Command, inv *inventory.Inventory) *session {
	s := &session{inv: inv, hosts: apply.Hosts{}, progress: newProgress(cmd.ErrOrStderr()), parallel: f.parallel}
	s.fleet = remote.Dial(ctx, targets(inv), &remote.Options{
		AcceptNew: f.acceptNew,
		Parallel:  f.parallel,
		Jumps: func(name string) (remote.Target, bool) {
			for _, t := range targets(inv) {
				if t.Name == name {
					return t, true
				}
			}
			return remote.Target{}, false
		},
		Passphrase: askPassphrase,
		Progress:   func(host, step string) { s.progress.show("%s: %s", host, step) },
	})
	for _, h := range inv.Hosts {
		host, err := s.fleet.Host(h.Name)
		if err != nil {
			s.hosts[h.Name] = apply.Unreachable{Err: withoutHost(err)}
			continue
		}
		s.hosts[h.Name] = host
	}
	return s
}

// withoutHost is an error of package remote without the host's name in front,
// for places that print it under that name.
func withoutHost(err error) error {
	var e *remote.Error
	if errors.As(err, &e) && e.Step != "" {
		return fmt.Errorf("%s: %w", e.Step, e.Err)
	}
	return err
}

func targets(inv *inventory.Inventory) []remote.Target {
	out := make([]remote.Target, len(inv.Hosts))
	for i, h := range inv.Hosts {
		out[i] = remote.Target{Name: h.Name, SSH: h.SSH}
		if len(h.NICs) != 0 && len(h.NICs[0].Addresses) != 0 {
			out[i].Fallback = h.NICs[0].Addresses[0].Addr().String()
		}
	}
	return out
}

// Close ends the connections and the progress line.
func (s *session) Close() {
	s.progress.end()
	_ = s.fleet.Close() // nothing is left to be lost
}

// Callers are the hosts' agents by name.
func (s *session) Callers() map[string]wire.Caller { return s.hosts }

// makePlan observes the hosts and plans for them.
func (s *session) makePlan(ctx context.Context, destroy bool) *plan.Plan {
	s.progress.show("observing %d hosts", len(s.inv.Hosts))
	observed := apply.Observe(ctx, s.inv, s.hosts, apply.Options{Parallel: s.parallel})
	s.progress.end()
	if destroy {
		return plan.Destroy(s.inv, observed)
	}
	return plan.Make(s.inv, observed)
}
