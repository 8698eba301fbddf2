package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
)

// Valid is the JSON document of lvsform validate for a file without mistakes.
type Valid struct {
	FormatVersion string   `json:"format_version"`
	File          string   `json:"file"`
	Topology      string   `json:"topology"`
	Hosts         int      `json:"hosts"`    // how many there are
	Services      int      `json:"services"` // how many there are
	Notes         []string `json:"notes"`    // what to know of the inventory: limits, surprises
}

func newValidate() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check an inventory without contacting a host",
		Long: `Check the inventory FILE (default ` + defaultFile + `): its syntax, its types, and every rule
of the forwarding modes that can be checked without a host. All mistakes are
reported, each with its line and column.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inv, err := loadInventory(args)
			if err != nil {
				return err
			}
			v := Valid{
				FormatVersion: plan.FormatVersion, File: inv.File, Topology: inv.Name,
				Hosts: len(inv.Hosts), Services: len(inv.Services), Notes: append([]string{}, modes.Notes(inv)...),
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, v)
			}
			fmt.Fprintf(out, "%s: valid: %s, %s\n", v.File, count(v.Hosts, "host"), count(v.Services, "service"))
			for _, n := range v.Notes {
				fmt.Fprintf(out, "note: %s\n", n)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON, mistakes too")
	return cmd
}

// count says how many there are of a thing whose plural ends in s.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
