package apply

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// namedHosts is how many hosts that are waited for are named at a time.
const namedHosts = 4

// waiting tells which hosts an answer is still waited for: with a hundred, the
// one that is slow is what one wants to know.
type waiting struct {
	opts Options
	what string

	mu    sync.Mutex
	total int
	names []string // in the order of the inventory
}

func newWaiting(opts Options, what string, names []string) *waiting {
	w := &waiting{opts: opts, what: what, total: len(names), names: slices.Clone(names)}
	w.say()
	return w
}

// done notes the answer of a host.
func (w *waiting) done(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.names, name); i >= 0 {
		w.names = slices.Delete(w.names, i, i+1)
	}
	w.say()
}

func (w *waiting) say() {
	if len(w.names) == 0 {
		return
	}
	named := w.names[:min(len(w.names), namedHosts)]
	more := ""
	if n := len(w.names) - len(named); n != 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	w.opts.say("%s: %d of %d hosts; waiting for %s%s", w.what, w.total-len(w.names), w.total, strings.Join(named, ", "), more)
}
