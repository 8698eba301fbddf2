package remote

import (
	"sync"

	"github.com/lvsform/lvsform/plain"
)

// maxText is how many bytes of a host's words are kept.
const maxText = 4 << 10

// text keeps the beginning of what is written to it, and lets the rest go.
type text struct {
	mu   sync.Mutex
	kept []byte
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p[:min(len(p), maxText-len(t.kept))]...)
	return len(p), nil
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return plain.Words(string(t.kept))
}
