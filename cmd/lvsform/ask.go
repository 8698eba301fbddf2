package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lvsform/lvsform/fault"
)

// confirm asks a question that only "yes" answers with yes, as Terraform does.
// Without a terminal to answer from it is an error.
func confirm(cmd *cobra.Command, question string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return fault.New(fault.Input, "standard input is no terminal to confirm from; say --yes")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s Only \"yes\" is taken as yes: ", question)
	answer, err := await(cmd.Context(), func() (string, error) { return bufio.NewReader(os.Stdin).ReadString('\n') })
	switch {
	case cmd.Context().Err() != nil:
		fmt.Fprintln(cmd.ErrOrStderr())
		return fault.New(fault.Input, "interrupted; nothing was changed")
	case err != nil:
		return fault.New(fault.Input, "read the answer: %w", err)
	case strings.TrimSpace(answer) != "yes":
		return fault.New(fault.Input, "not confirmed; nothing was changed")
	}
	return nil
}

// await is what read returns, unless the context ends before. Then read is left
// waiting: nothing ends the reading of a terminal but an answer.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// askPassphrase asks on the terminal for the passphrase of an SSH key.
func askPassphrase(ctx context.Context, prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("no terminal to ask for the passphrase on; use ssh-agent")
	}
	defer tty.Close() //nolint:errcheck // nothing was written that could be lost
	fd := int(tty.Fd())
	echoing, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(tty, prompt)
	pass, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		err = errors.Join(err, term.Restore(fd, echoing))
	}
	fmt.Fprintln(tty)
	return pass, err
}
