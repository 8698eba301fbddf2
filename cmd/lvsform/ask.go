package main

import (
	"bufio"
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
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return fault.New(fault.Input, "read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return fault.New(fault.Input, "not confirmed; nothing was changed")
	}
	return nil
}

// askPassphrase asks on the terminal for the passphrase of an SSH key.
func askPassphrase(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("no terminal to ask for the passphrase on; use ssh-agent")
	}
	defer tty.Close() //nolint:errcheck // nothing was written that could be lost
	fmt.Fprint(tty, prompt)
	pass, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	return pass, err
}
