package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

type number struct {
	N int `json:"n"`
}

func handlers() map[wire.Method]wire.Handler {
	return map[wire.Method]wire.Handler{
		"double": wire.Handle(func(_ context.Context, n number) (number, error) { return number{2 * n.N}, nil }),
		"refuse": wire.Handle(func(context.Context, number) (number, error) { return number{}, errors.New("not today") }),
		"ended":  wire.Handle(func(context.Context, number) (number, error) { return number{}, context.Canceled }),
		"large":  wire.Handle(func(context.Context, number) (string, error) { return strings.Repeat("x", 9<<20), nil }),
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
	// Nobody at the workstation has interrupted an agent that somebody ends.
	if err := c.Call(t.Context(), "ended", number{}, nil); fault.Of(err) != fault.Connection || !strings.HasPrefix(err.Error(), "the agent was ended on the host: ") {
		t.Errorf("ended: %v: %v", fault.Of(err), err)
	}
	if err := c.Call(t.Context(), "large", number{}, nil); !errors.As(err, &told) || told.Kind != fault.Unsupported || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("an answer that is too large: %v", err)
	}
	// A refusal leaves the connection in use.
	if err := c.Call(t.Context(), "double", number{1}, nil); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

// A failure that is told in the body of an answer is taken as one in its head is.
func TestFailureInTheBody(t *testing.T) {
	for _, c := range []struct {
		told, want fault.Error
	}{
		{fault.Error{Kind: fault.Interrupted, Message: "add: context canceled"}, fault.Error{Kind: fault.Connection, Message: "the agent was ended on the host: add: context canceled"}},
		{fault.Error{Kind: "new", Message: "what"}, fault.Error{Kind: fault.Bug, Message: "what"}},
		{fault.Error{Kind: fault.Stale}, fault.Error{Kind: fault.Stale, Message: "apply: the agent failed and does not say why"}},
		{fault.Error{Kind: fault.Conflict, Message: "taken"}, fault.Error{Kind: fault.Conflict, Message: "taken"}},
	} {
		near, far := net.Pipe()
		go func() {
			_ = wire.Serve(context.Background(), far, map[wire.Method]wire.Handler{
				wire.MethodApply: wire.Handle(func(context.Context, wire.ApplyRequest) (wire.ApplyResult, error) {
					return wire.ApplyResult{Done: 1, Failed: &c.told}, nil
				}),
			})
			_ = far.Close()
		}()
		client := wire.NewClient(near)
		var res wire.ApplyResult
		err := client.Call(t.Context(), wire.MethodApply, wire.ApplyRequest{}, &res)
		_ = client.Close()
		if err != nil || res.Done != 1 || res.Failed == nil || res.Failed.Kind != c.want.Kind || res.Failed.Message != c.want.Message {
			t.Errorf("%+v: %v, %+v, want %+v", c.told, err, res.Failed, c.want)
		}
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
		_, _ = wire.ReadFrame(far, "double") // the head
		_, _ = wire.ReadFrame(far, "double")
		_ = far.Close()
	}()
	err := wire.NewClient(near).Call(t.Context(), "double", number{1}, nil)
	if err == nil || !strings.Contains(err.Error(), "ended without an answer") {
		t.Errorf("error %v", err)
	}
}

func TestFramesThatLie(t *testing.T) {
	head := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	frame := func(text string) []byte { return append(head(uint32(len(text))), text...) }
	for _, c := range []struct {
		name   string
		method wire.Method
		bytes  []byte
		want   string
	}{
		{"too long", wire.MethodApply, head(wire.MaxFrame + 1), "over the limit"},
		{"too long for what it is", wire.MethodEcho, head(wire.MaxFrame), "over the limit"},
		{"cut short", wire.MethodApply, append(head(100), `{"n":1`...), "unexpected EOF"},
		{"huge and empty", wire.MethodApply, head(wire.MaxFrame), "unexpected EOF"},
		{"half a head", wire.MethodApply, []byte{0, 0}, "unexpected EOF"},
		{"no UTF-8", wire.MethodApply, frame("\"\xff\""), "no UTF-8"},
		{"deep", wire.MethodApply, frame(strings.Repeat("[", 101)), "in one another"},
		{"a large map", wire.MethodApply, frame("{" + strings.Repeat(`"a":1,`, 100_000) + "}"), "an object of so many members"},
		{"many elements", wire.MethodEcho, frame("[" + strings.Repeat(`"[{\"",`, 60_000) + "1]"), "60001 elements is over the limit"},
	} {
		if _, err := wire.ReadFrame(bytes.NewReader(c.bytes), c.method); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	text := "[" + strings.Repeat(`"[{\",",`, 59_998) + "1]"
	if got, err := wire.ReadFrame(bytes.NewReader(frame(text)), wire.MethodEcho); err != nil || string(got) != text {
		t.Errorf("a frame within its limits: %v", err)
	}
}

// most is the memory in bytes that a message may cost.
const most = 300 << 20

// Whatever fills a message, the other end does not take more memory than that:
// neither the agent for a request, nor the workstation for what a host answers.
func TestMemoryOfAMessage(t *testing.T) {
	fill := func(field, tiny string, elements int) []byte {
		text := `{"` + field + `":[` + strings.Repeat(tiny+",", elements-2) + tiny + "]}"
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	const all = 400_000 // as many as pass
	full := func(tiny string) int { return (wire.MaxFrame - 100) / (len(tiny) + 1) }
	head := []byte("\x00\x00\x00\x12" + `{"method":"apply"}`)
	for _, n := range []int{all, full("{}")} {
		said := slices.Concat(head, fill("steps", "{}", n))
		handlers := map[wire.Method]wire.Handler{wire.MethodApply: wire.Handle(func(context.Context, wire.ApplyRequest) (wire.Nothing, error) { return wire.Nothing{}, nil })}
		costs(t, fmt.Sprintf("%d steps", n), func() {
			_ = wire.Serve(t.Context(), struct {
				io.Reader
				io.Writer
			}{bytes.NewReader(said), io.Discard}, handlers)
		})
	}
	for _, c := range []struct {
		field, tiny string
		n           int
	}{
		{"state", `{"kind":"up"}`, all},
		{"state", `{"kind":"destination"}`, all},
		{"others", "{}", all},
		{`journal":{"entries`, "{}", full("{}")},
		{`journal":{"entries`, `{"reason":"` + strings.Repeat("x", 210) + `"}`, all},
		{`journal":{"members`, "{}", all},
	} {
		text := fill(c.field, c.tiny, c.n)
		if strings.Contains(c.field, "{") {
			text = append(text, '}')
			binary.BigEndian.PutUint32(text, uint32(len(text)-4))
		}
		said := append([]byte("\x00\x00\x00\x02{}"), text...)
		costs(t, fmt.Sprintf("%d of %.20s in %s", c.n, c.tiny, c.field), func() {
			var seen wire.Observed
			_ = wire.NewClient(&hostile{Reader: bytes.NewReader(said)}).Call(t.Context(), wire.MethodObserve, wire.Nothing{}, &seen)
			runtime.KeepAlive(&seen)
		})
	}
}

// costs fails if more memory is in use at a time. It looks from time to time, and
// what is garbage meanwhile counts as well.
func costs(t *testing.T, what string, do func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, uint64(0)
	done := make(chan bool)
	go func() { do(); close(done) }()
	for {
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		select {
		case <-done:
			if took := int64(peak) - int64(before); took > most {
				t.Errorf("%s: %d MB of memory, want no more than %d", what, took>>20, most>>20)
			} else {
				t.Logf("%s: %d MB", what, took>>20)
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// FuzzServe feeds the agent's side whatever bytes: it must end, without a
// panic, and every answer it gives must be a frame.
func FuzzServe(f *testing.F) {
	good, err := wire.Message("double", map[string]any{"method": "double"}, map[string]int{"n": 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
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
			if _, err := wire.ReadFrame(&out, wire.MethodApply); err != nil {
				t.Fatalf("answer is no frame: %v", err)
			}
		}
	})
}

// hostile is the stream to an agent that says what it likes, whatever it is
// asked. It counts what is read of it.
type hostile struct {
	io.Reader
	read   int
	closed bool
}

func (h *hostile) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.read += n
	return n, err
}

func (h *hostile) Write(p []byte) (int, error) { return len(p), nil }

func (h *hostile) Close() error {
	h.closed = true
	return nil
}

// FuzzClient feeds the workstation's side whatever bytes: every call ends, in
// an answer or an error; what it takes is what it was sent and not what it was
// promised; and a conversation that has broken off is over.
func FuzzClient(f *testing.F) {
	type answer struct{ head, body any }
	frame := func(answers ...answer) (out []byte) {
		for _, a := range answers {
			m, err := wire.Message("any", a.head, a.body)
			if err != nil {
				f.Fatal(err)
			}
			out = append(out, m...)
		}
		return out
	}
	body := func(v any) answer { return answer{map[string]any{}, v} }
	failed := func(e any) answer { return answer{map[string]any{"error": e}, nil} }
	entry := journal.Entry{After: state.Tagged{Item: state.Up{Link: "eth0"}}, Role: "director", For: []string{"web"}}
	observed := wire.Observed{
		State: statetest.Host(
			state.Up{Link: "eth0"}, state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"},
			state.Address{Link: "eth0", Prefix: netip.MustParsePrefix("192.0.2.10/32")}, state.Timeouts{TCP: 900},
		),
		Missing: []state.Missing{{ID: state.ID{Kind: state.KindModule, Key: "ip_vs"}, Why: "no such module"}},
		Journal: journal.Journal{FormatVersion: "1", Topology: "t", Entries: []journal.Entry{entry}, Members: []journal.Member{{Name: "lb", Port: 22}}},
		Foreign: []state.Foreign{{Owner: "keepalived", What: "process 812"}},
	}
	f.Add(frame(body(observed), body(wire.ApplyResult{Done: 1, Failed: fault.New(fault.Stale, "x")}), body(wire.DrainResult{Active: 7})))
	f.Add(frame(failed(fault.New(fault.Conflict, "not today")), body(nil), answer{}))
	f.Add(append(frame(body(nil)), 255, 255, 255, 255))
	f.Add([]byte{3, 255, 255, 255, '{'})
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add(frame(failed(map[string]any{"kind": 7})))
	f.Add(frame(failed(map[string]any{"kind": "weather"}), failed(map[string]any{})))
	f.Fuzz(func(t *testing.T, said []byte) {
		stream := &hostile{Reader: bytes.NewReader(said)}
		c := wire.NewClient(stream)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		broken := false
		for i := range len(said)/4 + 2 { // more calls than there can be frames
			var (
				seen    wire.Observed
				applied wire.ApplyResult
				drained wire.DrainResult
			)
			read := stream.read
			err := c.Call(t.Context(), "any", wire.Nothing{}, []any{&seen, &applied, &drained, nil}[i%4])
			if broken && (err == nil || stream.read != read) {
				t.Fatalf("the broken conversation went on: %v", err)
			}
			if err == nil {
				for id, item := range seen.State {
					if item == nil || state.IDOf(item) != id {
						t.Fatalf("%v is kept as %v", item, id)
					}
				}
				continue
			}
			if !slices.Contains(fault.Kinds(), fault.Of(err)) || err.Error() == "" {
				t.Fatalf("an error that says nothing, or is of no kind: %#v", err)
			}
			broken = broken || fault.Of(err) == fault.Connection && !told(err)
		}
		if err := c.Call(t.Context(), "any", wire.Nothing{}, nil); err == nil {
			t.Fatal("an answer out of nothing")
		}
		// JSON in memory is larger than on the wire, by a factor and not by what
		// the head of a frame says.
		runtime.ReadMemStats(&after)
		if took, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1000*len(said)); took > most {
			t.Fatalf("%d bytes were said, and %d of memory taken; want at most %d", len(said), took, most)
		}
	})
}

// told reports whether an error is what the agent said.
func told(err error) bool { return errors.As(err, new(*fault.Error)) }
