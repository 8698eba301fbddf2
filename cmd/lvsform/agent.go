package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel"
)

// newAgent is the command that remote starts on a host; nobody else does.
func newAgent() *cobra.Command {
	return &cobra.Command{
		Use:    "agent",
		Short:  "Serve lvsform at a workstation, on standard input and output",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := agent.CheckRoot(); err != nil {
				return err
			}
			k, err := kernel.Open()
			if err != nil {
				return err
			}
			defer k.Close()
			a := agent.Agent{Kernel: k, Traffic: &agent.HostTraffic{}, Dir: journal.Dir, Boot: kernel.Boot()}
			return a.Serve(cmd.Context(), stdio{os.Stdin, os.Stdout})
		},
	}
}

type stdio struct {
	io.Reader
	io.Writer
}
