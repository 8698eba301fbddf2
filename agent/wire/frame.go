package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/lvsform/lvsform/fault"
)

// limit bounds what a frame may cost whoever reads it. In memory an element of a
// list takes up to a hundred times what it takes on the wire, so bytes alone
// bound nothing.
type limit struct {
	bytes    int
	elements int // of all lists together
}

// sizes are the limits of a method's bodies.
type sizes struct{ request, answer limit }

// sizesOf bounds the bodies of a method. Those that tell of whole hosts are sized
// for 100,000 destinations: each is an item, and a journal's entry or a step, with
// a word for what it is for. Where another topology holds the same ones, about
// 80,000 fit: more elements could cost more memory than a message may.
func sizesOf(m Method) sizes {
	whole, few := limit{MaxFrame, 400_000}, limit{8 << 20, 60_000}
	switch m {
	case MethodObserve:
		return sizes{request: few, answer: whole}
	case MethodAdopt, MethodApply, MethodDrain, MethodSettle:
		return sizes{request: whole, answer: few}
	default:
		return sizes{request: few, answer: few}
	}
}

// headLimit is that of a message's head. An error may tell of many items.
var headLimit = limit{16 << 20, 0}

// members is how many members an object may have: some are read into a map.
const members = 100_000

// depth is how deep lists and objects may be in one another.
const depth = 100

// frames are a message as it is sent.
func frames(head, body any, most limit) ([]byte, error) {
	h, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(headLimit.check(h), most.check(b)); err != nil {
		return nil, fault.As(fault.Unsupported, err)
	}
	out := make([]byte, 0, 8+len(h)+len(b))
	for _, part := range [][]byte{h, b} {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...)
	}
	return out, nil
}

// readHead reads the first frame of a message. io.EOF means that the stream
// ended between two messages.
func readHead(r io.Reader, head any) error {
	text, err := readFrame(r, headLimit)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, head)
}

// readFrame reads one frame. io.EOF means that the stream ended before it.
func readFrame(r io.Reader, most limit) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int64(n) > int64(most.bytes) {
		return nil, tooLarge(fmt.Sprintf("%d bytes", n), fmt.Sprint(most.bytes))
	}
	// The length is the peer's word: take memory as bytes arrive, not before.
	text := make([]byte, 0, min(int(n), 64<<10))
	for len(text) < int(n) {
		if len(text) == cap(text) {
			text = append(make([]byte, 0, min(int(n), 2*cap(text))), text...)
		}
		got, err := io.ReadFull(r, text[len(text):cap(text)])
		text = text[:len(text)+got]
		if err != nil {
			return nil, noEOF(err)
		}
	}
	return text, most.check(text)
}

// noEOF is the error of a stream that ended within a message.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func tooLarge(is, most string) error {
	return fmt.Errorf("a message with %s is over the limit of %s", is, most)
}

// check refuses a text that would take more memory than it may. Whether it is
// JSON is seen later.
func (l limit) check(text []byte) error {
	if len(text) > l.bytes {
		return tooLarge(fmt.Sprintf("%d bytes", len(text)), fmt.Sprint(l.bytes))
	}
	if !utf8.Valid(text) { // what stands in for an octet has three
		return errors.New("a message is no UTF-8")
	}
	type open struct {
		list bool
		n    int
	}
	var stack []open
	elements, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
			if c == '\\' {
				i++
			}
		case c == '{' || c == '[':
			if c == '[' {
				elements++
			}
			if stack = append(stack, open{list: c == '['}); len(stack) > depth {
				return tooLarge("lists or objects in one another", fmt.Sprint(depth))
			}
		case (c == '}' || c == ']') && len(stack) != 0:
			stack = stack[:len(stack)-1]
		case c == ',' && len(stack) != 0:
			top := &stack[len(stack)-1]
			if top.list {
				elements++
			} else if top.n++; top.n >= members {
				return tooLarge("an object of so many members", fmt.Sprint(members))
			}
		}
	}
	if elements > l.elements {
		return tooLarge(fmt.Sprintf("%d elements", elements), fmt.Sprint(l.elements))
	}
	return nil
}
