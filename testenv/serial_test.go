package testenv

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// narrowLine is one direction of a line that, like User-Mode Linux's, must
// never be asked to hold more than it can.
type narrowLine struct {
	mu      sync.Mutex
	changed sync.Cond
	held    []byte
	limit   int
	closed  bool
}

var errOverrun = errors.New("overrun")

func newNarrowLine(limit int) *narrowLine {
	l := &narrowLine{limit: limit}
	l.changed.L = &l.mu
	return l
}

func (l *narrowLine) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.held) == 0 && !l.closed {
		l.changed.Wait()
	}
	if len(l.held) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.held)
	l.held = l.held[n:]
	return n, nil
}

func (l *narrowLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held)+len(p) > l.limit {
		return 0, errOverrun
	}
	l.held = append(l.held, p...)
	l.changed.Broadcast()
	return len(p), nil
}

func (l *narrowLine) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
	return nil
}

// lineEnd is one end of a line.
type lineEnd struct {
	io.Reader
	io.WriteCloser
}

// TestSerialLaw: whatever the sizes of writes and reads, all bytes arrive, in
// order, in both directions at once, and the line is never overrun.
func TestSerialLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// room for the window and the frames that return room
		in, out := newNarrowLine(inwardWindow+8*frameHeader), newNarrowLine(outwardWindow+8*frameHeader)
		outer := newSerialConn(lineEnd{out, in}, outwardWindow, inwardWindow)
		inner := newSerialConn(lineEnd{in, out}, inwardWindow, outwardWindow)
		defer func() { _ = outer.Close(); _ = inner.Close() }()
		var wait sync.WaitGroup
		transfer := func(label string, from, to *serialConn) {
			data := make([]byte, rapid.IntRange(1, 200<<10).Draw(t, label))
			for i := range data {
				data[i] = byte(i * 7 >> 3)
			}
			writes := rapid.SliceOfN(rapid.IntRange(1, 70<<10), 1, 5).Draw(t, label+" writes")
			reads := rapid.SliceOfN(rapid.IntRange(1, 9<<10), 1, 5).Draw(t, label+" reads")
			wait.Go(func() {
				for i, rest := 0, data; len(rest) > 0; i++ {
					n := min(writes[i%len(writes)], len(rest))
					if _, err := from.Write(rest[:n]); err != nil {
						t.Errorf("%s: write: %v", label, err)
						_ = from.Close()
						_ = to.Close()
						return
					}
					rest = rest[n:]
				}
			})
			wait.Go(func() {
				var got []byte
				for i := 0; len(got) < len(data); i++ {
					p := make([]byte, reads[i%len(reads)])
					n, err := to.Read(p)
					if err != nil {
						t.Errorf("%s: read: %v", label, err)
						return
					}
					got = append(got, p[:n]...)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("%s: other bytes arrived", label)
				}
			})
		}
		transfer("inward", outer, inner)
		transfer("outward", inner, outer)
		wait.Wait()
	})
}

func TestSerialEnds(t *testing.T) {
	in, out := newNarrowLine(1<<20), newNarrowLine(1<<20)
	outer := newSerialConn(lineEnd{out, in}, outwardWindow, inwardWindow)
	inner := newSerialConn(lineEnd{in, out}, inwardWindow, outwardWindow)
	if _, err := inner.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := inner.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(outer)
	if err != nil || string(got) != "last words" {
		t.Errorf("read %q, %v", got, err)
	}
	// nobody returns room any more: a writer must not wait for it
	if _, err := outer.Write(make([]byte, 2*inwardWindow)); err == nil {
		t.Error("wrote to an end that is closed")
	}
	if _, err := inner.Read(make([]byte, 1)); err == nil {
		t.Error("read from an end that is closed")
	}
}

func TestSerialGarbled(t *testing.T) {
	for _, garbage := range []string{"x\x00\x01a", "d\xff\xffa"} {
		in, out := newNarrowLine(1<<20), newNarrowLine(1<<20)
		conn := newSerialConn(lineEnd{in, out}, inwardWindow, outwardWindow)
		if _, err := io.WriteString(in, garbage); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%q: %v, want an error that names it", garbage, err)
		}
	}
}
