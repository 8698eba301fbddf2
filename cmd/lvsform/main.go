// Command lvsform provisions Linux Virtual Server topologies from a YAML
// inventory. Each subcommand is one thin file in this directory.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/testenv"
)

// Exit statuses, the same for every command.
const (
	exitError       = 1 // something went wrong
	exitPending     = 2 // plan --detailed-exitcode: there are changes
	exitNotVerified = 3 // test traffic did not pass verification
)

// exitStatus is an error that ends the program with a status of its own. A nil
// err ends it in silence: what there was to say is said.
type exitStatus struct {
	status int
	err    error
}

func (e *exitStatus) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitStatus) Unwrap() error { return e.err }

// version is set by the linker: make build.
var version = "unknown"

func main() {
	testenv.Part(os.Args[1:])
	os.Exit(run(os.Args[1:]))
}

// run is the program without os.Exit; tests call it too.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var status *exitStatus
	if !errors.As(err, &status) {
		status = &exitStatus{exitError, err}
	}
	var problems inventory.Problems
	switch {
	case errors.As(status.err, &problems):
		// Each line begins with its place in the file, as compilers write it.
		fmt.Fprintln(os.Stderr, problems)
	case status.err != nil:
		fmt.Fprintf(os.Stderr, "lvsform: %v\n", status.err)
	}
	return status.status
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "lvsform",
		Version:       version,
		Short:         "Declarative provisioning of Linux Virtual Server (IPVS) topologies",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		// one line a command, in alphabetical order
		newAgent(),
		newApply(),
		newDestroy(),
		newExplain(),
		newLab(),
		newPlan(),
		newSchema(),
		newValidate(),
		newVerify(),
	)
	return root
}
