package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
)

// each asks an agent for whatever reads or writes journals.
func each(t *testing.T, a *Agent) map[string]error {
	t.Helper()
	out := map[string]error{}
	_, out["observe"] = a.observe(t.Context(), wire.ObserveRequest{Topology: "t"})
	_, out["prepare"] = a.prepare(t.Context(), wire.PrepareRequest{Topology: "t"})
	_, out["apply"] = a.apply(t.Context(), steps(state.Change{After: vip}))
	_, out["settle"] = a.settle(t.Context(), wire.SettleRequest{Topology: "t", Leave: true})
	return out
}

// What stands in a journal's place and is none is refused, and not taken for a
// journal that holds nothing. So is what others than root may write.
func TestJournalOfAnotherKind(t *testing.T) {
	const sound = `{"format_version":"1","topology":"t","entries":[]}`
	for name, c := range map[string]struct {
		put  func(file string) error
		says string
	}{
		"directory": {func(f string) error { return os.Mkdir(f, 0o700) }, "is a directory, and no regular file"},
		"fifo":      {func(f string) error { return unix.Mkfifo(f, 0o600) }, "is a named pipe, and no regular file"},
		"dangling":  {func(f string) error { return os.Symlink("/nowhere", f) }, "is a symbolic link, and no regular file"},
		"symlink": {func(f string) error {
			if err := os.WriteFile(f+".real", []byte(sound), 0o600); err != nil {
				return err
			}
			return os.Symlink(f+".real", f)
		}, "is a symbolic link, and no regular file"},
		"readable": {func(f string) error { return os.WriteFile(f, []byte(sound), 0o644) }, "mode 0644"},
		"writable": {func(f string) error {
			return errors.Join(os.WriteFile(f, []byte(sound), 0o600), os.Chmod(f, 0o620))
		}, "mode 0620"},
		"owned": {func(f string) error {
			if os.Geteuid() != 0 {
				return nil
			}
			return errors.Join(os.WriteFile(f, []byte(sound), 0o600), os.Chown(f, 4711, 0))
		}, "owner 4711"},
	} {
		for _, topology := range []string{"t", "another"} {
			if name == "owned" && os.Geteuid() != 0 {
				continue
			}
			a := newAgent(t)
			if err := os.MkdirAll(a.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(a.Dir, topology+".json")
			if err := c.put(file); err != nil {
				t.Fatal(err)
			}
			for what, err := range each(t, a) {
				if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), file) || fault.Of(err) != fault.Conflict {
					t.Errorf("%s in the place of the journal of %s: %s: %v, want %q", name, topology, what, err, c.says)
				}
			}
			if a.Kernel.(*fake.Kernel).State.Has(vip) {
				t.Errorf("%s: changed the host", name)
			}
			if _, err := os.Lstat(file); err != nil {
				t.Errorf("%s: the file was touched: %v", name, err)
			}
		}
	}
}

// destroy does what journals say, as root: others must not write them.
func TestFolderIsRootsAlone(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"readable": {func(d string) error { return os.Chmod(d, 0o755) }, "mode 0755"},
		"owned":    {func(d string) error { return os.Chown(d, 4711, -1) }, "owner 4711"},
		"symlink": {func(d string) error {
			return errors.Join(os.Rename(d, d+".real"), os.Symlink(d+".real", d))
		}, "is a symbolic link"},
	} {
		if name == "owned" && os.Geteuid() != 0 {
			continue
		}
		a := newAgent(t)
		if err := errors.Join(os.MkdirAll(a.Dir, 0o700), c.spoil(a.Dir)); err != nil {
			t.Fatal(err)
		}
		for what, err := range each(t, a) {
			if err == nil || !strings.Contains(err.Error(), c.says) || fault.Of(err) != fault.Permission {
				t.Errorf("%s: %s: %v, want %q", name, what, err, c.says)
			}
		}
		if a.Kernel.(*fake.Kernel).State.Has(vip) {
			t.Errorf("%s: changed the host", name)
		}
	}
}

// The advice for a journal that cannot be read names a place that destroy does
// not remove; nor does it remove what somebody keeps beside the journals.
func TestAwayIsOutOfTheFolder(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{After: vip}))
	broken, aside := filepath.Join(a.Dir, "another.json"), filepath.Join(a.Dir, "another.json.broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := a.observe(t.Context(), wire.ObserveRequest{Topology: "t"})
	if err == nil || !strings.Contains(err.Error(), "move it out of "+a.Dir+", for example to /root: what topology another has set") {
		t.Errorf("the advice: %v", err)
	}
	if err := os.Rename(broken, aside); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(a.Dir, "agent", "x"), 0o700), os.WriteFile(filepath.Join(a.Dir, ".t.json4711"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.settle(t.Context(), wire.SettleRequest{Topology: "t", Forget: []state.ID{state.IDOf(vip)}, Leave: true}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(a.Dir)
	if err != nil || len(files) != 1 || files[0].Name() != filepath.Base(aside) {
		t.Errorf("left in the folder: %v, %v; want what somebody keeps there, and nothing of lvsform's", files, err)
	}
}

// A folder that is a file system of its own stays, and is no error. One that is
// full is found before anything is changed.
func TestFolderIsAFileSystem(t *testing.T) {
	if os.Getenv("LVSFORM_LAB") == "" {
		t.Skip("mounts a file system: run `make test-kernel`, which runs this test in the lab")
	}
	a := newAgent(t)
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", a.Dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(a.Dir, 0) }()
	prepare := func(size int) error {
		_, err := a.prepare(t.Context(), wire.PrepareRequest{Topology: "t", Size: size})
		return err
	}
	if err := prepare(1 << 20); fault.Of(err) != fault.Conflict || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a megabyte in 64 kB: %v", err)
	}
	if err := prepare(16 << 10); err != nil {
		t.Error(err)
	}
	mustApply(t, a, steps(state.Change{After: vip}))
	if err := unix.Mount("none", a.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := prepare(0); fault.Of(err) != fault.Permission {
		t.Errorf("read-only: %v", err)
	}
	if err := unix.Mount("none", a.Dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := a.settle(t.Context(), wire.SettleRequest{Topology: "t", Forget: []state.ID{state.IDOf(vip)}, Leave: true}); err != nil {
		t.Errorf("leaves a mount point: %v", err)
	}
	if files, err := os.ReadDir(a.Dir); err != nil || len(files) != 0 {
		t.Errorf("left on it: %v, %v", files, err)
	}
}
