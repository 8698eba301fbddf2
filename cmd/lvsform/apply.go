package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/verify"
)

// changeFlags are the flags of the commands that change hosts.
type changeFlags struct {
	sshFlags
	yes   bool
	drain time.Duration
}

func (f *changeFlags) add(cmd *cobra.Command) {
	f.sshFlags.add(cmd)
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&f.drain, "drain", 10*time.Second, "how long a destination that is removed may keep its connections; 0 does not wait")
}

func newApply() *cobra.Command {
	var (
		flags    changeFlags
		noVerify bool
	)
	cmd := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Make the hosts as the inventory says, and prove it with test traffic",
		Long: `Make the hosts as the inventory says, and prove it with test traffic.

The plan is shown and asked about first. A run that is cut short is taken up by
running the same command again: each host's journal holds what was done.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, err := loadInventory(args)
			if err != nil {
				return err
			}
			s := flags.connect(cmd.Context(), cmd, inv)
			defer s.Close()
			if err := flags.carryOut(cmd, s, s.makePlan(cmd.Context(), false)); err != nil {
				return err
			}
			if noVerify {
				return nil
			}
			return verifyApplied(cmd.Context(), cmd, s)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&noVerify, "no-verify", false, "send no test traffic afterwards")
	return cmd
}

// carryOut shows a plan, asks, and carries it out.
func (f *changeFlags) carryOut(cmd *cobra.Command, s *session, p *plan.Plan) error {
	out := cmd.OutOrStdout()
	if err := p.WriteText(out); err != nil {
		return err
	}
	if p.Failed() {
		return errHostsFailed
	}
	if !p.Empty() && !f.yes {
		if err := confirm(cmd, "Carry out this plan?"); err != nil {
			return err
		}
	}
	err := apply.Run(cmd.Context(), p, s.hosts, apply.Options{
		Drain:    f.drain,
		Parallel: s.parallel,
		Progress: func(line string) { s.progress.show("%s", line) },
	})
	s.progress.end()
	if err != nil || p.Empty() {
		return err
	}
	_, err = fmt.Fprintf(out, "Done: %s on %s.\n", count(p.Summary.Steps(), "step"), count(p.Summary.HostsToChange, "host"))
	return err
}

// verifyApplied verifies after an apply. Where there is nothing that test
// traffic could prove, the apply alone is the result.
func verifyApplied(ctx context.Context, cmd *cobra.Command, s *session) error {
	isClient := func(h *inventory.Host) bool { return h.Has(inventory.RoleClient) }
	switch {
	case len(s.inv.Services)+len(s.inv.Tunnels) == 0:
		return nil
	case len(s.inv.Services) != 0 && !slices.ContainsFunc(s.inv.Hosts, isClient):
		fmt.Fprintln(cmd.ErrOrStderr(), "not verified: the inventory has no client host to send test traffic from")
		return nil
	}
	report, err := verify.Run(ctx, s.inv, s.Callers(), verify.Options{
		Progress: func(line string) { s.progress.show("%s", line) },
	})
	s.progress.end()
	if err != nil {
		return err
	}
	return printReport(cmd, report, false)
}
