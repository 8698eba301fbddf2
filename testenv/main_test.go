package testenv_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/term"

	"github.com/lvsform/lvsform/testenv"
)

// helperVariable makes the test binary a program that boots a lab of that
// kernel and runs its arguments there: tests kill it and look around.
const helperVariable = "TESTENV_HELPER"

func TestMain(m *testing.M) {
	testenv.Part(os.Args[1:])
	if kernel := os.Getenv(helperVariable); kernel != "" {
		os.Exit(helper(testenv.Kernel(kernel), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func helper(kernel testenv.Kernel, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lab, err := testenv.Start(ctx, topology(), testenv.Options{Kernel: kernel, WithoutIPVS: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c := testenv.Command{Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		c.Terminal = os.Stdin
	}
	status, err := lab.Run(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if err := lab.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
