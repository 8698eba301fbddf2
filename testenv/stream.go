package testenv

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stream is one end of the byte stream between the outside and the
// workstation: two pipes, or a serial line twice.
type stream struct{ in, out *os.File }

// streamBuffer is what the pipe to the outside can hold: more than the serial
// protocol ever has under way, so that the driver's output never blocks.
const streamBuffer = 256 << 10

// newStream makes both ends.
func newStream() (outer, inner *stream, err error) {
	outer, inner = &stream{}, &stream{}
	if inner.in, outer.out, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	if outer.in, inner.out, err = os.Pipe(); err != nil {
		return nil, nil, errors.Join(err, inner.in.Close(), outer.out.Close())
	}
	conn, err := inner.out.SyscallConn()
	if err == nil {
		var sizeErr error
		err = conn.Control(func(fd uintptr) {
			_, sizeErr = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, streamBuffer)
		})
		err = errors.Join(err, sizeErr)
	}
	if err != nil {
		return nil, nil, errors.Join(err, outer.Close(), inner.Close())
	}
	return outer, inner, nil
}

// conn is the stream as SSH wants it, from one side or the other.
func (s *stream) conn(k Kernel, outside bool) net.Conn {
	switch {
	case k != KernelUML:
		return streamConn{s}
	case outside:
		return streamConn{newSerialConn(s, outwardWindow, inwardWindow)}
	default:
		return streamConn{newSerialConn(s, inwardWindow, outwardWindow)}
	}
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) { return s.in.Read(p) }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) { return s.out.Write(p) }

// Close closes both directions.
func (s *stream) Close() error {
	if s.in == s.out {
		return s.in.Close()
	}
	return errors.Join(s.in.Close(), s.out.Close())
}

// streamConn makes a net.Conn of a stream. It has no deadlines: the outside
// ends the lab when something takes too long.
type streamConn struct{ io.ReadWriteCloser }

// LocalAddr implements net.Conn.
func (streamConn) LocalAddr() net.Addr { return streamAddr{} }

// RemoteAddr implements net.Conn.
func (streamConn) RemoteAddr() net.Addr { return streamAddr{} }

// SetDeadline implements net.Conn.
func (streamConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn.
func (streamConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn.
func (streamConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

type streamAddr struct{}

// Network implements net.Addr.
func (streamAddr) Network() string { return "stream" }

// String implements net.Addr.
func (streamAddr) String() string { return "stream" }
