package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/fault"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fault.Kind
	}{
		{fault.New(fault.Stale, "moved"), fault.Stale},
		{fmt.Errorf("lb: %w", fault.New(fault.Conflict, "taken: %w", unix.EPERM)), fault.Conflict},
		{fault.As(fault.Input, fault.New(fault.Bug, "no such file")), fault.Input},
		{errors.Join(errors.New("first"), fault.New(fault.Permission, "second")), fault.Permission},
		{fmt.Errorf("add: %w", unix.EPERM), fault.Permission},
		{fmt.Errorf("add: %w", unix.EACCES), fault.Permission},
		{fmt.Errorf("add: %w", unix.EEXIST), fault.Conflict},
		{&fs.PathError{Op: "write", Path: "/var/lib/x", Err: unix.ENOSPC}, fault.Conflict},
		{fmt.Errorf("write: %w", unix.EDQUOT), fault.Conflict},
		{fmt.Errorf("add: %w", unix.EOPNOTSUPP), fault.Unsupported},
		{fmt.Errorf("add: %w", unix.ENOENT), fault.Unsupported},
		{&fs.PathError{Op: "open", Path: "/proc/x", Err: unix.ENOENT}, fault.Unsupported},
		{&net.OpError{Op: "dial", Err: unix.ECONNREFUSED}, fault.Connection},
		{fmt.Errorf("observe: %w", context.DeadlineExceeded), fault.Connection},
		{fmt.Errorf("observe: %w", context.Canceled), fault.Interrupted},
		{fmt.Errorf("observe: %w", fault.Interruption("interrupted")), fault.Interrupted},
		{fault.New(fault.Connection, "lb: %w", fault.Interruption("interrupted")), fault.Interrupted},
		{fault.As(fault.Permission, fmt.Errorf("login: %w", context.Canceled)), fault.Interrupted},
		{errors.New("what"), fault.Bug},
	} {
		if got := fault.Of(c.err); got != c.want {
			t.Errorf("%v: kind %s, want %s", c.err, got, c.want)
		}
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	err := fault.New(fault.Permission, "host lb: %w", unix.EPERM)
	if !errors.Is(err, unix.EPERM) || err.Error() != "host lb: operation not permitted" {
		t.Errorf("%q does not lead to EPERM", err)
	}
	if err := fault.New(fault.Bug, "%w, and then %w", unix.EPERM, unix.ENOSPC); !errors.Is(err, unix.EPERM) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%q does not lead to both", err)
	}
	text, _ := json.Marshal(err)
	if want := `{"kind":"permission","message":"host lb: operation not permitted"}`; string(text) != want {
		t.Errorf("JSON %s, want %s", text, want)
	}
	if fault.As(fault.Input, nil) != nil {
		t.Error("no error became one")
	}
}
