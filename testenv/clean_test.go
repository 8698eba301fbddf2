package testenv_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/testenv"
)

// TestLeavesNothingBehind ends a lab in every way there is and compares the
// machine with what it was before.
func TestLeavesNothingBehind(t *testing.T) {
	// whatever loses its parent becomes this process's child, where
	// descendants finds it
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	for _, end := range []struct {
		name   string
		how    func(t *testing.T, h *helperProcess)
		status int
	}{
		{"exit", func(_ *testing.T, h *helperProcess) { h.waitUp(); h.say("exit 3") }, 3},
		{"SIGKILL", func(_ *testing.T, h *helperProcess) { h.waitUp(); h.kill(syscall.SIGKILL) }, -1},
		{"SIGKILL in the boot", func(_ *testing.T, h *helperProcess) { time.Sleep(100 * time.Millisecond); h.kill(syscall.SIGKILL) }, -1},
		{"SIGTERM", func(_ *testing.T, h *helperProcess) { h.waitUp(); h.say("exec sleep 1000"); h.kill(syscall.SIGTERM) }, 128 + 2},
		{"SIGKILL of the supervisor", func(t *testing.T, h *helperProcess) { h.waitUp(); h.killSupervisor(t) }, 1},
	} {
		t.Run(end.name, func(t *testing.T) {
			kernels(t, func(t *testing.T, o testenv.Options) {
				before := look(t)
				h := startHelper(t, o.Kernel, nil, "sh", "-c", "echo up; read line; eval $line")
				end.how(t, h)
				if status := h.wait(t); status != end.status {
					t.Errorf("status %d, want %d\n%s", status, end.status, h.stderr)
				}
				within(t, "a process is left", func() bool { return len(descendants(t)) == 0 })
				// the log of a failure is left on purpose
				within(t, "a file is left", func() bool { return len(files(t, h.dir, "*")) == len(files(t, h.dir, "*.log")) })
				if diff := cmp.Diff(before, look(t)); diff != "" {
					t.Errorf("the machine changed (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// helperProcess is a lab in a process of its own, with a HOME and TMPDIR of
// its own.
type helperProcess struct {
	cmd    *exec.Cmd
	dir    string
	stdin  *os.File
	stdout *bufio.Reader
	stderr *bytes.Buffer
}

func startHelper(t *testing.T, kernel testenv.Kernel, as *syscall.Credential, args ...string) *helperProcess {
	t.Helper()
	h := &helperProcess{dir: t.TempDir(), stderr: &bytes.Buffer{}}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd = exec.Command(exe, args...)
	h.cmd.Env = append(os.Environ(), helperVariable+"="+string(kernel), "TMPDIR="+h.dir, "HOME="+h.dir)
	if as != nil {
		h.becomeOther(t, as)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = r, outW, h.stderr
	h.stdin, h.stdout = w, bufio.NewReader(outR)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = r.Close(), outW.Close()
	t.Cleanup(func() { _ = h.cmd.Process.Kill(); _ = w.Close(); _ = outR.Close() })
	return h
}

// becomeOther runs the helper as another user, who can neither see the test
// binary where it is nor write where root may.
func (h *helperProcess) becomeOther(t *testing.T, as *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "testenv-other-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, err := os.ReadFile(h.cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Path = filepath.Join(dir, "testenv.test")
	h.dir = filepath.Join(dir, "home")
	err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(h.cmd.Path, binary, 0o755),
		os.Mkdir(h.dir, 0o700), os.Chown(h.dir, int(as.Uid), int(as.Gid)))
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Env = append(h.cmd.Env, "TMPDIR="+h.dir, "HOME="+h.dir)
	h.cmd.Dir = "/"
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
}

// waitUp waits for the first line of the command in the lab.
func (h *helperProcess) waitUp() { _, _ = h.stdout.ReadString('\n') }

func (h *helperProcess) say(line string) { _, _ = fmt.Fprintln(h.stdin, line) }

func (h *helperProcess) kill(s syscall.Signal) { _ = h.cmd.Process.Signal(s) }

func (h *helperProcess) killSupervisor(t *testing.T) {
	t.Helper()
	for _, pid := range descendants(t) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == "lab-supervise\n" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
	t.Error("no supervisor found")
}

// wait waits for the end and returns the exit status; -1 if it was killed.
func (h *helperProcess) wait(t *testing.T) int {
	t.Helper()
	stop := time.AfterFunc(time.Minute, func() { h.kill(syscall.SIGKILL) })
	defer stop.Stop()
	err := h.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return h.cmd.ProcessState.ExitCode()
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(what)
}

// descendants are the living processes that come from this one.
func descendants(t *testing.T) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // gone
		}
		// pid (comm) state ppid ...
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		ppid, _ := strconv.Atoi(fields[1])
		if fields[0] != "Z" {
			children[ppid] = append(children[ppid], pid)
		}
	}
	var all []int
	for next := []int{os.Getpid()}; len(next) > 0; next = next[1:] {
		all = append(all, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return all
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// look is everything about the machine that a lab might change.
func look(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, command := range []string{
		"ip -o link", "ip -o addr", "ip route show table all", "ip -6 route show table all",
		"ip rule", "ip -6 rule", "ip netns", "ls /dev/shm", "hostname",
	} {
		args := strings.Fields(command)
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		seen[command] = string(out)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	seen["mounts"] = string(mounts)
	for _, tree := range []string{"/proc/sys/net", "/proc/sys/kernel"} {
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || restless(path) {
				return nil // a NIC of someone else's may be gone by now
			}
			if value, err := os.ReadFile(path); err == nil {
				seen[path] = string(value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return seen
}

// restless reports whether a sysctl changes by itself.
func restless(path string) bool {
	for _, prefix := range []string{
		"/proc/sys/kernel/random/", "/proc/sys/kernel/pty/nr", "/proc/sys/kernel/ns_last_pid",
		"/proc/sys/net/netfilter/nf_conntrack_count",
	} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// TestOrdinaryUser needs no privilege for User-Mode Linux.
func TestOrdinaryUser(t *testing.T) {
	if err := testenv.Available(testenv.Options{Kernel: testenv.KernelUML}); err != nil {
		t.Skip(err)
	}
	var as *syscall.Credential
	if os.Geteuid() == 0 {
		const nobody = 65534
		as = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	h := startHelper(t, testenv.KernelUML, as, "ssh", "web1", "id -un; ip -o -4 addr show dev ens33 | awk '{print $4}'; echo x > /etc/x; cat /etc/x")
	var out bytes.Buffer
	_, _ = out.ReadFrom(h.stdout)
	if status := h.wait(t); status != 0 {
		t.Errorf("status %d\n%s", status, h.stderr)
	}
	if diff := cmp.Diff("root\n192.0.2.11/24\nx\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left := files(t, h.dir, "*"); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
}

// TestOtherFileSystems: a lab sees a file system mounted somewhere on the
// machine, and what it writes there stays in the lab.
func TestOtherFileSystems(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	kernels(t, func(t *testing.T, o testenv.Options) {
		dir := t.TempDir()
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		// the mount is seen by this shell and what it starts only
		cmd := exec.Command("unshare", "--mount", "sh", "-c", `
			mount -t tmpfs disk "$1" && echo machine > "$1/file" || exit 1
			"$0" sh -c "cat '$1/file'; echo lab > '$1/file'; cat '$1/file'; echo > '$1/more'" || exit 1
			cat "$1/file"; ls "$1"`, exe, dir)
		cmd.Env = append(os.Environ(), helperVariable+"="+string(o.Kernel))
		out, err := cmd.CombinedOutput()
		if diff := cmp.Diff("machine\nlab\nmachine\nfile\n", string(out)); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}
