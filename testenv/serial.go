package testenv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// serialConn makes a reliable stream of User-Mode Linux's serial line, which
// is none when it has to wait: with its output blocked the driver sends bytes
// twice, and with both directions busy it stops altogether. So neither end
// ever sends more than the line can hold before the other has taken it.
//
// Everything is in frames: a byte that says what, and a big-endian uint16. For
// frameData that many bytes follow; frameTaken returns that much room.
type serialConn struct {
	line io.ReadWriteCloser

	write sync.Mutex // one frame at a time

	mu       sync.Mutex
	changed  sync.Cond
	received []byte // not read yet; the other end's room bounds it
	owed     int    // room to return
	window   int    // room the other end has in all
	room     int    // bytes this end may send, headers included
	err      error  // ends both directions
}

const (
	frameData   = 'd'
	frameTaken  = 't'
	frameHeader = 3

	// inwardWindow fits the 4 KB of the line discipline, outwardWindow the
	// pipe that the line's output goes to.
	inwardWindow  = 3 << 10
	outwardWindow = 48 << 10
)

// newSerialConn starts the protocol on an end of the line that may have so
// much under way to it, and from it.
func newSerialConn(line io.ReadWriteCloser, to, from int) *serialConn {
	c := &serialConn{line: line, window: to, room: from}
	c.changed.L = &c.mu
	go c.receive()
	return c
}

// receive takes frames off the line as they come. It never writes, so the
// line's two directions cannot wait for each other.
func (c *serialConn) receive() {
	err := c.receiveFrames()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.changed.Broadcast()
}

func (c *serialConn) receiveFrames() error {
	in := make([]byte, frameHeader+c.window)
	for {
		header := in[:frameHeader]
		if _, err := io.ReadFull(c.line, header); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(header[1:]))
		switch {
		case header[0] == frameTaken:
			c.mu.Lock()
			c.room += n
		case header[0] == frameData && n <= c.window:
			data := in[frameHeader : frameHeader+n]
			if _, err := io.ReadFull(c.line, data); err != nil {
				return err
			}
			c.mu.Lock()
			c.received = append(c.received, data...)
			c.owed += frameHeader
		default:
			return fmt.Errorf("serial line: garbled frame %q", header)
		}
		c.changed.Broadcast()
		c.mu.Unlock()
	}
}

// Read implements io.Reader.
func (c *serialConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	for len(c.received) == 0 && c.err == nil {
		c.changed.Wait()
	}
	if len(c.received) == 0 {
		defer c.mu.Unlock()
		return 0, c.err
	}
	n := copy(p, c.received)
	c.received = c.received[n:]
	if len(c.received) == 0 {
		c.received = nil
	}
	c.owed += n
	owed := c.owed
	if owed < c.window/4 {
		owed = 0 // the other end has three quarters left
	}
	c.owed -= owed
	c.mu.Unlock()
	if owed > 0 {
		if err := c.send(frameTaken, owed, nil); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Write implements io.Writer.
func (c *serialConn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := c.takeRoom(len(p) - sent)
		if err != nil {
			return sent, err
		}
		if err := c.send(frameData, n, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// takeRoom waits until the other end can take some data, and returns how much
// of want.
func (c *serialConn) takeRoom(want int) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.room <= frameHeader && c.err == nil {
		c.changed.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	n := min(want, c.room-frameHeader)
	c.room -= n + frameHeader
	return n, nil
}

func (c *serialConn) send(kind byte, n int, data []byte) error {
	frame := make([]byte, 0, frameHeader+len(data))
	frame = append(frame, kind)
	frame = binary.BigEndian.AppendUint16(frame, uint16(n))
	frame = append(frame, data...)
	c.write.Lock()
	defer c.write.Unlock()
	_, err := c.line.Write(frame)
	return err
}

// Close implements io.Closer.
func (c *serialConn) Close() error {
	c.mu.Lock()
	if c.err == nil {
		c.err = os.ErrClosed
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	return c.line.Close()
}
