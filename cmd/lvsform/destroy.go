package main

import (
	"github.com/spf13/cobra"
)

func newDestroy() *cobra.Command {
	var flags changeFlags
	cmd := &cobra.Command{
		Use:   "destroy [FILE]",
		Short: "Put every host back as it was found",
		Long: `Put every host back as it was found.

Each host has a journal of what was there before the first apply. lvsform
restores that, and then removes the journal and the agent. What somebody has set
to another value since is left, and shown; --force puts that back, too. Kernel
modules stay loaded, because other programs may use them now.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.open(cmd, args)
			if err != nil {
				return err
			}
			defer s.Close()
			p, _, err := flags.make(cmd, s, true)
			if err != nil {
				return err
			}
			return flags.carryOut(cmd, s, p, false, false)
		},
	}
	flags.add(cmd)
	return cmd
}
