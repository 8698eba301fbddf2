package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/testenv"
)

func newLab() *cobra.Command {
	var kernel string
	var here bool
	cmd := &cobra.Command{
		Use:   "lab [FILE] [-- COMMAND...]",
		Short: "Boot the inventory as a lab and run COMMAND at its workstation",
		Long: `Boot the inventory as a lab on this machine. Every host has its own network,
files and SSH server, on a real Linux kernel. COMMAND runs at a workstation that
reaches every host, in a directory that has FILE as lvsform.yaml. Without
COMMAND, it is an interactive shell. The exit status is that of COMMAND.

The workstation sees the files of this machine. Files written in a lab are gone
when it ends.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, command := args, []string(nil)
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				file, command = args[:n], args[n:]
			}
			if len(file) > 1 {
				return fault.New(fault.Input, "one FILE, not %d; a COMMAND comes after --", len(file))
			}
			return runLab(cmd, file, command, testenv.Kernel(kernel), here)
		},
	}
	cmd.Flags().StringVar(&kernel, "kernel", string(testenv.KernelAuto), "native (this machine's kernel), uml (User-Mode Linux) or auto")
	cmd.Flags().BoolVar(&here, "here", false, "run COMMAND in the current directory")
	return cmd
}

func runLab(cmd *cobra.Command, file, command []string, kernel testenv.Kernel, here bool) (err error) {
	inv, err := loadInventory(file)
	if err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	lab, err := testenv.Start(cmd.Context(), inv, testenv.Options{Kernel: kernel, File: inv.Source, Path: os.Getenv("PATH")})
	if err != nil {
		return fault.As(fault.Unsupported, err)
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	c := testenv.Command{
		Args: command, Env: labEnvironment(cwd),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if here {
		c.Dir = cwd
	}
	if term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		c.Terminal = os.Stdin
	}
	status, err := lab.Run(cmd.Context(), c)
	if err != nil {
		return err
	}
	if status != 0 {
		return &exitStatus{status: status}
	}
	return nil
}

// labEnvironment is what COMMAND inherits: how to talk to the user, and where
// it was called.
func labEnvironment(cwd string) []string {
	env := []string{"LVSFORM_LAB_CWD=" + cwd}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "LANG", strings.HasPrefix(name, "LC_"), name == "NO_COLOR", name == "COLORTERM", name == "TERM":
			env = append(env, v)
		}
	}
	return env
}
