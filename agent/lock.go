package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/fault"
)

const (
	lockWait = 30 * time.Second // how long another agent may take over one request
	lockPoll = 20 * time.Millisecond
)

// lock keeps the other agents on this host, of another workstation or topology,
// from changing it and the journals meanwhile. The kernel ends a lock with the
// process that holds it, so none outlives a crash.
func (a *Agent) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait,
		fault.New(fault.Conflict, "another lvsform has been changing this host for %v; try again when it is done", lockWait))
	defer cancel()
	for {
		dir, err := a.tryLock()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", a.Dir, err)
		}
		if dir != nil {
			return func() { _ = dir.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// tryLock returns the locked folder, or nil while another has it.
func (a *Agent) tryLock() (*os.File, error) {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := checkFolder(a.Dir); err != nil {
		return nil, err
	}
	dir, err := os.Open(a.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it has just left
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		// Whoever had it may have left, and taken the folder along.
		var is, locked os.FileInfo
		if is, err = os.Stat(a.Dir); err == nil {
			if locked, err = dir.Stat(); err == nil && os.SameFile(is, locked) {
				return dir, nil
			}
		}
	}
	_ = dir.Close()
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return nil, err
}
