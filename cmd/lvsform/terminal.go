package main

import (
	"io"
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
		Width:    columns(cmd.OutOrStdout()),
		DiffOnly: diffOnly,
	}
}

// columns is the width of a terminal; 0: it is none.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return 80
}
