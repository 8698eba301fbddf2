package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
)

type number struct {
	N int `json:"n"`
}

func handlers() map[wire.Method]wire.Handler {
	return map[wire.Method]wire.Handler{
		"double": wire.Handle(func(_ context.Context, n number) (number, error) { return number{2 * n.N}, nil }),
		"refuse": wire.Handle(func(context.Context, number) (number, error) { return number{}, errors.New("not today") }),
		"sleep": wire.Handle(func(ctx context.Context, _ number) (number, error) {
			<-ctx.Done()
			return number{}, ctx.Err()
		}),
	}
}

// pair is a client whose agent answers with the handlers above.
func pair(t *testing.T) *wire.Client {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_ = wire.Serve(ctx, far, handlers())
		_ = far.Close()
	}()
	t.Cleanup(cancel)
	c := wire.NewClient(near)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCall(t *testing.T) {
	c := pair(t)
	for n := range 3 {
		var got number
		if err := c.Call(t.Context(), "double", number{n}, &got); err != nil || got.N != 2*n {
			t.Errorf("double %d: %d, %v", n, got.N, err)
		}
	}
	var told *fault.Error
	if err := c.Call(t.Context(), "refuse", number{}, nil); !errors.As(err, &told) || told.Message != "not today" {
		t.Errorf("refuse: %v, want the agent's own words", err)
	}
	if err := c.Call(t.Context(), "no-such", number{}, nil); !errors.As(err, &told) || !strings.Contains(err.Error(), "no-such") {
		t.Errorf("unknown method: %v", err)
	}
	// A refusal leaves the connection in use.
	if err := c.Call(t.Context(), "double", number{1}, nil); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	c := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "sleep", number{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sleep: %v, want the deadline", err)
	}
	if err := c.Call(t.Context(), "double", number{1}, nil); err == nil {
		t.Error("the broken connection was used again")
	}
}

func TestAgentThatEnds(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		var any map[string]any
		_ = wire.ReadFrame(far, &any)
		_ = far.Close()
	}()
	err := wire.NewClient(near).Call(t.Context(), "double", number{1}, nil)
	if err == nil || !strings.Contains(err.Error(), "ended without an answer") {
		t.Errorf("error %v", err)
	}
}

func TestFramesThatLie(t *testing.T) {
	head := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	for _, c := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"too long", head(wire.MaxFrame + 1), "over the limit"},
		{"cut short", append(head(100), `{"n":1`...), "unexpected EOF"},
		{"huge and empty", head(wire.MaxFrame), "unexpected EOF"},
		{"half a head", []byte{0, 0}, "unexpected EOF"},
		{"no JSON", append(head(3), "abc"...), "invalid character"},
	} {
		var n number
		if err := wire.ReadFrame(bytes.NewReader(c.bytes), &n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// FuzzServe feeds the agent's side whatever bytes: it must end, without a
// panic, and every answer it gives must be a frame.
func FuzzServe(f *testing.F) {
	var good bytes.Buffer
	_ = wire.WriteFrame(&good, map[string]any{"method": "double", "body": map[string]int{"n": 2}})
	f.Add(good.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = wire.Serve(ctx, struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out}, handlers())
		for out.Len() > 0 {
			var answer map[string]any
			if err := wire.ReadFrame(&out, &answer); err != nil {
				t.Fatalf("answer is no frame: %v", err)
			}
		}
	})
}
