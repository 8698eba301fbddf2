package main

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/cmd/lvsform/schema"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
)

// schemaNames lists what lvsform schema has a schema of: what is written by
// people, and then what is printed or saved.
func schemaNames() []string { return slices.Concat([]string{"inventory"}, schema.Names()) }

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the JSON Schema of the inventory, or of another document",
		Long: `Print the JSON Schema (draft 2020-12) of a document: the inventory, for editors,
or a document that lvsform prints with --json or saves. The default of NAME is
inventory. NAME is one of
` + strings.Join(schemaNames(), ", ") + `.`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: schemaNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := inventory.Schema()
			if len(args) == 1 && args[0] != "inventory" {
				var err error
				text, err = schema.Of(args[0])
				if errors.Is(err, fs.ErrNotExist) {
					return fault.New(fault.Input, "there is no schema %q; there are %s", args[0], strings.Join(schemaNames(), ", "))
				}
				if err != nil {
					return err
				}
			}
			_, err := cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
