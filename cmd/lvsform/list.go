package main

import (
	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/plan"
)

func newList() *cobra.Command {
	var (
		ssh    sshFlags
		asJSON bool
		items  bool
		only   []string
	)
	cmd := &cobra.Command{
		Use:   "list [FILE]",
		Short: "List the topologies on the inventory's hosts, and what each host holds",
		Long: `List the topologies on the inventory's hosts, and what each host holds.

It reads all journals on the hosts, also those of other topologies. It also lists
hosts that have left the inventory, if a journal of the topology names them.
Nothing is changed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := ssh.open(cmd, args)
			if err != nil {
				return err
			}
			defer s.Close()
			observed, err := s.observe(cmd.Context(), nil)
			if err != nil {
				return err
			}
			l := plan.Hold(s.inv, observed)
			if err := l.Narrow(only); err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), l)
			} else {
				err = l.WriteText(cmd.OutOrStdout(), textOptions(cmd, false), items)
			}
			if failure := l.Failure(); err == nil && failure != nil {
				return notAsked(failure)
			}
			return err
		},
	}
	ssh.add(cmd)
	cmd.Flags().StringSliceVar(&only, "host", nil, "list only these hosts")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON, with every item")
	cmd.Flags().BoolVar(&items, "items", false, "list every item, and what was there before")
	return cmd
}
