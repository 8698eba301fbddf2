package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/verify"
)

// changeFlags are the flags of the commands that change hosts.
type changeFlags struct {
	sshFlags
	planFlags
	yes    bool
	asJSON bool
	drain  time.Duration
}

func (f *changeFlags) add(cmd *cobra.Command) {
	f.sshFlags.add(cmd)
	f.planFlags.add(cmd)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "at the end, print what was done as JSON; needs --yes, or a saved plan")
	cmd.Flags().DurationVar(&f.drain, "drain", 10*time.Second, "how long to wait for the connections of a destination before it is removed; 0: do not wait")
}

func newApply() *cobra.Command {
	var (
		flags    changeFlags
		noVerify bool
	)
	cmd := &cobra.Command{
		Use:   "apply [FILE | PLAN]",
		Short: "Change the hosts to match the inventory, and prove it with test traffic",
		Long: `Change the hosts to match the inventory, and prove it with test traffic.

First it shows the plan, and asks. If a run is interrupted, run the same command
again: it resumes, because each host's journal lists what was done.

PLAN is a plan that lvsform plan --out saved. It is carried out exactly, without
asking. If a host has changed since the plan was made, nothing is changed, and
the difference is shown.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			saved, inv, err := load(args)
			if err == nil && saved != nil && flags.any() {
				err = fault.New(fault.Input, "a saved plan is applied as it is: --host, --service, --forget-host and --force are for making one")
			}
			if err != nil {
				return err
			}
			s := flags.connect(cmd.Context(), cmd, inv)
			defer s.Close()
			var p *plan.Plan
			if saved == nil {
				p, _, err = flags.make(cmd, s, false)
			} else {
				p, err = saved.Plan, confirmSaved(cmd, s, saved)
			}
			if err != nil {
				return err
			}
			return flags.carryOut(cmd, s, p, saved != nil, !noVerify && !p.Destroy)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "do not send test traffic at the end")
	return cmd
}

// confirmSaved refuses a saved plan that the hosts no longer fit.
func confirmSaved(cmd *cobra.Command, s *session, saved *plan.Saved) error {
	if text, err := readRegular(saved.Inventory.File); err == nil && !saved.MadeFrom(text) {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s has changed since the plan was made; the plan is applied as it was reviewed\n", saved.Inventory.File)
	}
	observed := apply.Observe(cmd.Context(), s.inv, s.hosts, s.applyOptions(0))
	s.observeLeft(cmd.Context(), saved.Left(), observed)
	if cmd.Context().Err() != nil {
		return errNothingDone
	}
	return saved.Unchanged(s.inv, observed)
}

// Outcome is the JSON document of a command that changes hosts.
type Outcome struct {
	FormatVersion string     `json:"format_version"`
	Plan          *plan.Plan `json:"plan"` // what was to be done
	// Done is how many of the plan's actions were carried out: all of them,
	// unless there are errors; at least so many if a host was lost meanwhile.
	Done int `json:"done"`
	// Verdict is what test traffic proved; absent when none was sent.
	Verdict *verify.Report `json:"verdict,omitempty"`
	// Errors are what ended the run. Hosts that cannot be planned for have
	// theirs in the plan.
	Errors []Failure `json:"errors,omitempty"`
}

// carryOut shows a plan, asks unless it was reviewed, carries it out, and sends
// test traffic if it is to.
func (f *changeFlags) carryOut(cmd *cobra.Command, s *session, p *plan.Plan, reviewed, verifies bool) error {
	out := &Outcome{FormatVersion: plan.FormatVersion, Plan: p}
	opts := s.applyOptions(f.drain)
	if verifies {
		opts.Prove = func(context.Context) (err error) {
			out.Verdict, err = verifyApplied(cmd, s, p)
			return err
		}
	}
	err := f.change(cmd, s, p, reviewed, out, opts)
	if !f.asJSON {
		if out.Verdict != nil { // also where a journal could not be settled after it
			if verdict := printReport(cmd, out.Verdict, false); err == nil {
				err = verdict
			}
		}
		return err
	}
	if err == nil && out.Verdict != nil {
		err = notVerified(out.Verdict)
	}
	var status *exitStatus
	if err != nil && !errors.As(err, &status) {
		out.Errors = failuresOf(err)
		status = &exitStatus{status: exitError, err: err}
	}
	if printed := printJSON(cmd.OutOrStdout(), out); printed != nil || err == nil {
		return printed
	}
	status.told = true
	return status
}

// change carries a plan out, and notes in out how far it came.
func (f *changeFlags) change(cmd *cobra.Command, s *session, p *plan.Plan, reviewed bool, out *Outcome, opts apply.Options) error {
	if !f.asJSON {
		if err := p.WriteText(cmd.OutOrStdout(), textOptions(cmd, false)); err != nil {
			return err
		}
	}
	if p.Failed() {
		return hostsFailed(p)
	}
	if !p.Empty() && !f.yes && !reviewed {
		if err := f.confirm(cmd); err != nil {
			return err
		}
	}
	err := apply.Run(cmd.Context(), p, s.hosts, opts)
	s.progress.end()
	if stopped := (*apply.Error)(nil); errors.As(err, &stopped) {
		stopped.Saved = reviewed
		out.Done = stopped.Done
	} else {
		out.Done = p.Summary.Steps()
	}
	if err != nil || p.Empty() || f.asJSON {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Done: %s on %s.\n", count(p.Summary.Steps(), "step"), count(p.Summary.HostsToChange, "host"))
	return err
}

func (f *changeFlags) confirm(cmd *cobra.Command) error {
	if f.asJSON {
		return fault.New(fault.Input, "--json does not show the plan to be confirmed; say --yes, or apply a saved plan")
	}
	return confirm(cmd, "Carry out this plan?")
}

// verifyApplied verifies after an apply. Where there is nothing that test
// traffic could prove, the apply alone is the result. Of a part, only the chosen
// services are: a choice of hosts does not say what works by now.
func verifyApplied(cmd *cobra.Command, s *session, p *plan.Plan) (*verify.Report, error) {
	inv := *s.inv
	if p.Only != nil {
		if len(p.Only.Hosts) != 0 || p.Summary.Held != 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "not verified: only a part was applied; lvsform verify tests what there is")
			return nil, nil
		}
		inv.Tunnels = nil
		inv.Services = slices.DeleteFunc(slices.Clone(inv.Services), func(s *inventory.Service) bool { return !slices.Contains(p.Only.Services, s.Name) })
	}
	isClient := func(h *inventory.Host) bool { return h.Has(inventory.RoleClient) }
	switch {
	case len(inv.Services)+len(inv.Tunnels) == 0:
		return nil, nil
	case len(inv.Services) != 0 && !slices.ContainsFunc(inv.Hosts, isClient):
		fmt.Fprintln(cmd.ErrOrStderr(), "not verified: the inventory has no client host to send test traffic from")
		return nil, nil
	}
	report, err := verify.Run(cmd.Context(), &inv, s.Callers(), verify.Options{
		Progress: func(line string) { s.progress.show("%s", line) },
	})
	s.progress.end()
	return report, err
}
