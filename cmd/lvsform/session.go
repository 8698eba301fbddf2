package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/remote"
)

// session is a command's connections to the hosts of one inventory.
type session struct {
	inv      *inventory.Inventory
	options  *remote.Options
	fleets   []*remote.Fleet // the inventory's, and that of hosts that have left it
	hosts    apply.Hosts
	progress *progress
	stderr   io.Writer
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

// open loads the inventory of the command line, and connects.
func (f *sshFlags) open(cmd *cobra.Command, args []string) (*session, error) {
	inv, err := loadInventory(args)
	if err != nil {
		return nil, err
	}
	return f.connect(cmd.Context(), cmd, inv), nil
}

// connect reaches every host of the inventory. A host that cannot be reached
// is no error here: it answers every question with the reason.
func (f *sshFlags) connect(ctx context.Context, cmd *cobra.Command, inv *inventory.Inventory) *session {
	s := &session{inv: inv, hosts: apply.Hosts{}, progress: newProgress(cmd.ErrOrStderr()), stderr: cmd.ErrOrStderr(), parallel: f.parallel}
	s.options = &remote.Options{
		AcceptNew:  f.acceptNew,
		Parallel:   f.parallel,
		Passphrase: func(prompt string) ([]byte, error) { return askPassphrase(ctx, prompt) },
	}
	s.reach(ctx, plan.Members(inv))
	return s
}

// reach connects to hosts.
func (s *session) reach(ctx context.Context, members []journal.Member) {
	known := slices.Concat(plan.Members(s.inv), members)
	s.options.Jumps = func(name string) (journal.Member, bool) {
		i := slices.IndexFunc(known, func(m journal.Member) bool { return m.Name == name })
		if i < 0 {
			return journal.Member{}, false
		}
		return known[i], true
	}
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.Name
	}
	waiting := apply.NewWaiting(s.applyOptions(0).Progress, "connecting", names)
	s.options.Progress = func(host, step string) {
		if step == "" {
			waiting.Done(host)
		} else {
			waiting.At(host, step)
		}
	}
	fleet := remote.Dial(ctx, members, s.options)
	s.fleets = append(s.fleets, fleet)
	for _, m := range members {
		host, err := fleet.Host(m.Name)
		if err != nil {
			s.hosts[m.Name] = apply.Unreachable{Err: withoutHost(err)}
			continue
		}
		s.hosts[m.Name] = host
	}
}

// withoutHost is an error of package remote without the host's name in front,
// for places that print it under that name.
func withoutHost(err error) error {
	var e *remote.Error
	if errors.As(err, &e) && e.Step != "" {
		return fault.New(e.FaultKind(), "%s: %w", e.Step, e.Err)
	}
	return err
}

// whereabouts is how a host is reached, as far as its inventory said.
func whereabouts(m journal.Member) string {
	at := cmp.Or(m.Address, m.Fallback)
	if m.User != "" {
		at = m.User + "@" + at
	}
	if m.Port != 0 {
		at += fmt.Sprintf(" port %d", m.Port)
	}
	if m.Jump != "" {
		at += " through " + m.Jump
	}
	return at
}

// Close ends the connections and the progress line.
func (s *session) Close() {
	s.progress.end()
	for _, f := range s.fleets {
		_ = f.Close() // nothing is left to be lost
	}
}

// Callers are the hosts' agents by name.
func (s *session) Callers() map[string]wire.Caller { return s.hosts }

// options of apply, with what they tell shown as progress.
func (s *session) applyOptions(drain time.Duration) apply.Options {
	return apply.Options{
		Drain:    drain,
		Parallel: s.parallel,
		Progress: func(line string) { s.progress.show("%s", line) },
	}
}

// observe reads the live state of the inventory's hosts, and of those that have
// left it and may still hold something, but for the ones to forget.
func (s *session) observe(ctx context.Context, forget []string) (map[string]plan.Observation, error) {
	observed := apply.Observe(ctx, s.inv, s.hosts, s.applyOptions(0))
	if ctx.Err() != nil {
		return nil, errNothingDone
	}
	left, err := leave(s.inv, observed, forget)
	if err != nil {
		return nil, err
	}
	s.observeLeft(ctx, left, observed)
	if ctx.Err() != nil {
		return nil, errNothingDone
	}
	return observed, nil
}

// leave takes the hosts to forget from those that have left the inventory. Each
// must be one of them. A host that could not be observed may be the one whose
// journal names it; then it is not known who has left.
func leave(inv *inventory.Inventory, observed map[string]plan.Observation, forget []string) ([]journal.Member, error) {
	left := plan.Left(inv, observed)
	var names []string
	for _, m := range left {
		names = append(names, m.Name)
	}
	failed := false
	for _, o := range observed {
		failed = failed || o.Err != nil
	}
	for _, name := range forget {
		switch {
		case slices.ContainsFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Name == name }):
			return nil, fault.New(fault.Input, "--forget-host %s: %s is in the inventory; take it out first", name, name)
		case failed || slices.Contains(names, name):
		case names == nil:
			return nil, fault.New(fault.Input, "--forget-host %s: no host has left the inventory", name)
		default:
			return nil, fault.New(fault.Input, "--forget-host %s: there is no such host; those that have left the inventory are %s", name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(left, func(m journal.Member) bool { return slices.Contains(forget, m.Name) }), nil
}

func (s *session) observeLeft(ctx context.Context, left []journal.Member, observed map[string]plan.Observation) {
	defer s.progress.end()
	if len(left) == 0 {
		return
	}
	s.progress.end()
	for _, m := range left {
		// Hosts have named it, and not who runs lvsform.
		fmt.Fprintf(s.stderr, "also asked: %s (%s), which has left the inventory\n", m.Name, whereabouts(m))
	}
	s.reach(ctx, left)
	for name, o := range apply.ObserveLeft(ctx, s.inv, left, s.hosts, s.applyOptions(0)) {
		if o.Err != nil {
			o.Err = fault.New(fault.Of(o.Err), "%w; it has left the inventory, and may still hold something: if it is gone for good, say --forget-host %s", o.Err, name)
		}
		observed[name] = o
	}
}
