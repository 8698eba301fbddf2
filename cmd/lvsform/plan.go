package main

import (
	"encoding/json"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/plan"
)

// errHostsFailed ends commands that show a plan with hosts that failed; the
// plan has said which and why.
var errHostsFailed = errors.New("some hosts cannot be planned for; nothing was changed")

func newPlan() *cobra.Command {
	var (
		ssh      sshFlags
		asJSON   bool
		detailed bool
	)
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Show what apply would change on each host, and why",
		Long: `Show what apply would change on each host, and why.

FILE is the inventory, lvsform.yaml unless said otherwise. Every host is
connected to and observed; nothing is changed, but for the agent being put into
/var/lib/lvsform/agent when a host does not have it yet.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, err := loadInventory(args)
			if err != nil {
				return err
			}
			s := ssh.connect(cmd.Context(), cmd, inv)
			defer s.Close()
			p := s.makePlan(cmd.Context(), false)
			if err := printPlan(cmd.OutOrStdout(), p, asJSON); err != nil {
				return err
			}
			switch {
			case p.Failed():
				return errHostsFailed
			case detailed && !p.Empty():
				return &exitStatus{exitPending, nil}
			}
			return nil
		},
	}
	ssh.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

func printPlan(w io.Writer, p *plan.Plan, asJSON bool) error {
	if asJSON {
		return printJSON(w, p)
	}
	return p.WriteText(w)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
