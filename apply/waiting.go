package apply

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// namedHosts is how many hosts that are waited for are named at a time.
const namedHosts = 4

// Waiting tells which hosts are still waited for: with a hundred, the one that
// is slow is what one wants to know. It is safe for concurrent use.
type Waiting struct {
	progress func(string)
	what     string

	mu    sync.Mutex
	total int
	names []string // in the order of the inventory
	steps map[string]string
}

// NewWaiting begins to wait for hosts, and tells progress how it goes, a short
// line at a time.
func NewWaiting(progress func(string), what string, names []string) *Waiting {
	w := &Waiting{progress: progress, what: what, total: len(names), names: slices.Clone(names), steps: map[string]string{}}
	w.say()
	return w
}

// At notes what a host is at.
func (w *Waiting) At(name, step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps[name] = " (" + step + ")"
	w.say()
}

// Done notes that a host is waited for no more.
func (w *Waiting) Done(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.names, name); i >= 0 {
		w.names = slices.Delete(w.names, i, i+1)
	}
	w.say()
}

func (w *Waiting) say() {
	if len(w.names) == 0 {
		return
	}
	var named []string
	for _, name := range w.names[:min(len(w.names), namedHosts)] {
		named = append(named, name+w.steps[name])
	}
	more := ""
	if n := len(w.names) - len(named); n != 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	w.progress(fmt.Sprintf("%s: %d of %d hosts; waiting for %s%s", w.what, w.total-len(w.names), w.total, strings.Join(named, ", "), more))
}
