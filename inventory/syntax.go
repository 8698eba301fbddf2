package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	maxDepth   = 32      // of lists and mappings in each other; an inventory needs 8
	maxAliased = 200_000 // nodes that aliases may add to what is written
)

// readYAML returns the root node of the one YAML document in data, or nil when
// there is none that can be decoded.
func readYAML(file string, data []byte) (*yaml.Node, Problems) {
	if len(data) > MaxSize {
		return nil, tooLong(file)
	}
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		// As CI systems hand on what a job has written.
		return nil, Problems{{Pos: Pos{File: file}, What: "the file is a zip archive", Fix: "unpack it, and name a file of it"}}
	}
	if at := badCharacter(data); at >= 0 {
		what := "a control character"
		if r, size := utf8.DecodeRune(data[at:]); r == utf8.RuneError && size == 1 {
			what = "not UTF-8"
		}
		return nil, Problems{{Pos: offsetPos(file, data, at), What: what, Fix: "save the file as UTF-8 text"}}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF) || err == nil && doc.Content[0].ShortTag() == "!!null":
		return nil, Problems{{Pos: Pos{file, 1, 1}, What: "the file is empty", Fix: "begin with version: 1"}}
	case err != nil:
		return nil, Problems{syntaxProblem(file, data, err)}
	}
	if p := unfold(file, doc.Content[0]); p != nil {
		return nil, Problems{*p}
	}
	err = decoder.Decode(&second)
	switch {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err != nil:
		return doc.Content[0], Problems{syntaxProblem(file, data, err)}
	default:
		return doc.Content[0], Problems{{
			Pos:  Pos{file, second.Line, second.Column},
			What: "a second document", Fix: "use one file for each inventory",
		}}
	}
}

// badCharacter returns the offset of the first byte that is not part of UTF-8
// text as YAML 1.2 has it (production c-printable), or -1.
func badCharacter(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1,
			r < ' ' && r != '\t' && r != '\n' && r != '\r',
			r >= 0x7f && r < 0xa0 && r != 0x85,
			r == 0xfffe, r == 0xffff:
			return i
		}
		i += size
	}
	return -1
}

// offsetPos is the place of a byte.
func offsetPos(file string, data []byte, offset int) Pos {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Pos{file, 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])}
}

// syntaxProblem words an error of the YAML parser and finds its place.
func syntaxProblem(file string, data []byte, err error) Problem {
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	what = regexp.MustCompile(`^line \d+: `).ReplaceAllString(what, "")
	start, line := errorLine(data)
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
		return Problem{Pos: offsetPos(file, data, start+tab), What: "a tab in the indentation", Fix: "indent with spaces"}
	}
	return Problem{Pos: offsetPos(file, data, start+len(indent)), What: "not YAML: " + what, Fix: syntaxFix(what)}
}

func syntaxFix(what string) string {
	switch {
	case strings.HasPrefix(what, "mapping values are not allowed"):
		return `indent it like its neighbours, and quote text that holds ": "`
	case what == "did not find expected key", what == "did not find expected '-' indicator":
		return "indent it like its neighbours"
	case strings.HasPrefix(what, "did not find expected ','"):
		return "close the bracket or brace"
	case what == "found unexpected end of stream":
		return "close the quote"
	case what == "could not find expected ':'":
		return "write key: value"
	case what == "found character that cannot start any token":
		return "quote the text"
	default:
		return ""
	}
}

// errorLine returns the line with the YAML syntax error and its offset. The
// parser's own message names the line where the enclosing block begins, or
// none. So it looks for the first line with which the text can no longer be
// parsed: from where the parser stopped reading, backwards.
func errorLine(data []byte) (start int, line []byte) {
	const maxTries = 50 // an unclosed quote is not followed further up
	reader := &byteReader{data: data}
	parses(reader)
	end := reader.n
	if next := bytes.IndexByte(data[end:], '\n'); next >= 0 {
		end += next
	} else {
		end = len(data)
	}
	for range maxTries {
		start = bytes.LastIndexByte(data[:end], '\n') + 1
		line = data[start:end]
		if start == 0 || parses(bytes.NewReader(data[:start])) {
			break
		}
		end = start - 1
	}
	return start, line
}

func parses(r io.Reader) bool {
	decoder := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		if err := decoder.Decode(&doc); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// byteReader hands out one byte at a time, so that n tells how far its reader
// needed to see.
type byteReader struct {
	data []byte
	n    int
}

func (r *byteReader) Read(p []byte) (int, error) {
	if r.n == len(r.data) {
		return 0, io.EOF
	}
	n := copy(p[:min(1, len(p))], r.data[r.n:])
	r.n += n
	return n, nil
}

// unfold walks the document as it is with every alias written out, and
// reports what would take decoding for ever: an alias inside of itself,
// aliases of aliases that multiply, lists in lists in lists.
func unfold(file string, root *yaml.Node) *Problem {
	aliased := 0
	open := map[*yaml.Node]bool{} // aliases being followed
	var walk func(n *yaml.Node, depth int) *Problem
	walk = func(n *yaml.Node, depth int) *Problem {
		at := Pos{file, n.Line, n.Column}
		if n.Kind == yaml.AliasNode {
			target := n.Alias
			if open[target] {
				return &Problem{Pos: at, What: fmt.Sprintf("alias *%s is part of what it stands for", n.Value)}
			}
			open[target] = true
			defer delete(open, target)
			n = target
		}
		if len(open) > 0 {
			aliased++
		}
		switch {
		case aliased > maxAliased:
			return &Problem{Pos: at, What: fmt.Sprintf("aliases multiply the document by more than %d values", maxAliased),
				Fix: "use fewer aliases of aliases"}
		case depth > maxDepth:
			return &Problem{Pos: at, What: fmt.Sprintf("nested deeper than %d levels", maxDepth)}
		}
		for _, child := range n.Content {
			if p := walk(child, depth+1); p != nil {
				return p
			}
		}
		return nil
	}
	return walk(root, 0)
}
