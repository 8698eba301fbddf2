package main

import (
	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/plan"
)

func newDrift() *cobra.Command {
	var (
		ssh      sshFlags
		forget   []string
		only     []string
		asJSON   bool
		detailed bool
		quiet    bool
	)
	cmd := &cobra.Command{
		Use:   "drift [FILE]",
		Short: "Report how hosts differ from what was applied last",
		Long: `Report how hosts differ from what was applied last.

The journals on the hosts list what was applied. FILE only names the topology and
the hosts; they are not compared with it. Nothing is changed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := ssh.open(cmd, args)
			if err != nil {
				return err
			}
			defer s.Close()
			observed, err := s.observe(cmd.Context(), forget)
			if err != nil {
				return err
			}
			d := plan.Deviations(s.inv, observed)
			if err := d.Narrow(only); err != nil {
				return err
			}
			switch {
			case asJSON:
				err = printJSON(cmd.OutOrStdout(), d)
			case !quiet:
				err = d.WriteText(cmd.OutOrStdout(), textOptions(cmd, false))
			}
			switch {
			case err != nil:
				return err
			case d.Failed():
				if quiet {
					for _, h := range d.Hosts {
						tellErrors(cmd.ErrOrStderr(), h.Name, h.Errors...)
					}
				}
				return notAsked(d.Failure())
			case detailed && !d.Clean():
				return &exitStatus{status: exitPending}
			}
			return nil
		},
	}
	ssh.add(cmd)
	cmd.Flags().StringSliceVar(&only, "host", nil, "report only on these hosts")
	cmd.Flags().StringSliceVar(&forget, "forget-host", nil, "hosts that have left the inventory and are gone for good: do not connect to them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when a host has drifted")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print only errors; read the exit status")
	cmd.MarkFlagsMutuallyExclusive("json", "quiet")
	return cmd
}
