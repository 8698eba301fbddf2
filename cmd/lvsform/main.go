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

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/testenv"
)

// Exit statuses, the same for every command.
const (
	exitError       = 1 // something went wrong
	exitPending     = 2 // plan --detailed-exitcode: there are changes
	exitNotVerified = 3 // test traffic did not pass verification
)

// version is set by the linker: make build.
var version = "unknown"

func main() {
	testenv.Part(os.Args[1:])
	os.Exit(run(os.Args[1:]))
}

// run is the program without os.Exit; tests call it too.
func run(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { signal.Stop(signals) }) // the second interrupt does not ask
	go func() {
		select {
		case <-signals:
			cancel(fault.Interruption("interrupted"))
		case <-ctx.Done():
		}
	}()
	root := newRoot()
	root.SetArgs(args)
	begun := false // what fails before is the command line
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmd.ValidateFlagGroups() // cobra itself does it later
		if err == nil {
			err = checkFlags(cmd)
		}
		begun = err == nil
		return err
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !begun {
		return report(cmd, args, fault.As(fault.Input, err))
	}
	return report(cmd, nil, err)
}

// checkFlags refuses values that no command can mean.
func checkFlags(cmd *cobra.Command) error {
	for _, name := range []string{"host", "service", "forget-host"} {
		// A choice of nothing would be one of everything: --host "$HOST".
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "[]" {
			return fmt.Errorf("--%s names none", name)
		}
	}
	if n, err := cmd.Flags().GetInt("parallel"); err == nil && n < 1 {
		return errors.New("--parallel takes a number from 1 on")
	}
	if d, err := cmd.Flags().GetDuration("drain"); err == nil && d < 0 {
		return errors.New("--drain takes a duration such as 10s, or 0")
	}
	return nil
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
		newDrift(),
		newExplain(),
		newImport(),
		newLab(),
		newList(),
		newPlan(),
		newSchema(),
		newShow(),
		newValidate(),
		newVerify(),
	)
	return root
}
