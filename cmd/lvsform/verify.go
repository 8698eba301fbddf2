package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/verify"
)

func newVerify() *cobra.Command {
	var (
		ssh     sshFlags
		asJSON  bool
		probes  int
		timeout time.Duration
		standIn bool
	)
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Send test traffic to every service and tunnel, and judge it",
		Long: `Send test traffic to every service and tunnel, and judge it.

Every client host opens connections to the VIP and holds them. Over UDP it sends
datagrams that must be answered. Meanwhile lvsform asks the director which real
server got each connection, and asks the real servers what they saw. The two ends
of a tunnel send echo requests to each other. Nothing is changed on any host.

The exit status is 3 if a check failed. It is 1 if no check failed and the
outcome of one is unknown, because a host could not be asked.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if probes < 0 || probes > verify.MaxProbes || timeout <= 0 {
				return fault.New(fault.Input, "--probes takes 0 to 1024, and --timeout more than nothing")
			}
			s, err := ssh.open(cmd, args)
			if err != nil {
				return err
			}
			defer s.Close()
			report, err := verify.Run(cmd.Context(), s.inv, s.Callers(), verify.Options{
				Probes:   probes,
				Timeout:  timeout,
				StandIn:  standIn,
				Progress: func(line string) { s.progress.show("%s", line) },
			})
			s.progress.end()
			if err != nil {
				return err
			}
			return printReport(cmd, report, asJSON)
		},
	}
	ssh.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON")
	cmd.Flags().IntVar(&probes, "probes", 0, "connections from each client to each port of each service; 0: chosen by scheduler and weights")
	cmd.Flags().DurationVar(&timeout, "timeout", verify.DefaultTimeout, "how long a connection may take to open, or a datagram to be answered")
	cmd.Flags().BoolVar(&standIn, "stand-in", false, "during the test, listen on real servers where no program listens")
	return cmd
}

// printReport prints a verdict; one that is not good ends the program with a
// status of its own.
func printReport(cmd *cobra.Command, r *verify.Report, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), r)
	} else {
		err = r.WriteText(cmd.OutOrStdout(), columns(cmd.OutOrStdout()))
	}
	if err == nil {
		err = notVerified(r)
	}
	return err
}

// notVerified ends a command whose report is not good; nil where it is. A report
// that is unknown is an error like any other: something could not be asked.
func notVerified(r *verify.Report) error {
	why := r.Fault()
	switch {
	case why == nil:
		return nil
	case r.Outcome == verify.Failed:
		return &exitStatus{status: exitNotVerified, told: true, err: why}
	default:
		return &exitStatus{status: exitError, told: true, err: why}
	}
}
