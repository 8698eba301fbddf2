package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/fault"

	"github.com/lvsform/lvsform/journal"
)

func TestColdThenWarm(t *testing.T) {
	s := startServer(t)
	for _, want := range []map[string]int{
		{"connect": 1, "start agent": 2, "push agent": 1},
		{"connect": 1, "start agent": 1},
	} {
		var seen steps
		o := s.options()
		o.Progress = seen.progress
		h := s.connect(s.target("web1"), o)
		if got, err := echo(context.Background(), h); err != nil || got != "web1" {
			t.Errorf("echo: %q, %v", got, err)
		}
		if diff := cmp.Diff(want, seen.count); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	stored, err := os.ReadDir(s.agentDir)
	if err != nil || len(stored) != 1 {
		t.Fatalf("agents stored: %v, %v; want one", stored, err)
	}
	info, err := stored[0].Info()
	if err != nil || info.Mode() != 0o700 {
		t.Errorf("agent's mode: %v, %v", info.Mode(), err)
	}
}

func TestPushTakesAwayWhatCrashedOnesLeft(t *testing.T) {
	s := startServer(t)
	if err := os.MkdirAll(s.agentDir, 0o700); err != nil {
		t.Fatal(err)
	}
	gone, alive := ".push.999999999", fmt.Sprintf(".push.%d", os.Getpid())
	for _, name := range []string{gone, alive} {
		if err := os.WriteFile(filepath.Join(s.agentDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.connect(s.target("web1"), s.options())
	if _, err := os.Stat(filepath.Join(s.agentDir, gone)); err == nil {
		t.Error("the file of a process that is gone is still there")
	}
	if _, err := os.Stat(filepath.Join(s.agentDir, alive)); err != nil {
		t.Errorf("the file of a process that lives was removed: %v", err)
	}
}

// Agents that were stored when the clock was ahead are not newer than one that is
// stored now, and do not lock it out.
func TestAgentsOfTheFuture(t *testing.T) {
	s := startServer(t)
	if err := os.MkdirAll(s.agentDir, 0o700); err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().AddDate(1, 0, 0)
	for i := range 8 {
		file := filepath.Join(s.agentDir, strings.Repeat(fmt.Sprint(i), 64))
		if err := errors.Join(os.WriteFile(file, nil, 0o700), os.Chtimes(file, ahead, ahead)); err != nil {
			t.Fatal(err)
		}
	}
	s.connect(s.target("web1"), s.options())
	stored, err := os.ReadDir(s.agentDir)
	if err != nil || len(stored) > 9 {
		t.Errorf("%d agents are stored, %v; want no more than 9", len(stored), err)
	}
	for _, f := range stored {
		if info, err := f.Info(); err != nil || info.ModTime().After(time.Now().Add(time.Hour)) {
			t.Errorf("%s is still of %v, %v", f.Name(), info.ModTime(), err)
		}
	}
}

func TestPushWithoutGzip(t *testing.T) {
	bin := t.TempDir()
	for _, tool := range []string{"sh", "ls", "id", "uname", "mkdir", "rm", "cat", "sha256sum", "chmod", "sync", "mv", "tail"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	s := startServer(t, "SetEnv PATH="+bin)
	h := s.connect(s.target("web1"), s.options())
	if got, err := echo(context.Background(), h); err != nil || got != "web1" {
		t.Errorf("echo: %q, %v", got, err)
	}
}

func TestPushThatArrivesDamaged(t *testing.T) {
	s := startServer(t)
	file := s.path("lvsform")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	s.write("lvsform", string(copied), 0o700)
	o := s.options()
	o.Executable = func(string) (string, error) { return file, nil }
	o.Progress = func(_, step string) {
		if step == string(StepPush) { // its hash is known by now
			s.write("lvsform", "something else", 0o700)
		}
	}
	contains(t, s.refused(s.target("web1"), o), "web1: push agent: exit status 1: the agent did not arrive whole")
	if left, err := os.ReadDir(s.agentDir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAgentDamagedInItsPlace(t *testing.T) {
	s := startServer(t)
	_ = s.connect(s.target("web1"), s.options()).Close()
	stored, err := filepath.Glob(filepath.Join(s.agentDir, "*"))
	if err != nil || len(stored) != 1 {
		t.Fatal(stored, err)
	}
	// Not written to: the file may still be running.
	if err := errors.Join(os.Remove(stored[0]), os.WriteFile(stored[0], nil, 0o700)); err != nil {
		t.Fatal(err)
	}
	contains(t, s.refused(s.target("web1"), s.options()), "web1: start agent: the agent did not speak: exit status 0", "remove "+s.agentDir)
}

func TestUnsafePlacesAreRefused(t *testing.T) {
	s := startServer(t)
	s.connect(s.target("web1"), s.options())
	stored, err := filepath.Glob(filepath.Join(s.agentDir, "*"))
	if err != nil || len(stored) != 1 {
		t.Fatal(stored, err)
	}
	file := stored[0]
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name        string
		spoil, mend func()
		want        string
	}{
		{"directory that others may write to",
			func() { must(os.Chmod(s.agentDir, 0o777)) }, func() { must(os.Chmod(s.agentDir, 0o700)) },
			s.agentDir + " on the host is not root's alone"},
		{"directory of someone else",
			func() { must(os.Chown(s.agentDir, 65534, 65534)) }, func() { must(os.Chown(s.agentDir, 0, 0)) },
			s.agentDir + " on the host is not root's alone"},
		{"link to a directory",
			func() { must(os.Rename(s.agentDir, s.path("elsewhere")), os.Symlink(s.path("elsewhere"), s.agentDir)) },
			func() { must(os.Remove(s.agentDir), os.Rename(s.path("elsewhere"), s.agentDir)) },
			s.agentDir + " on the host is not root's alone"},
		{"agent that others may read",
			func() { must(os.Chmod(file, 0o755)) }, func() { must(os.Chmod(file, 0o700)) },
			"the agent in " + s.agentDir + " on the host is not root's alone"},
		{"agent of someone else",
			func() { must(os.Chown(file, 65534, 65534)) }, func() { must(os.Chown(file, 0, 0), os.Chmod(file, 0o700)) },
			"the agent in " + s.agentDir + " on the host is not root's alone"},
		{"link to an agent",
			func() { must(os.Rename(file, s.path("agent")), os.Symlink(s.path("agent"), file)) },
			func() { must(os.Remove(file), os.Rename(s.path("agent"), file)) },
			"the agent in " + s.agentDir + " on the host is not root's alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spoil()
			defer c.mend()
			contains(t, s.refused(s.target("web1"), s.options()), "web1: start agent: ", c.want)
		})
	}
	s.connect(s.target("web1"), s.options()) // mended, all is well
}

func TestHostsThatCannotTakeTheAgent(t *testing.T) {
	for _, c := range []struct {
		name   string
		config string // of sshd; DIR is the server's directory
		dir    string // of the agent; empty for the usual one
		sudo   bool
		want   []string
		not    string // what the error must not say
	}{
		{name: "not root", config: `ForceCommand setpriv --reuid=65534 --clear-groups sh -c "$SSH_ORIGINAL_COMMAND"`,
			want: []string{"start agent: root is not root (user id 65534): log in as root, or say sudo: true"}},
		{name: "not root and a start-up file that complains", config: `ForceCommand setpriv --reuid=65534 --clear-groups sh -c "echo /opt/x/env.sh: Permission denied >&2; $SSH_ORIGINAL_COMMAND"`,
			want: []string{"start agent: root is not root (user id 65534): log in as root, or say sudo: true"}},
		{name: "sudo that is not there", sudo: true, config: "SetEnv PATH=/nonexistent",
			want: []string{"start agent: ", "exit status 127", "not found", "is sudo installed on the host"}},
		{name: "sudo that wants a terminal", sudo: true, config: "SetEnv PATH=DIR/tty:/usr/bin:/bin",
			want: []string{"start agent: ", "must have a tty", "let root run sudo without a terminal (Defaults:root !requiretty in sudoers)"}},
		{name: "sudo that is not for everything", sudo: true, config: "SetEnv PATH=DIR/some:/usr/bin:/bin",
			want: []string{"start agent: ", "is not allowed to execute", "let root run everything with sudo"}},
		{name: "sudo NOEXEC", sudo: true, config: "SetEnv PATH=DIR/noexec:/usr/bin:/bin",
			want: []string{"start agent: ", "the host runs sh, and nothing that sh starts", "does sudo run programs with NOEXEC (sudoers), or is DIR"}},
		{name: "126 of another cause", config: "ForceCommand echo busy; exit 126",
			want: []string{"start agent: ", "exit status 126; the host printed: busy"}, not: "noexec"},
		{name: "no session", config: "MaxSessions 0",
			want: []string{"start agent: the server opens no session: ", "see MaxSessions in its sshd_config"}},
		{name: "sudo that asks for a password", sudo: true, config: "SetEnv PATH=DIR/fake:/usr/bin:/bin",
			want: []string{"start agent: ", "sudo: a password is required", "let root run sudo without a password"}},
		{name: "file system that takes nothing", dir: "/proc/lvsform",
			want: []string{"push agent: ", "exit status 1: ", "/proc/lvsform"}},
		{name: "file in the directory's place", dir: "/dev/null",
			want: []string{"push agent: ", "exit status 1: ", "/dev/null"}},
		{name: "endless noise", config: "ForceCommand yes",
			want: []string{"start agent: ", "prints more than 64 kB before the agent speaks"}},
		{name: "account that runs nothing", config: "ForceCommand echo This account is closed.; exit 1",
			want: []string{"start agent: ", "exit status 1; the host printed: This account is closed."}},
		{name: "no id", config: "SetEnv PATH=DIR/no-id:/usr/bin:/bin",
			want: []string{"start agent: the host does not say which user this is: its program id prints nothing"}},
		{name: "no uname", config: "SetEnv PATH=DIR/no-uname:/usr/bin:/bin",
			want: []string{"push agent: the host does not say its architecture: its program uname prints nothing"}},
		{name: "no ls", config: "SetEnv PATH=DIR/no-ls:/usr/bin:/bin", dir: "DIR",
			want: []string{"start agent: the host does not say what ", ": its program ls prints nothing"}},
		{name: "no sha256sum", config: "SetEnv PATH=DIR/no-sha256sum:/usr/bin:/bin",
			want: []string{"push agent: ", "sha256sum says nothing"}},
		{name: "unknown architecture", config: "SetEnv PATH=DIR/vax:/usr/bin:/bin",
			want: []string{"push agent: ", `no agent is made for the architecture "vax"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := startServer(t, strings.ReplaceAll(c.config, "DIR", dir))
			for name, script := range map[string]string{
				"fake/sudo": "echo 'sudo: a password is required' >&2; exit 1",
				"vax/uname": "echo vax",
				"tty/sudo":  "echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1",
				"some/sudo": "echo \"Sorry, user root is not allowed to execute '/usr/bin/sh' as root on web1.\" >&2; exit 1",
				// What sh says that cannot execute anything: sudo's NOEXEC works so.
				"noexec/sudo": "shift 2; PATH=" + dir + "/denied exec /bin/sh -c \"$3\"",
				"denied/ls":   "", "denied/id": "", "denied/uname": "",

				"no-id/id":               "exit 127",
				"no-uname/uname":         "exit 127",
				"no-ls/ls":               "exit 127",
				"no-sha256sum/sha256sum": "exit 127",
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				mode := os.FileMode(0o700)
				if script == "" {
					mode = 0o600
				}
				if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), mode); err != nil {
					t.Fatal(err)
				}
			}
			target, o := s.target("web1"), s.options()
			target.Sudo = c.sudo
			if c.dir != "" {
				o.AgentDir = strings.ReplaceAll(c.dir, "DIR", dir)
			}
			for i := range c.want {
				c.want[i] = strings.ReplaceAll(c.want[i], "DIR", o.AgentDir)
			}
			text := s.refused(target, o)
			contains(t, text, append(c.want, "web1: ")...)
			if c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("error says %q: %s", c.not, text)
			}
		})
	}
}

func TestOneSessionAtATime(t *testing.T) {
	for range 3 { // the first contact pushes the agent
		s := startServer(t, "MaxSessions 1")
		h := s.connect(s.target("web1"), s.options())
		if got, err := echo(context.Background(), h); err != nil || got != "web1" {
			t.Errorf("echo: %q, %v", got, err)
		}
	}
}

func TestFileSystemThatRunsNothing(t *testing.T) {
	s := startServer(t)
	_ = s.connect(s.target("web1"), s.options()).Close()
	// In the server's own mount namespace, as it was started with one.
	mount := exec.Command("nsenter", "-t", strconv.Itoa(s.cmd.Process.Pid), "-m", "sh", "-c", "mount --bind "+s.agentDir+" "+s.agentDir+" && mount -o remount,bind,noexec "+s.agentDir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	contains(t, s.refused(s.target("web1"), s.options()), "start agent: ", "exit status 126", "is "+s.agentDir+" on a file system mounted noexec")
}

func TestHostThatPrintsAndWaits(t *testing.T) {
	s := startServer(t, "ForceCommand echo Your account needs a new password.; echo Call the help desk. >&2; sleep 20")
	o := s.options()
	o.startLimit = 2 * time.Second
	contains(t, s.refused(s.target("web1"), o), "start agent: not done within 2s; the host printed: Your account needs a new password. Call the help desk.")
}

func TestServerThatTakesFewLoginsAtATime(t *testing.T) {
	s := startServer(t, "MaxStartups 2")
	var others []net.Conn // two that do not log in
	for end := time.Now().Add(10 * time.Second); len(others) < 2; {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		line, err := bufio.NewReader(conn).ReadString('\n')
		switch {
		case err == nil && strings.HasPrefix(line, "SSH-"):
			others = append(others, conn)
		case time.Now().After(end): // the one that waited for the server to listen may count for a while
			t.Fatalf("%q, %v", line, err)
		}
	}
	time.AfterFunc(300*time.Millisecond, func() {
		for _, conn := range others {
			_ = conn.Close()
		}
	})
	o := s.options()
	o.backoff = 300 * time.Millisecond
	s.connect(s.target("web1"), o)
}

func TestServerThatDropsEveryConnection(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for said, want := range map[string]string{
		"":                             " closed the connection before its SSH greeting, 6 times; it may have too many logins at a time (MaxStartups in its sshd_config; a smaller --parallel makes fewer)",
		"Exceeded MaxStartups\r\n":     " closed the connection before its SSH greeting, 6 times, and said: Exceeded MaxStartups; it may have",
		"Not allowed at this time\r\n": " closed the connection before its SSH greeting, and said: Not allowed at this time",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, said)
				_ = conn.Close()
			}
		}()
		target := journal.Member{Name: "web1", Address: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}
		_, err = connectTo(context.Background(), target, &Options{ConfigFiles: []string{}, backoff: time.Millisecond})
		if err == nil || fault.Of(err) != fault.Connection {
			t.Fatalf("%v, of kind %s", err, fault.Of(err))
		}
		contains(t, err.Error(), "web1: connect: ", want)
	}
}

func TestNoisyStartUpFiles(t *testing.T) {
	s := startServer(t, `ForceCommand echo "Welcome to $(hostname)"; printf "no line end: "; echo oops >&2; eval "$SSH_ORIGINAL_COMMAND"`)
	for range 2 { // cold and warm
		h := s.connect(s.target("web1"), s.options())
		if got, err := echo(context.Background(), h); err != nil || got != "web1" {
			t.Errorf("echo: %q, %v", got, err)
		}
	}
}

func TestSudo(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, "SetEnv PATH="+dir+":/usr/bin:/bin")
	script := "#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\nshift 2\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	target := s.target("web1")
	target.Sudo = true
	h := s.connect(target, s.options())
	var uid int
	if err := h.Call(context.Background(), "uid", nil, &uid); err != nil || uid != 0 {
		t.Errorf("uid %d, %v", uid, err)
	}
}

func TestCallErrors(t *testing.T) {
	s := startServer(t)
	h := s.connect(s.target("web1"), s.options())

	err := h.Call(context.Background(), "refuse", nil, nil)
	var told *fault.Error
	if !errors.As(err, &told) || err.Error() != "no such device" {
		t.Errorf("refusal: %v", err)
	}
	if _, err := echo(context.Background(), h); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	err = h.Call(context.Background(), "die", nil, nil)
	contains(t, err.Error(), "die: ", "exit status 7: [31mkernel said no")
	if _, err := echo(context.Background(), h); err == nil {
		t.Error("a call after the agent's end went well")
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	s := startServer(t)
	h := s.connect(s.target("web1"), s.options())
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := h.Call(ctx, "hang", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionCutInACall(t *testing.T) {
	s := startServer(t)
	r := startRelay(t, s.address())
	target, o := s.throughRelay(r)
	h := s.connect(target, o)
	time.AfterFunc(50*time.Millisecond, r.cut)
	err := h.Call(context.Background(), "hang", nil, nil)
	contains(t, err.Error(), "hang: ", "the connection was lost")
}

func TestSilentHostIsNoticed(t *testing.T) {
	s := startServer(t)
	r := startRelay(t, s.address())
	target, o := s.throughRelay(r)
	o.keepAlive = time.Second // a busy machine must not look silent while the agent is pushed
	h := s.connect(target, o)
	close(r.stall)
	err := h.Call(context.Background(), "echo", "x", nil)
	contains(t, err.Error(), "echo: ", "the connection was lost")
}

// throughRelay is a target whose connection the test can cut.
func (s *server) throughRelay(r *relay) (journal.Member, *Options) {
	target := s.target("web1")
	target.Port = r.port
	s.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", r.port, s.read("host_key.pub")), 0o600)
	return target, s.options()
}

func TestAgentDirMustNeedNoQuoting(t *testing.T) {
	for _, dir := range []string{"relative", "/", "/a b", "/a'b", "/a/../b", "/a//b", "/a/", "/$HOME", "/-a", "/a\nb"} {
		_, err := connectTo(context.Background(), journal.Member{Name: "web1"}, &Options{AgentDir: dir, ConfigFiles: []string{}})
		if err == nil || !strings.HasPrefix(err.Error(), "web1: configuration: agent directory ") {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
