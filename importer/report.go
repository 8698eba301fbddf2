package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/importer/read"
)

// Note is something to know of an import, and why it is so.
type Note struct{ What, Why string }

// ListLeft makes the list of what is not carried over. What has the same reason
// stands together. What no import of the source carries over comes last.
func ListLeft(left []read.Left) []string {
	all := reasons{}
	for _, l := range left {
		all.add(l.Why, l.Routine(), l.File, l.Line, l.What())
	}
	// The rest stays in the order of the source.
	slices.SortStableFunc(all.list, func(a, b *reason) int {
		switch {
		case a.routine == b.routine:
			return 0
		case a.routine:
			return 1
		default:
			return -1
		}
	})
	return listReasons(all.list, "")
}

// ListNotes makes a list of notes. Those that have the same reason stand
// together; what is said of those that are too many tells where they are.
func ListNotes(notes []Note, rest string) []string {
	all := reasons{}
	for _, n := range notes {
		all.add(n.Why, false, "", 0, n.What)
	}
	return listReasons(all.list, rest)
}

// reason is one with everything that it holds for.
type reason struct {
	why     string
	routine bool
	of      []*mentioned
}

// mentioned is a text with the lines of a file that it stands in; none where the
// source has no lines.
type mentioned struct {
	text  string
	file  string // empty: the source itself
	lines []int
}

// reasons are in the order in which they came. There may be many thousands.
type reasons struct {
	list []*reason
	whys map[string]*reason
	of   map[[3]string]*mentioned // by reason, text and file
}

func (all *reasons) add(why string, routine bool, file string, line int, text string) {
	if all.whys == nil {
		all.whys, all.of = map[string]*reason{}, map[[3]string]*mentioned{}
	}
	r := all.whys[why]
	if r == nil {
		r = &reason{why: why, routine: routine}
		all.whys[why] = r
		all.list = append(all.list, r)
	}
	key := [3]string{why, text, file}
	m := all.of[key]
	if m == nil {
		m = &mentioned{text: text, file: file}
		all.of[key] = m
		r.of = append(r.of, m)
	}
	// One line may make several services.
	if n := len(m.lines); line != 0 && (n == 0 || m.lines[n-1] != line) {
		m.lines = append(m.lines, line)
	}
}

// mostTexts is how many different texts of one reason are listed; of the rest,
// their lines.
const mostTexts = 10

// listReasons lists reasons with what they hold for. Of what is too many for a
// list, it tells the lines, or else the words of rest; without either nothing is
// too many.
func listReasons(all []*reason, rest string) []string {
	var out []string
	for _, r := range all {
		if len(r.of) == 1 {
			out = append(out, strings.Split(r.of[0].String()+": "+r.why, "\n")...)
			continue
		}
		out = append(out, r.why)
		of := r.of
		if more := of[min(mostTexts, len(of)):]; len(more) > 1 && (rest != "" || len(more[0].lines) != 0) {
			of = append(of[:mostTexts:mostTexts], together(more, rest)...)
		}
		for _, m := range of {
			for line := range strings.SplitSeq(m.String(), "\n") {
				out = append(out, "  "+line)
			}
		}
	}
	return out
}

// together is what stands for several: one for each file, of so many files.
func together(all []*mentioned, rest string) []*mentioned {
	var out []*mentioned
	count := map[*mentioned]int{}
	others, files := 0, map[string]bool{}
	for _, m := range all {
		i := slices.IndexFunc(out, func(o *mentioned) bool { return o.file == m.file })
		switch {
		case i < 0 && len(out) == mostTexts:
			others, files[m.file] = others+1, true
			continue
		case i < 0:
			i = len(out)
			out = append(out, &mentioned{file: m.file})
		}
		count[out[i]]++
		out[i].lines = append(out[i].lines, m.lines...)
	}
	for _, m := range out {
		m.text = strings.TrimSpace(fmt.Sprintf("%d more %s", count[m], rest))
		slices.Sort(m.lines)
		m.lines = slices.Compact(m.lines)
	}
	if others != 0 {
		out = append(out, &mentioned{text: fmt.Sprintf("%d more in %d other files", others, len(files))})
	}
	return out
}

func (m *mentioned) String() string {
	of := ""
	if m.file != "" {
		of = " of " + m.file
	}
	switch len(m.lines) {
	case 0:
		return m.text
	case 1:
		return fmt.Sprintf("line %d%s: %s", m.lines[0], of, m.text)
	default:
		return fmt.Sprintf("lines %s%s: %s", ranges(m.lines), of, m.text)
	}
}

// ranges writes 3, 5, 6, 8, 9 and 10 as 3, 5, 6, 8-10, in lines that are not too
// long.
func ranges(lines []int) string {
	const width = 90
	var b strings.Builder
	column := 0
	for i, j := 0, 0; i < len(lines); i = j {
		for j = i + 1; j < len(lines) && lines[j] == lines[j-1]+1; j++ {
		}
		word := fmt.Sprint(lines[i])
		switch {
		case j == i+2:
			j--
		case j > i+2:
			word += fmt.Sprintf("-%d", lines[j-1])
		}
		switch {
		case i == 0:
		case column+len(word) > width:
			b.WriteString(",\n  ")
			column = 0
		default:
			b.WriteString(", ")
		}
		b.WriteString(word)
		column += len(word) + len(", ")
	}
	return b.String()
}
