// Package plain makes text that came from a host or a file safe for a terminal:
// a line break could forge a line of a report, and an escape sequence hide one.
package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is text in one line: what cannot be printed is spelled out as in Go, so
// that nothing is lost.
func Text(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for len(s) != 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// Lines is text of several lines, the first of which is begun already: the
// mark before each of the others is that of no line that says what is done.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Text(lines[i])
	}
	return strings.Join(lines, "\n    | ")
}

// Words are the words of a text in one line: what cannot be printed becomes a
// space.
func Words(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// Wrap breaks the lines of a text at spaces, so that they fit into a terminal of
// so many columns. The text begins in some column, counted from 0; indent begins
// what is broken off. A word longer than a line is left whole: it can be copied
// so. No columns: nothing is broken.
func Wrap(text string, width, column int, indent string) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, broken := strings.CutSuffix(line, "\n")
		for column+utf8.RuneCountInString(line) > width {
			at := lastSpace(line, width-column)
			if at < 0 {
				break
			}
			b.WriteString(strings.TrimRight(line[:at], " ") + "\n" + indent)
			line, column = strings.TrimLeft(line[at:], " "), utf8.RuneCountInString(indent)
		}
		b.WriteString(line)
		if broken {
			b.WriteByte('\n')
			column = 0
		}
	}
	return b.String()
}

// lastSpace is where a line is broken: at its last space within the columns, or
// else the first; -1: it has none behind a word.
func lastSpace(line string, columns int) int {
	begin := len(line) - len(strings.TrimLeft(line, " "))
	last, n := -1, 0
	for at, r := range line {
		if r == ' ' && at > begin {
			if n > columns && last >= 0 {
				break
			}
			last = at
		}
		n++
	}
	return last
}
