package read

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Limits on what a keepalived.conf can blow up to.
const (
	maxDepth    = 32
	maxExpanded = 64 << 10 // bytes of a line with its definitions put in
)

// statement is what keepalived reads as a line: a keyword with its values, and
// the block after it.
type statement struct {
	line   int
	words  []string // with definitions put in, without comments and quotes; at least one
	opened bool
	block  []*statement
}

// keyword returns the first word.
func (st *statement) keyword() string { return st.words[0] }

// blockReader makes statements of lines (read_line and process_stream of
// keepalived's parser.c).
type blockReader struct {
	*source
	definitions map[string]string
	long        map[string]bool // definitions of several lines
	root        statement
	open        []*statement // the blocks around, outermost first
}

func (t *source) statements(data []byte) []*statement {
	b := &blockReader{source: t, definitions: map[string]string{}, long: map[string]bool{}}
	b.open = []*statement{&b.root}
	inLong := false
	for i, line := range b.lines(data) {
		s := b.decomment(i+1, line)
		switch {
		case inLong:
			inLong = strings.HasSuffix(s, `\`)
		case s != "":
			inLong = b.readLine(i+1, s)
		}
		if len(b.open) > maxDepth {
			b.problem(i+1, fmt.Sprintf("more than %d blocks in one another", maxDepth), "is a } missing?")
			return b.root.block
		}
	}
	for _, st := range b.open[1:] {
		b.problem(st.line, fmt.Sprintf("the block of %s is not closed", st.keyword()), "a } is missing")
	}
	return b.root.block
}

// decomment cuts off a comment: from # or ! to the end, outside of quotes.
func (b *blockReader) decomment(line int, s string) string {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case (c == '#' || c == '!') && !quoted:
			return strings.TrimSpace(s[:i])
		}
	}
	if quoted {
		b.problem(line, "the quote is not closed", `a " is missing`)
	}
	return strings.TrimSpace(s)
}

// readLine reads a line that is not empty. It reports whether it is the first
// of a definition of several lines.
func (b *blockReader) readLine(line int, s string) bool {
	if b.conditional(line, s) {
		return false
	}
	if name, value, ok := definition(s); ok {
		if value, more := strings.CutSuffix(value, `\`); more {
			b.long[name] = true
			b.left(line, "$"+name+"= …", "definitions of several lines are not put in")
			return true
		} else if b.long[name] = false; !more {
			b.definitions[name] = value
		}
		return false
	}
	expanded, ok := b.expand(line, s)
	if !ok {
		return false
	}
	if expanded != s {
		if s = b.decomment(line, expanded); s == "" || b.conditional(line, s) {
			return false
		}
	}
	b.cut(line, s)
	return false
}

// conditional leaves out lines whose meaning depends on more than the file.
func (b *blockReader) conditional(line int, s string) bool {
	word, rest, _ := strings.Cut(s, " ")
	switch {
	case strings.HasPrefix(s, "@"):
		b.left(line, word+" "+masked(strings.Fields(rest)), "the line is for hosts with this config-id only; an inventory is the same on all")
	case strings.HasPrefix(s, "~SEQ"), strings.HasPrefix(s, "~LST"):
		b.left(line, masked(strings.Fields(s)), "repeated lines are not put in")
	case slices.Contains([]string{"include", "includer", "includem", "includew", "includeb", "includea"}, word) && rest != "":
		b.left(line, masked(strings.Fields(s)), "the file is not followed: import keepalived's configuration in one file")
	default:
		return false
	}
	return true
}

// definition reads $NAME=value.
func definition(s string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	if !ok || len(name) < 2 || name[0] != '$' || nameLength(name[1:]) != len(name)-1 {
		return "", "", false
	}
	return name[1:], strings.TrimSpace(value), true
}

// nameLength is how many bytes at the beginning of s are a definition's name.
func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= 'a' && s[n] <= 'z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

// expand puts definitions in. Those put in may have definitions themselves;
// what is not defined stays as it is.
func (b *blockReader) expand(line int, s string) (string, bool) {
	const most = 1000
	from, done := 0, 0
	for {
		i := strings.IndexByte(s[from:], '$')
		if i < 0 {
			return s, true
		}
		i += from
		name, length := reference(s[i:])
		if b.long[name] {
			b.left(line, masked(strings.Fields(s)), "definitions of several lines are not put in")
			return "", false
		}
		value, known := b.definitions[name]
		if !known {
			from = i + 1
			continue
		}
		s = s[:i] + value + s[i+length:]
		from = i
		if done++; done > most || len(s) > maxExpanded {
			return "", b.problem(line, "the definition of $"+name+" puts in itself, or too much", "known here: "+strings.Join(slices.Sorted(maps.Keys(b.definitions)), ", "))
		}
	}
}

// reference reads $NAME, before a space or the like, or ${NAME}.
func reference(s string) (name string, length int) {
	braced := strings.HasPrefix(s, "${")
	start := 1
	if braced {
		start = 2
	}
	end := start + nameLength(s[start:])
	switch {
	case end == start:
		return "", 0
	case braced && strings.HasPrefix(s[end:], "}"):
		return s[start:end], end + 1
	case !braced && (end == len(s) || strings.ContainsRune(" \t,)", rune(s[end]))):
		return s[start:end], end
	}
	return "", 0
}

// cut makes statements of a line: braces stand on their own, wherever they are.
func (b *blockReader) cut(line int, s string) {
	var word strings.Builder
	var words []string
	inWord, quoted := false, false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
		}
		inWord = false
	}
	endStatement := func() {
		endWord()
		if len(words) > 0 {
			parent := b.open[len(b.open)-1]
			parent.block = append(parent.block, &statement{line: line, words: words})
		}
		words = nil
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
			inWord = true
		case c == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			inWord = true
		case quoted:
			word.WriteByte(c)
		case c == ' ' || c == '\t':
			endWord()
		case strings.HasPrefix(s[i:], "${"): // not defined, and no block
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				end = len(s) - 1 - i
			}
			word.WriteString(s[i : i+end+1])
			inWord = true
			i += end
		case c == '{':
			endStatement()
			b.openBlock(line)
		case c == '}':
			endStatement()
			b.closeBlock(line)
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	endStatement()
}

func (b *blockReader) openBlock(line int) {
	parent := b.open[len(b.open)-1]
	if len(parent.block) == 0 || parent.block[len(parent.block)-1].opened {
		b.problem(line, "a { that belongs to nothing", "want a keyword before it")
		// Its } is not one too many.
		parent.block = append(parent.block, &statement{line: line, words: []string{"{"}})
	}
	st := parent.block[len(parent.block)-1]
	st.opened = true
	b.open = append(b.open, st)
}

func (b *blockReader) closeBlock(line int) {
	if len(b.open) == 1 {
		b.problem(line, "a } too many", "")
		return
	}
	b.open = b.open[:len(b.open)-1]
}

// flat writes a statement and its block in one line, as far as anybody reads
// on, without secrets.
func (st *statement) flat() string {
	const enough = 400
	var b strings.Builder
	var write func(st *statement)
	write = func(st *statement) {
		if b.Len() > enough {
			return
		}
		b.WriteString(masked(st.words))
		if !st.opened {
			return
		}
		b.WriteString(" {")
		for i, inner := range st.block {
			if i > 0 {
				b.WriteString(";")
			}
			b.WriteString(" ")
			write(inner)
		}
		b.WriteString(" }")
	}
	write(st)
	return b.String()
}
