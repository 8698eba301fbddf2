package main

import (
	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/inventory"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the inventory, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(inventory.Schema())
			return err
		},
	}
}
