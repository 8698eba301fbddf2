package main

import (
	"fmt"
	"io"
	"sync"
)

// progress is one line on a terminal that tells what is going on; on anything
// else it is silent.
type progress struct {
	mu    sync.Mutex
	w     io.Writer // nil: silent
	width func() int
	shown bool
}

func newProgress(w io.Writer) *progress {
	if columns(w) == 0 {
		return &progress{}
	}
	return &progress{w: w, width: func() int { return columns(w) }}
}

// show replaces the line.
func (p *progress) show(format string, args ...any) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	line := []rune(fmt.Sprintf(format, args...))
	if n := p.width() - 1; n > 0 && len(line) > n {
		line = line[:n]
	}
	// Return to the first column and clear to the end of the line.
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", string(line))
	p.shown = true
}

// end takes the line away.
func (p *progress) end() {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
