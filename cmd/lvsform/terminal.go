package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lvsform/lvsform/plan"
)

// textOptions are those of a command's standard output: in colour on a
// terminal, unless NO_COLOR is set (https://no-color.org).
func textOptions(cmd *cobra.Command, diffOnly bool) plan.TextOptions {
	f, ok := cmd.OutOrStdout().(*os.File)
	return plan.TextOptions{
		Color:    ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		DiffOnly: diffOnly,
	}
}
