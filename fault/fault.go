// Package fault is the vocabulary of failure: every error lvsform reports is
// of one of a few kinds, which programs can act on. It imports nothing of
// lvsform's.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kind says what sort of failure an error is. Its value is the word people and
// programs see.
type Kind string

// The kinds.
const (
	Input        Kind = "input"        // the inventory, a plan file or the command line is wrong
	Connection   Kind = "connection"   // a host cannot be reached, or was lost
	Permission   Kind = "permission"   // login, sudo, a file's mode or the kernel refuses
	Unsupported  Kind = "unsupported"  // the host's kernel or tools cannot do it
	Conflict     Kind = "conflict"     // the host is not as the inventory takes for granted, or somebody else holds the thing
	Stale        Kind = "stale"        // the host changed after the plan was made
	Verification Kind = "verification" // test traffic did not pass
	Interrupted  Kind = "interrupted"  // whoever runs lvsform ended it, with Ctrl-C or a signal
	Bug          Kind = "bug"          // none of these: lvsform did not expect it
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{Input, Connection, Permission, Unsupported, Conflict, Stale, Verification, Interrupted, Bug}
}

// Error is an error with its kind. In JSON it is the kind and the text.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"` // may have several lines

	cause error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.cause }

// Interruption is what an interrupted command ends with: it says what that means.
// As the cause of a context it says that whoever runs lvsform ended it.
type Interruption string

func (i Interruption) Error() string { return string(i) }

// Unwrap makes it an error of a cancelled context.
func (Interruption) Unwrap() error { return context.Canceled }

// New is fmt.Errorf with a kind. What an interrupted command has met is of that
// kind, whatever the caller takes it for.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{orInterrupted(kind, err), err.Error(), err} // itself: it may wrap several
}

// As gives an error a kind, as New does; nil stays nil.
func As(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{orInterrupted(kind, err), err.Error(), err}
}

// orInterrupted is the kind of an error, unless a context that was cancelled is
// in it. lvsform's own limits are deadlines: only people cancel.
func orInterrupted(kind Kind, err error) Kind {
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return kind
}

// From is an error with the kind that Of finds.
func From(err error) *Error { return &Error{Of(err), err.Error(), err} }

// Kinded is an error type that knows its kind by itself.
type Kinded interface {
	error
	FaultKind() Kind
}

// FaultKind implements Kinded.
func (e *Error) FaultKind() Kind { return e.Kind }

// Of tells the kind of an error: interrupted where a cancelled context is in it,
// the one it was given, the outermost first, or else what the operating system's
// error in it says.
func Of(err error) Kind {
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	var given Kinded
	if errors.As(err, &given) {
		return given.FaultKind()
	}
	var (
		op    *net.OpError
		dns   *net.DNSError
		errno syscall.Errno
		tool  *exec.ExitError
	)
	switch {
	case isAny(err, context.DeadlineExceeded, os.ErrDeadlineExceeded, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, unix.EPIPE),
		errors.As(err, &op), errors.As(err, &dns):
		return Connection
	case isAny(err, fs.ErrPermission, unix.EROFS):
		return Permission
	case isAny(err, fs.ErrExist, unix.EBUSY, unix.EADDRINUSE, unix.ENOSPC, unix.EDQUOT):
		return Conflict // somebody else holds it, be it the room
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &errno), errors.As(err, &tool):
		return Unsupported // the kernel or one of its tools said no
	default:
		return Bug
	}
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
