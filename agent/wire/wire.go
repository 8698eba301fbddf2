// Package wire is what the workstation and the agent say to each other:
// requests and answers as JSON, each in a frame of its own that begins with
// its length. The same binary is at both ends, so the types are the protocol.
package wire

import (
	"context"
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
const MaxFrame = 88 << 20

// Method names what is asked of the agent.
type Method string

// Caller asks a host's agent for something and waits for the answer.
type Caller interface {
	// Call sends the request and decodes the answer into response, which may
	// be nil. An error of type *fault.Error comes from the agent; any other means
	// that the connection is no longer of use.
	Call(ctx context.Context, method Method, request, response any) error
}

// A message is two frames: its head, and then its body, of which the length may
// depend on the method.
type requestHead struct {
	Method Method `json:"method"`
}

type answerHead struct {
	Error *fault.Error `json:"error,omitempty"` // then the body is null
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
	size := sizesOf(method)
	message, err := frames(requestHead{method}, req, size.request)
	if err != nil {
		return fmt.Errorf("%s request: %w", method, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.rw.Close() })
	var a answerHead
	var body []byte
	if _, err = c.rw.Write(message); err == nil {
		err = readHead(c.rw, &a)
	}
	if err == nil {
		body, err = readFrame(c.rw, size.answer)
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
		fromHost(method, e)
		return e
	}
	if resp == nil {
		return nil
	}
	if err := json.Unmarshal(body, resp); err != nil {
		return fmt.Errorf("%s answer: %w", method, err)
	}
	if f, ok := resp.(failing); ok && f.failure() != nil {
		fromHost(method, f.failure())
	}
	return nil
}

// failing is an answer that tells of a failure in its body.
type failing interface{ failure() *fault.Error }

// fromHost makes an agent's error one of the workstation's.
func fromHost(method Method, e *fault.Error) {
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
		var req requestHead
		if err := readHead(rw, &req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := sizesOf(req.Method)
		body, err := readFrame(rw, size.request)
		if err != nil {
			return noEOF(err)
		}
		var out any
		if h, ok := handlers[req.Method]; !ok {
			err = fault.New(fault.Bug, "unknown method %q", req.Method)
		} else {
			out, err = h(ctx, body)
		}
		var message []byte
		if err == nil {
			message, err = frames(answerHead{}, out, size.answer)
		}
		if err != nil {
			if message, err = frames(answerHead{fault.From(err)}, nil, size.answer); err != nil {
				return err
			}
		}
		if _, err := rw.Write(message); err != nil {
			return err
		}
	}
}
