package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
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
		return errNothingDone
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
	return readSecret(ctx, tty, prompt)
}

// readSecret prints a prompt and reads a line that the terminal does not show.
// The echo is off before the prompt is there, and what was typed before is let
// go, as ssh(1) does: nothing that is typed in answer is ever shown.
func readSecret(ctx context.Context, tty *os.File, prompt string) ([]byte, error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &silent); err != nil {
		return nil, err
	}
	fmt.Fprint(tty, prompt)
	// Whoever is left waiting here after an interruption leaves the terminal alone.
	secret, err := await(ctx, func() ([]byte, error) {
		line, err := bufio.NewReader(tty).ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) > 0 {
			err = nil
		}
		return bytes.TrimRight(line, "\r\n"), err
	})
	err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before))
	fmt.Fprintln(tty)
	return secret, err
}
