// Package wire is what the workstation and the agent say to each other:
// requests and answers as JSON, each in a frame of its own that begins with
// its length. The same binary is at both ends, so the types are the protocol.
package wire

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/lvsform/lvsform/fault"
)

// MaxFrame is the longest frame in bytes either side reads. A director with
// 100,000 destinations over IPv6, all in its journal, answers an observation
// with about 80 MB.
const MaxFrame = 128 << 20

// Method names what is asked of the agent.
type Method string

// Caller asks a host's agent for something and waits for the answer.
type Caller interface {
	// Call sends the request and decodes the answer into response, which may
	// be nil. An error of type *fault.Error comes from the agent; any other means
	// that the connection is no longer of use.
	Call(ctx context.Context, method Method, request, response any) error
}

type request struct {
	Method Method          `json:"method"`
	Body   json.RawMessage `json:"body,omitempty"`
}

type answer struct {
	Error *fault.Error    `json:"error,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// lostError is a conversation that is at its end.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// FaultKind implements fault.Kinded.
func (e *lostError) FaultKind() fault.Kind { return fault.Connection }

// Client speaks to an agent over a byte stream. Calls are made one at a time;
// it is safe for concurrent use.
type Client struct {
	mu     sync.Mutex
	rw     io.ReadWriteCloser
	broken error
}

// NewClient returns a client that owns the stream.
func NewClient(rw io.ReadWriteCloser) *Client { return &Client{rw: rw} }

// Close closes the stream.
func (c *Client) Close() error { return c.rw.Close() }

// Call implements Caller. When the context ends before the answer is there,
// the stream is closed and later calls fail.
func (c *Client) Call(ctx context.Context, method Method, req, resp any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("%s request: %w", method, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.rw.Close() })
	var a answer
	err = WriteFrame(c.rw, request{method, body})
	if err == nil {
		err = ReadFrame(c.rw, &a)
	}
	if !stop() && err != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the agent ended without an answer")
		}
		c.broken = &lostError{fmt.Errorf("%s: %w", method, err)}
		return c.broken
	}
	if e := a.Error; e != nil {
		switch {
		case e.Kind == fault.Interrupted:
			e.Kind = fault.Connection // somebody ended the agent, and not who runs this
			e.Message = "the agent was ended on the host: " + e.Message
		case !slices.Contains(fault.Kinds(), e.Kind):
			e.Kind = fault.Bug
		}
		if e.Message == "" {
			e.Message = fmt.Sprintf("%s: the agent failed and does not say why", method)
		}
		return e
	}
	if resp == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, resp); err != nil {
		return fmt.Errorf("%s answer: %w", method, err)
	}
	return nil
}

// Handler answers one method: it decodes the body itself.
type Handler func(ctx context.Context, body json.RawMessage) (any, error)

// Handle turns a typed function into a Handler.
func Handle[In, Out any](f func(context.Context, In) (Out, error)) Handler {
	return func(ctx context.Context, body json.RawMessage) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}
}

// Serve answers requests from the stream with the handlers until the stream
// ends, which is no error, or breaks.
func Serve(ctx context.Context, rw io.ReadWriter, handlers map[Method]Handler) error {
	for {
		var req request
		if err := ReadFrame(rw, &req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var a answer
		if h, ok := handlers[req.Method]; !ok {
			a.Error = fault.New(fault.Bug, "unknown method %q", req.Method)
		} else if out, err := h(ctx, req.Body); err != nil {
			a.Error = fault.From(err)
		} else if a.Body, err = json.Marshal(out); err != nil {
			a.Error = fault.From(err)
		}
		if err := WriteFrame(rw, a); err != nil {
			return err
		}
	}
}

// WriteFrame writes a value as one frame.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > MaxFrame {
		return fmt.Errorf("message of %d bytes is over the limit of %d", len(body), MaxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

// ReadFrame reads one frame into a value. io.EOF means that the stream ended
// between two frames.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return fmt.Errorf("frame of %d bytes is over the limit of %d", n, MaxFrame)
	}
	// The length is the peer's word: take memory as bytes arrive, not before.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return err
	}
	if len(body) < int(n) {
		return io.ErrUnexpectedEOF
	}
	return json.Unmarshal(body, v)
}
