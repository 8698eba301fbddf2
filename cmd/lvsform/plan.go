package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plan"
)

// planFlags choose what a plan is for.
type planFlags struct {
	only   plan.Only
	forget []string
	force  bool
}

func (f *planFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.only.Hosts, "host", nil, "plan only for these hosts; actions that need other hosts first are held back")
	cmd.Flags().StringSliceVar(&f.only.Services, "service", nil, "plan only what these services need")
	cmd.Flags().StringSliceVar(&f.forget, "forget-host", nil, "hosts that have left the inventory and are gone for good: do not connect to them")
	cmd.Flags().BoolVar(&f.force, "force", false, "put back what was found also where somebody has set another value since")
}

func (f *planFlags) any() bool {
	return len(f.only.Hosts)+len(f.only.Services)+len(f.forget) != 0 || f.force
}

// make observes the hosts and plans for them.
func (f *planFlags) make(cmd *cobra.Command, s *session, destroy bool) (*plan.Plan, map[string]plan.Observation, error) {
	observed, err := s.observe(cmd.Context(), f.forget)
	if err != nil {
		return nil, nil, err
	}
	for name, o := range observed {
		o.Force = f.force
		observed[name] = o
	}
	p := plan.Make
	if destroy {
		p = plan.Destroy
	}
	made := p(s.inv, observed)
	return made, observed, made.Narrow(s.inv, f.only)
}

func newPlan() *cobra.Command {
	var (
		ssh      sshFlags
		flags    planFlags
		out      string
		destroy  bool
		asJSON   bool
		detailed bool
		diffOnly bool
		quiet    bool
	)
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Show what apply would change on each host, and why",
		Long: `Show what apply would change on each host, and why.

FILE is the inventory; the default is lvsform.yaml. lvsform connects to every
host and reads its state. It changes nothing, except that it puts the agent into
/var/lib/lvsform/agent if a host does not have it yet. Hosts that have left the
inventory and still hold something are in the plan too: they are put back as
they were found.

--out saves the plan. lvsform apply PLAN then does exactly that, or nothing if a
host has changed since.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := ssh.open(cmd, args)
			if err != nil {
				return err
			}
			defer s.Close()
			p, observed, err := flags.make(cmd, s, destroy)
			if err != nil {
				return err
			}
			if out != "" && !p.Failed() { // first: what fails is all there is to print
				if err := savePlan(out, s, p, observed); err != nil {
					return err
				}
			}
			switch {
			case asJSON:
				err = printJSON(cmd.OutOrStdout(), p)
			case !quiet:
				err = p.WriteText(cmd.OutOrStdout(), textOptions(cmd, diffOnly))
			}
			if err != nil {
				return err
			}
			if p.Failed() {
				if quiet {
					for _, h := range p.Hosts {
						tellErrors(cmd.ErrOrStderr(), h.Name, h.Errors...)
					}
				}
				return hostsFailed(p)
			}
			if detailed && p.Pending() {
				return &exitStatus{status: exitPending}
			}
			return nil
		},
	}
	ssh.add(cmd)
	flags.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "save the plan in this file, for lvsform apply")
	cmd.Flags().BoolVar(&destroy, "destroy", false, "plan what lvsform destroy would do")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	cmd.Flags().BoolVar(&diffOnly, "diff-only", false, "print only changes and errors, and nothing when there are none")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print only errors; read the exit status")
	cmd.MarkFlagsMutuallyExclusive("json", "diff-only", "quiet")
	return cmd
}

// hostsFailed ends commands that show a plan with hosts that failed; the plan
// has said which and why.
func hostsFailed(p *plan.Plan) error {
	var names []string
	for _, h := range p.Hosts {
		if len(h.Errors) != 0 {
			names = append(names, h.Name)
		}
	}
	err := fault.New(p.Failure().Kind, "cannot plan for %s; nothing was changed", strings.Join(names, ", "))
	return &exitStatus{status: exitError, told: true, err: err}
}

// savePlan writes a plan, whole or not at all.
func savePlan(file string, s *session, p *plan.Plan, observed map[string]plan.Observation) error {
	saved, err := plan.Save(s.inv, p, observed)
	if err != nil {
		return err
	}
	text, err := saved.Marshal()
	if err != nil {
		return err
	}
	if err := writePlan(file, text); err != nil {
		return fault.New(fault.Input, "save the plan: %w", err)
	}
	return nil
}

// writePlan writes a saved plan, which may replace another one and nothing else.
func writePlan(file string, text []byte) error {
	const owner = 0o600
	return writeFile(file, text, owner, func(begin []byte) error {
		if !isSavedPlan(begin) {
			return fmt.Errorf("%s is there already, and is no saved plan", file)
		}
		return nil
	})
}

// isSavedPlan is stricter than plan.LooksSaved, which takes any JSON for a plan
// that is damaged.
func isSavedPlan(begin []byte) bool {
	d := json.NewDecoder(bytes.NewReader(begin))
	for _, want := range []json.Token{json.Delim('{'), "format", plan.SavedFormat} {
		if got, err := d.Token(); err != nil || got != want {
			return false
		}
	}
	return true
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
