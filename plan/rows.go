package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lvsform/lvsform/plain"
)

// defaultWidth is how many columns rows are laid out for where there is no
// terminal: those of a wide one. No line is broken there: programs read them, too.
const defaultWidth = 132

// rowIndent begins what is under a row.
const rowIndent = "      "

// row is an action as it is written: what changes, and why.
type row struct {
	op, kind, key, values, reason string
	mark                          string // behind the reason
}

// columns are the widths of those that rows have in common.
type columns struct{ kind, key, values int }

// writeRows writes actions, one below the other. What does not fit into the
// width has its reason under it; a key so long that few would fit beside it is
// no column's.
func (o TextOptions) writeRows(b *strings.Builder, actions []Action) {
	rows := make([]row, len(actions))
	for i, a := range actions {
		rows[i] = row{
			op: string(a.Op), kind: string(a.Kind), key: plain.Text(a.Key), values: plain.Text(a.Change().Values()), reason: plain.Text(a.Reason),
		}
		if a.Disrupts {
			rows[i].mark = "(disrupts traffic)"
		}
	}
	width := o.Width
	if width <= 0 {
		width = defaultWidth
	}
	c := columnsOf(rows, width)
	for i, r := range rows {
		head, length := r.head(c)
		tail := strings.TrimSpace(r.reason + " " + r.mark)
		painted := tail
		if r.mark != "" {
			painted = strings.TrimSuffix(tail, r.mark) + o.paint(yellow, r.mark)
		}
		b.WriteString("  " + o.op(actions[i].Op) + " ")
		switch fits := length+len("  ")+utf8.RuneCountInString(tail) <= width; {
		case tail == "":
			b.WriteString(o.wrap(strings.TrimRight(head, " "), len("  + ")))
		case fits:
			b.WriteString(head + "  " + painted)
		default:
			b.WriteString(o.wrap(strings.TrimRight(head, " "), len("  + ")) + "\n" + rowIndent)
			text := o.wrap(tail, len(rowIndent))
			if r.mark != "" && strings.HasSuffix(text, r.mark) {
				text = strings.TrimSuffix(text, r.mark) + o.paint(yellow, r.mark)
			}
			b.WriteString(text)
		}
		b.WriteByte('\n')
	}
}

// head is a row up to its reason, without the mark of the operation, and how
// many columns it takes with that.
func (r row) head(c columns) (string, int) {
	text := fmt.Sprintf("%-*s  %-*s  %-*s", c.kind, r.kind, c.key, r.key, c.values, r.values)
	return text, len("  + ") + utf8.RuneCountInString(text)
}

// columnsOf chooses the widths with which the most rows have their reasons
// beside them, and of those the widest.
func columnsOf(rows []row, width int) columns {
	kind, most := 0, 0
	lengths := map[int]bool{}
	for _, r := range rows {
		kind = max(kind, len(r.kind))
		lengths[utf8.RuneCountInString(r.key)] = true
		most = max(most, utf8.RuneCountInString(r.key))
	}
	best, fitting := columns{kind: kind}, -1
	for key := most; key >= 0; key-- {
		if !lengths[key] {
			continue
		}
		c := columns{kind, key, 0}
		for _, r := range rows {
			if utf8.RuneCountInString(r.key) <= key {
				c.values = max(c.values, utf8.RuneCountInString(r.values))
			}
		}
		n := 0
		for _, r := range rows {
			head := max(c.key, utf8.RuneCountInString(r.key)) + max(c.values, utf8.RuneCountInString(r.values))
			if len("  + ")+kind+head+len("      ")+utf8.RuneCountInString(strings.TrimSpace(r.reason+" "+r.mark)) <= width {
				n++
			}
		}
		if n > fitting {
			best, fitting = c, n
		}
	}
	return best
}

// wrap breaks a text that begins in some column, so that it fits the terminal.
func (o TextOptions) wrap(text string, column int) string {
	return plain.Wrap(text, o.Width, column, rowIndent)
}
