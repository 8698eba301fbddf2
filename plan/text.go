package plan

import (
	"fmt"
	"io"
	"strings"
)

// WriteText writes the plan for people. It is made from the same value as the
// JSON form and says nothing that is not in it.
func (p *Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, h := range p.Hosts {
		if len(h.Actions)+len(h.Errors)+len(h.NotManaged) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s  %s\n", h.Name, h.Address)
		for _, e := range h.Errors {
			fmt.Fprintf(&b, "  ! %s\n", strings.ReplaceAll(e, "\n", "\n    "))
		}
		kind, key, values := h.widths()
		for _, a := range h.Actions {
			line := fmt.Sprintf("  %s %-*s  %-*s  %-*s  %s", a.Op, kind, a.Kind, key, a.Key, values, a.Change().Values(), a.Reason)
			if a.Disrupts {
				line += " (disrupts traffic)"
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		for _, n := range h.NotManaged {
			fmt.Fprintf(&b, "    not managed: %s\n", n)
		}
		b.WriteString("\n")
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	b.WriteString(p.Summary.String() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// widths are those of the columns.
func (h Host) widths() (kind, key, values int) {
	for _, a := range h.Actions {
		kind, key, values = max(kind, len(a.Kind)), max(key, len(a.Key)), max(values, len(a.Change().Values()))
	}
	return kind, key, values
}

// String is the plan's last line.
func (s Summary) String() string {
	if s.HostsToChange == 0 && s.HostsFailed == 0 {
		return fmt.Sprintf("No changes: %s as wanted.", hosts(s.HostsUnchanged, "is", "are"))
	}
	out := fmt.Sprintf("%s to change, %d unchanged", hosts(s.HostsToChange, "", ""), s.HostsUnchanged)
	if s.HostsFailed != 0 {
		out += fmt.Sprintf(", %d failed", s.HostsFailed)
	}
	return fmt.Sprintf("%s: %d to add, %d to change, %d to remove", out, s.Add, s.Change, s.Remove)
}

func hosts(n int, one, many string) string {
	s := fmt.Sprintf("%d hosts %s", n, many)
	if n == 1 {
		s = "1 host " + one
	}
	return strings.TrimRight(s, " ")
}

// Steps is the number of actions.
func (s Summary) Steps() int { return s.Add + s.Change + s.Remove }
