package plan

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// TextOptions say how a report is written for people.
type TextOptions struct {
	Color bool // with the escape sequences of a terminal
	// Width is how many columns the terminal has; 0: there is none, and no line is
	// broken.
	Width int
	// DiffOnly leaves out all but what changes and what failed: no notes, no
	// summary, nothing at all when there is nothing to do.
	DiffOnly bool
}

// WriteText writes the plan for people. It is made from the same value as the
// JSON form and says nothing that is not in it.
func (p *Plan) WriteText(w io.Writer, o TextOptions) error {
	var b strings.Builder
	for _, h := range p.Hosts {
		found := h.found()
		if len(h.Actions)+len(h.Errors)+len(h.Held) == 0 && (o.DiffOnly || len(h.NotManaged)+len(h.LeftAlone)+found == 0 && !h.Rebooted && h.Unrecorded == nil) {
			continue
		}
		left := ""
		if h.Left {
			left = "  (left the inventory)"
		}
		o.host(&b, h.Name, h.Address, left)
		o.errors(&b, h.Errors)
		o.writeRows(&b, h.Actions)
		for _, x := range h.Held {
			needs := plain.Text(x.Needs[0])
			if n := len(x.Needs) - 1; n != 0 {
				needs += fmt.Sprintf(", and %d more", n)
			}
			o.line(&b, "    held back: ", fmt.Sprintf("%s %s %s: left out, and needed first: %s", plain.Text(string(x.Op)), plain.Text(string(x.Kind)), plain.Text(x.Key), needs))
		}
		if !o.DiffOnly {
			if found != 0 {
				o.line(&b, "    ", fmt.Sprintf("as found: %s, already as they should be", quantity(found, "item", "items")))
			}
			if h.Rebooted {
				b.WriteString("    rebooted since the last apply, and nothing that lvsform sets outlasts that; what was there before is no longer known\n")
			}
			if u := h.Unrecorded.text(); u != "" {
				fmt.Fprintf(&b, "    %s\n", u)
			}
			for _, l := range h.LeftAlone {
				fmt.Fprintf(&b, "    left alone: %s\n", plain.Text(l.text()))
			}
			for _, n := range h.NotManaged {
				o.line(&b, "    not managed: ", plain.Text(notManagedText(n)))
			}
		}
		b.WriteString("\n")
	}
	if !o.DiffOnly {
		for _, n := range p.Notes {
			o.line(&b, "note: ", plain.Text(n))
		}
		o.line(&b, "", p.Summary.String())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// found is how many items are taken as found, which needs no change.
func (h Host) found() int {
	n := 0
	for _, e := range h.Adopt {
		if len(h.Errors) == 0 && e.AsFound() {
			n++
		}
	}
	return n
}

// text says what is left, why, and what --force would do about it, if anything.
func (l LeftAlone) text() string {
	value := func(i state.Item) string { return cmp.Or(i.Value(), "there") }
	is, back := "gone", "removes it"
	if l.Live.Item != nil {
		is = value(l.Live.Item)
	}
	if l.Found.Item != nil {
		back = "puts that back"
	}
	since := "was applied as " + value(l.Applied.Item)
	switch {
	case l.Found.Item == l.Applied.Item:
		since = "was found as " + value(l.Found.Item)
	case l.Found.Item != nil:
		since = "was found as " + value(l.Found.Item) + " and applied as " + value(l.Applied.Item)
		back = "puts back what was found"
	}
	if l.Lacks != nil {
		return fmt.Sprintf("%s %s is %s now: it %s, and %s is gone, without which it cannot be put back", l.Kind, l.Key, is, since, l.Lacks)
	}
	return fmt.Sprintf("%s %s is %s now: it %s, and somebody has changed it since; --force %s", l.Kind, l.Key, is, since, back)
}

func notManagedText(f state.Foreign) string {
	if f.Owner == "" {
		return f.What
	}
	return f.What + " (" + f.Owner + ")"
}

// The escape sequences of ECMA-48 that are used.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (o TextOptions) paint(code, text string) string {
	if !o.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (o TextOptions) op(op state.Op) string {
	color := map[state.Op]string{state.Add: green, state.Modify: yellow, state.Remove: red}[op]
	return o.paint(color, string(op))
}

// host heads what is said of a host.
func (o TextOptions) host(b *strings.Builder, name, address, more string) {
	fmt.Fprintln(b, strings.TrimRight(o.paint(bold, plain.Text(name))+"  "+plain.Text(address)+more, " "))
}

func (o TextOptions) errors(b *strings.Builder, errs []*fault.Error) {
	for _, e := range errs {
		b.WriteString("  " + o.paint(red, "!") + " " + o.wrap(plain.Text(string(e.Kind))+": "+plain.Lines(e.Message), len("  ! ")) + "\n")
	}
}

// line writes one that may be broken into several.
func (o TextOptions) line(b *strings.Builder, begin, text string) {
	b.WriteString(begin + o.wrap(text, len(begin)) + "\n")
}

// String is the plan's last line.
func (s Summary) String() string {
	held := ""
	if s.Held != 0 {
		held = fmt.Sprintf(", %d held back", s.Held)
	}
	switch {
	case s.HostsToChange == 0 && s.HostsFailed == 0 && s.Held != 0:
		return fmt.Sprintf("No changes yet%s: choose what they need as well.", held)
	case s.HostsToChange == 0 && s.HostsFailed == 0:
		return fmt.Sprintf("No changes: %s none.", hosts(s.HostsUnchanged, "needs", "need"))
	}
	out := fmt.Sprintf("%s to change, %d unchanged", hosts(s.HostsToChange, "", ""), s.HostsUnchanged)
	if s.HostsFailed != 0 {
		out += fmt.Sprintf(", %d failed", s.HostsFailed)
	}
	return fmt.Sprintf("%s: %d to add, %d to change, %d to remove%s", out, s.Add, s.Change, s.Remove, held)
}

func hosts(n int, one, many string) string {
	return strings.TrimRight(quantity(n, "host "+one, "hosts "+many), " ")
}

// quantity is so many of a thing, in its singular for one.
func quantity(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// are says which names there are.
func are(names []string) string {
	switch len(names) {
	case 0:
		return "are none"
	case 1:
		return "is " + names[0]
	default:
		return "are " + strings.Join(names, ", ")
	}
}

// Steps is the number of actions.
func (s Summary) Steps() int { return s.Add + s.Change + s.Remove }
