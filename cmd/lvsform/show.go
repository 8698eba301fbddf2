package main

import (
	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plan"
)

func newShow() *cobra.Command {
	var asJSON, diffOnly bool
	cmd := &cobra.Command{
		Use:   "show PLAN",
		Short: "Show a saved plan",
		Long: `Show a plan that lvsform plan --out saved, as lvsform plan printed it. No host is
contacted. lvsform apply checks whether the hosts are still the same.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(args[0])
			if err != nil {
				return err
			}
			if !plan.LooksSaved(text) {
				return fault.New(fault.Input, "%s: is no saved plan; lvsform plan --out makes one", args[0])
			}
			saved, _, err := plan.ParseSaved(args[0], text)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(cmd.OutOrStdout(), saved.Plan)
			}
			return saved.Plan.WriteText(cmd.OutOrStdout(), textOptions(cmd, diffOnly))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&diffOnly, "diff-only", false, "print only what changes")
	cmd.MarkFlagsMutuallyExclusive("json", "diff-only")
	return cmd
}
