package inventory

import (
	"fmt"
	"strings"
)

// Pos is a place in a file. Line and Column count from 1; a column counts
// characters, not bytes, and is 0 where it would not help.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Problem is one mistake in an inventory, or in what one is imported from.
type Problem struct {
	Pos  Pos
	Path string // YAML path, empty for the document itself: services[0].port
	What string // what is wrong
	Fix  string // what would be right; may be empty
}

func (p Problem) String() string {
	s := p.Pos.String() + ": "
	if p.Path != "" {
		s += p.Path + ": "
	}
	s += p.What
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return s
}

// Problems is every mistake found, in the order of the file. As an error it
// is one line a mistake.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// At returns the place of a YAML path, or of its nearest parent that is
// written in the file.
func (inv *Inventory) At(path string) Pos {
	for {
		if p, ok := inv.positions[path]; ok {
			return p
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	if p, ok := inv.positions[""]; ok {
		return p
	}
	return Pos{File: inv.File}
}

// Problem makes a problem at a YAML path of this inventory.
func (inv *Inventory) Problem(path, what, fix string) Problem {
	return Problem{Pos: inv.At(path), Path: path, What: what, Fix: fix}
}
