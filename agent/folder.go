package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
)

// checkFolder refuses a folder for journals that others may write to: what the
// journals say is carried out as root. One that is not there is as good.
func checkFolder(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fault.New(fault.Permission, "%s is %s, and no directory: find out who made it, then remove it", dir, kindOf(info))
	}
	if why := notAlone(info); why != "" {
		return fault.New(fault.Permission, "%s %s. What its journals say is carried out as root: find out who can write there and look at the journals, then chown root:root %s && chmod 700 %s", dir, why, dir, dir)
	}
	return nil
}

// kindOf says what a file is that should be another.
func kindOf(info fs.FileInfo) string {
	switch {
	case info.Mode().IsRegular():
		return "a file"
	case info.IsDir():
		return "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.Mode()&fs.ModeNamedPipe != 0:
		return "a named pipe"
	default:
		return "a special file"
	}
}

// notAlone says why a file or folder is not this user's alone, who is root; "":
// it is.
func notAlone(info fs.FileInfo) string {
	mode := info.Mode().Perm()
	sys, _ := info.Sys().(*syscall.Stat_t)
	if sys == nil || int(sys.Uid) == os.Geteuid() && mode&0o077 == 0 {
		return ""
	}
	return fmt.Sprintf("is not root's alone (owner %d, mode %04o)", sys.Uid, mode)
}

// makeRoom writes so many bytes into the folder and takes them away again: what
// follows is not to end half way because a journal cannot be written.
func (a *Agent) makeRoom(size int) (err error) {
	if a.beforeWrite != nil {
		if err := a.beforeWrite(); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp(a.Dir, ".room.json*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := bytes.Repeat([]byte("room for a journal; "), 1<<10)
	for left := size; left > 0; left -= len(block) {
		if _, err := f.Write(block[:min(left, len(block))]); err != nil {
			return fmt.Errorf("no room for a journal of %d bytes: %w", size, err)
		}
	}
	return f.Sync()
}

// leftover is the name of what a death leaves half written.
var leftover = regexp.MustCompile(`^\..*\.json[0-9]+$`)

// leave removes everything lvsform keeps on the host, the agent included, once
// no topology holds anything: the host is as it was before lvsform came. What is
// in the folder and not lvsform's stays, and so does a folder on which somebody
// has mounted a file system.
func (a *Agent) leave() error {
	left, err := a.journals("")
	if err == nil && a.beforeWrite != nil {
		err = a.beforeWrite()
	}
	if err != nil || len(left) != 0 {
		return err
	}
	files, err := os.ReadDir(a.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Name() == journal.AgentDir || leftover.MatchString(f.Name()) {
			if err := os.RemoveAll(filepath.Join(a.Dir, f.Name())); err != nil && !errors.Is(err, unix.EBUSY) {
				return err
			}
		}
	}
	if err := os.Remove(a.Dir); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}
