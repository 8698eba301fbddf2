package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/plan"
)

// exitStatus is an error that ends the program with a status of its own. A nil
// err ends it in silence: what there was to say is said.
type exitStatus struct {
	status int
	err    error
	told   bool // the command's own JSON document says it already
}

func (e *exitStatus) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitStatus) Unwrap() error { return e.err }

// errNothingDone ends commands that are interrupted before they change anything.
const errNothingDone = fault.Interruption("nothing was changed")

// notAsked ends commands that report on hosts, the report of which says why some
// could not be asked; first is the first reason.
func notAsked(first *fault.Error) error {
	return &exitStatus{status: exitError, told: true, err: fault.New(first.Kind, "some hosts could not be asked")}
}

// Failures is the JSON document of a command that failed.
type Failures struct {
	FormatVersion string    `json:"format_version"`
	Errors        []Failure `json:"errors"`
}

// Failure is one error, with the place it is about.
type Failure struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Host    string     `json:"host,omitempty"` // on which it failed
	Step    string     `json:"step,omitempty"` // the wave in which it failed, or prepare or adopt, ahead of the first
	File    string     `json:"file,omitempty"` // as it was named on the command line
	Line    int        `json:"line,omitempty"`
	Column  int        `json:"column,omitempty"` // from 1
	Path    string     `json:"path,omitempty"`   // in the inventory: services[0].port
	Fix     string     `json:"fix,omitempty"`    // what to do
}

// failuresOf takes an error apart.
func failuresOf(err error) []Failure {
	var problems inventory.Problems
	var stopped *apply.Error
	var stale *plan.StaleError
	switch {
	case errors.As(err, &problems):
		out := make([]Failure, len(problems))
		for i, p := range problems {
			out[i] = Failure{Kind: fault.Input, Message: p.What, Fix: p.Fix, Path: p.Path, File: p.Pos.File, Line: p.Pos.Line, Column: p.Pos.Column}
		}
		return out
	case errors.As(err, &stopped):
		out := make([]Failure, len(stopped.Faults))
		for i, f := range stopped.Faults {
			out[i] = Failure{Kind: fault.Of(f.Err), Message: f.Err.Error(), Host: f.Host, Step: stopped.Step}
		}
		return out
	case errors.As(err, &stale):
		out := make([]Failure, len(stale.Hosts))
		for i, h := range stale.Hosts {
			f := h.Fault()
			out[i] = Failure{Kind: f.Kind, Message: f.Message, Host: h.Host, Fix: "plan again, look at what is different, and apply that"}
		}
		return out
	default:
		return []Failure{{Kind: fault.Of(err), Message: err.Error()}}
	}
}

// tellErrors says what went wrong on a host, where no report does.
func tellErrors(w io.Writer, host string, errs ...*fault.Error) {
	for _, err := range errs {
		fmt.Fprintf(w, "%s: %s: %s\n", host, err.Kind, plain.Text(err.Message))
	}
}

// wantsJSON reports whether a command was asked for JSON, in either way. Of a
// command line with a mistake, flags may not have been read.
func wantsJSON(cmd *cobra.Command, unread []string) bool {
	for i, arg := range unread {
		switch {
		case arg == "--":
			return false
		case arg == "--json", arg == "--format=json", arg == "--format" && i+1 < len(unread) && unread[i+1] == "json":
			return true
		}
	}
	for flag, value := range map[string]string{"json": "true", "format": "json"} {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Value.String() == value {
			return true
		}
	}
	return false
}

// report says on standard error why a command failed, and as JSON on standard
// output if it was asked for JSON; unread are the arguments of a command line with
// a mistake. It returns the exit status.
func report(cmd *cobra.Command, unread []string, err error) int {
	if err == nil {
		return 0
	}
	var status *exitStatus
	if !errors.As(err, &status) {
		status = &exitStatus{status: exitError, err: err}
	}
	if status.err == nil {
		return status.status
	}
	if wantsJSON(cmd, unread) && !status.told {
		if err := printJSON(os.Stdout, Failures{plan.FormatVersion, failuresOf(status.err)}); err != nil {
			fmt.Fprintf(os.Stderr, "lvsform: %v\n", err)
		}
	}
	var problems inventory.Problems
	if errors.As(status.err, &problems) {
		// Each line begins with its place in the file, as compilers write it.
		fmt.Fprintln(os.Stderr, problems)
	} else {
		for line := range strings.Lines(fmt.Sprintf("lvsform: %s: %v\n", fault.Of(status.err), status.err)) {
			fmt.Fprintln(os.Stderr, plain.Text(strings.TrimSuffix(line, "\n")))
		}
	}
	return status.status
}
