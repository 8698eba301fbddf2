package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Plain is text that came from a host or a file in one line that a terminal
// can be trusted with: what cannot be printed is spelled out as in Go. A line
// break could forge a line of a report, and an escape sequence hide one.
func Plain(s string) string {
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

// plainLines is text of several lines, the first of which is begun already: the
// mark before each of the others is that of no line that says what is done.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Plain(lines[i])
	}
	return strings.Join(lines, "\n    | ")
}
