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
	around      Around
	definitions map[string]string
	long        map[string]bool // definitions of several lines
	root        statement
	open        []*statement // the blocks around, outermost first

	dir      string // the folder of the file that is read, as the configuration calls it
	depth    int    // of included files
	included int    // files
	size     int    // bytes of all files
	stopped  bool   // too much: nothing more is read

	before *blockLeft // the line before, where it is not read
	blind  bool       // which blocks there are is not known
}

// blockLeft is what to say of a line that is not read, where it has a brace
// whose other one is elsewhere.
type blockLeft struct {
	line      int
	what, fix string
}

func (t *source) statements(data []byte, around Around) []*statement {
	b := &blockReader{
		source: t, around: around, dir: around.Dir, size: len(data),
		definitions: map[string]string{}, long: map[string]bool{},
	}
	b.open = []*statement{&b.root}
	b.readLines(b.lines(data))
	switch {
	case b.blind: // what is in which block is not known
		return nil
	case b.stopped:
		return b.root.block
	}
	for _, st := range b.open[1:] {
		b.problem(st.line, fmt.Sprintf("the block of %s is not closed", st.keyword()), "a } is missing")
	}
	return b.root.block
}

// readLines reads the lines of one file.
func (b *blockReader) readLines(lines []string) {
	var long *longDefinition
	for _, text := range lines {
		line := b.next()
		s := b.decomment(line, text)
		switch {
		case long.takes(text, s):
			if !strings.HasSuffix(s, `\`) && s != "" {
				long = nil
			}
		case s != "" && b.readLine(line, s):
			long = &longDefinition{depth: balance(s)}
		default:
			long = nil
		}
		if len(b.open) > maxDepth && !b.stopped {
			b.stopped = !b.problem(line, fmt.Sprintf("more than %d blocks in one another", maxDepth), "is a } missing?")
		}
		if b.stopped {
			return
		}
	}
}

// longDefinition is a definition of several lines that has not ended.
type longDefinition struct {
	depth int  // of the blocks it has opened
	gap   bool // the last line is a comment, or empty
}

// takes reports whether a line belongs to the definition, and what is left of
// the line without its comment. An empty line ends a definition. To keepalived
// up to 2.1 a comment does not; since 2.2 it does, as keepalived reads a copy of
// the file without comments. A definition with a block that is open has not
// ended; nor does one end with a line that opens a block.
func (d *longDefinition) takes(text, s string) bool {
	switch opens := balance(s); {
	case d == nil:
		return false
	case s == "":
		d.gap = true
		return text != "" || d.depth > 0
	case d.gap && d.depth <= 0 && opens > 0 && !strings.HasSuffix(s, `\`):
		return false
	default:
		d.gap = false
		d.depth += opens
		return true
	}
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
	if s[0] == '{' && b.before != nil {
		b.blindBlock(*b.before)
	}
	b.before = nil
	own, mine := b.mine(line, s)
	if !mine || b.blind {
		if mine {
			b.repeated(line, own)
		}
		// Where the id is not told, its lines go with it.
		_, value, ok := definition(own)
		return (b.around.ConfigID == "" || b.blind) && ok && strings.HasSuffix(value, `\`)
	}
	s = own
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
	if b.repeated(line, s) {
		return false
	}
	expanded, ok := b.expand(line, s)
	if !ok {
		return false
	}
	if expanded != s {
		if s = b.decomment(line, expanded); s == "" {
			return false
		}
		if s, mine = b.mine(line, s); !mine || b.blind || b.repeated(line, s) {
			return false
		}
	}
	if !b.include(line, s) {
		b.cut(line, s)
	}
	return false
}

// repeated leaves out lines that stand for several.
func (b *blockReader) repeated(line int, s string) bool {
	if !strings.HasPrefix(s, "~SEQ") && !strings.HasPrefix(s, "~LST") {
		return false
	}
	b.notPutIn(s, "repeated lines are not put in", blockLeft{
		line, "a repeated line opens or closes a block, and repeated lines are not put in", "write out the lines that it stands for",
	})
	return true
}

// mine reads @ID and @^ID before a line: it is for hosts with this config-id,
// or with another. It returns the rest of the line, and whether that is for
// the director.
func (b *blockReader) mine(line int, s string) (rest string, mine bool) {
	if !strings.HasPrefix(s, "@") {
		return s, true
	}
	word, rest := cutBlank(s)
	id, other := strings.CutPrefix(word[1:], "^")
	own := b.around.ConfigID
	text := word + " " + masked(strings.Fields(rest))
	switch {
	case own == "":
		b.notPutIn(rest, "the line is for hosts with this config-id only, and the director's is not told; --director NAME=ADDRESS does: NAME is its config-id", blockLeft{
			line, fmt.Sprintf("a block that is for %s only, and the director's config-id is not told", word),
			"say --director NAME=ADDRESS: NAME is its config-id",
		}, word)
	case rest == "": // keepalived does not read it either
	case (id == own) != other:
		return rest, true
	default:
		b.left(line, text, fmt.Sprintf("the line is not for config-id %s, the director's", own))
	}
	return rest, false
}

// notPutIn leaves out a line, with words before it. Where it opens or closes a
// block, or the next line does, that is a problem.
func (b *blockReader) notPutIn(s, why string, block blockLeft, before ...string) {
	if balance(s) != 0 {
		b.blindBlock(block)
		return
	}
	b.before = &block
	b.left(block.line, strings.TrimSpace(strings.Join(append(before, masked(strings.Fields(s))), " ")), why)
}

// blindBlock reports a block that is there or not, depending on what is not known.
func (b *blockReader) blindBlock(block blockLeft) {
	b.blind = !b.problem(block.line, block.what, block.fix)
}

// balance is how many blocks the line opens more than it closes.
func balance(s string) int {
	n := 0
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case quoted:
		case strings.HasPrefix(s[i:], "${"):
			i += max(0, strings.IndexByte(s[i:], '}'))
		case c == '{':
			n++
		case c == '}':
			n--
		}
	}
	return n
}

// cutBlank cuts off the first word.
func cutBlank(s string) (word, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
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
			b.notPutIn(s, "definitions of several lines are not put in", blockLeft{
				line, fmt.Sprintf("a line with $%s opens or closes a block, and definitions of several lines are not put in", name), "write the definition in one line",
			})
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
