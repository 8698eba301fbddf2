package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/modes"
)

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check an inventory without contacting a host",
		Long: `Check the inventory FILE (default ` + defaultFile + `): its syntax, its types, and every rule
of the forwarding modes that can be told from the file alone. All mistakes are
reported, each with its line and column.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, err := loadInventory(args)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s: valid: %s, %s\n", inv.File,
				count(len(inv.Hosts), "host"), count(len(inv.Services), "service"))
			for _, n := range modes.Notes(inv) {
				fmt.Fprintf(out, "note: %s\n", n)
			}
			return nil
		},
	}
}

// count says how many there are of a thing whose plural ends in s.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
