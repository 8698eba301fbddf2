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

What was there before the first apply is restored from the journal that each
host keeps; then the journal and the agent are removed. Kernel modules stay
loaded: nothing tells who else has come to use them.`,
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
