package modes

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteMermaid writes the walks as one sequence diagram in the language of
// Mermaid (https://mermaid.js.org), which many Markdown viewers draw.
func (ws Walks) WriteMermaid(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("sequenceDiagram\n")
	d := diagram{&b, map[string]string{}}
	for _, walk := range ws.all() {
		for _, hops := range [][]Hop{walk.request, walk.reply} {
			for _, h := range hops {
				d.participant(h.From.name())
				d.participant(h.To.name())
			}
		}
	}
	for _, walk := range ws.all() {
		if len(walk.request) == 0 {
			continue
		}
		fmt.Fprintf(&b, "    Note over %s: %s\n", d.ids[walk.start], mermaidText(walk.title))
		d.way(walk.request, "->>", walk.sees)
		d.way(walk.reply, "-->>", walk.sees)
		if walk.lost != "" {
			fmt.Fprintf(&b, "    Note over %s: LOST: %s\n", d.ids[walk.start], mermaidText(walk.lost))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// diagram is a sequence diagram while it is written.
type diagram struct {
	*bytes.Buffer
	ids map[string]string // by the participant's name
}

// participant gives each an id of its own, since a host may be named like one
// of Mermaid's own words.
func (d diagram) participant(name string) {
	if _, ok := d.ids[name]; !ok {
		d.ids[name] = fmt.Sprintf("p%d", len(d.ids)+1)
		fmt.Fprintf(d, "    participant %s as %s\n", d.ids[name], mermaidText(name))
	}
}

func (d diagram) way(hops []Hop, arrow, sees string) {
	for _, h := range hops {
		from := d.ids[h.From.name()]
		for _, c := range h.Changes {
			at, ok := d.ids[c.By]
			what := c.What
			if !ok { // it sees nothing of the packet
				at, what = from, c.By+" "+c.What
			}
			lines := append([]string{what}, c.texts()...)
			for i := range lines {
				lines[i] = mermaidText(lines[i])
			}
			fmt.Fprintf(d, "    Note over %s: %s\n", at, strings.Join(lines, "<br/>"))
		}
		if h.toProgram() {
			fmt.Fprintf(d, "    Note over %s: %s %s\n", from, sees, mermaidText(h.addresses()))
			continue
		}
		text := h.addresses()
		if h.Outer != nil {
			text = h.Outer.String() + ", in it " + text
		}
		fmt.Fprintf(d, "    %s%s%s: %s<br/>%s\n", from, arrow, d.ids[h.To.name()], mermaidText(text), mermaidText(h.place()))
	}
}

// mermaidText escapes what ends a line or begins an entity in Mermaid.
func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", ";", "#59;").Replace(s)
}
