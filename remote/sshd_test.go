package remote

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/agent/wire"

	"github.com/lvsform/lvsform/journal"
)

// The agent in these tests is the test binary itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "agent" {
		os.Exit(testAgent())
	}
	os.Exit(m.Run())
}

func testAgent() int {
	fmt.Print(wire.Hello)
	stream := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	err := wire.Serve(context.Background(), stream, map[wire.Method]wire.Handler{
		"echo":   wire.Handle(func(_ context.Context, s string) (string, error) { return s, nil }),
		"uid":    wire.Handle(func(context.Context, any) (int, error) { return os.Getuid(), nil }),
		"refuse": wire.Handle(func(context.Context, any) (any, error) { return nil, errors.New("no such device") }),
		"die": wire.Handle(func(context.Context, any) (any, error) {
			fmt.Fprintln(os.Stderr, "\x1b[31mkernel\x07 said no")
			os.Exit(7)
			return nil, nil
		}),
		// Not select {}: the runtime would see a deadlock and end the agent.
		"hang": wire.Handle(func(context.Context, any) (any, error) { time.Sleep(time.Hour); return nil, nil }),
	})
	if err != nil {
		return 1
	}
	return 0
}

// server is a real sshd on a loopback port that knows nothing of the machine's
// own configuration, and what a client needs to log in to it as root.
type server struct {
	testing.TB
	dir      string // everything of this server and its client
	port     uint16
	key      string // private key that may log in
	agentDir string
	cmd      *exec.Cmd
}

// startServer starts an sshd with additional lines of configuration.
func startServer(t testing.TB, config ...string) *server {
	t.Helper()
	return startServerOver(t, "", config...)
}

// startServerOver starts an sshd that sees a directory of its own at a path,
// as hosts do, if there is a path.
func startServerOver(t testing.TB, over string, config ...string) *server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: the agent's directory must be root's")
	}
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("needs /usr/sbin/sshd (Debian package openssh-server)")
	}
	s := &server{TB: t, dir: t.TempDir()}
	s.key = s.path("id_test")
	s.agentDir = s.path("lib", "agent")
	pub := writeKey(t, s.key, "")
	writeKey(t, s.path("host_key"), "")
	s.write("authorized_keys", string(ssh.MarshalAuthorizedKey(pub)), 0o600)
	t.Setenv("HOME", s.dir)
	t.Setenv("SSH_AUTH_SOCK", "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = uint16(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(config, func(line string) bool { return strings.HasPrefix(line, "MaxStartups ") }) { // the last one counts
		config = append(config, "MaxStartups 500")
	}
	s.write("sshd_config", strings.Join(append(config,
		"Port "+strconv.Itoa(int(s.port)),
		"ListenAddress 127.0.0.1",
		"HostKey "+s.path("host_key"),
		"AuthorizedKeysFile "+s.path("authorized_keys"),
		"PidFile none",
		"PermitRootLogin prohibit-password",
		"PasswordAuthentication no",
		"StrictModes no",
		"UsePAM no",
		"PrintMotd no",
		""), "\n"), 0o600)
	// In a mount namespace of its own, root's home is ours: nothing of the
	// machine's start-up files is run. And sshd insists on /run/sshd, which a
	// machine where it is no service lacks.
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	s.write("home/.hushlogin", "", 0o600)
	if over == "" {
		over = s.path("home")
	}
	s.cmd = exec.Command("/bin/sh", "-c",
		`mount --bind "$1" "$3" && mount --bind "$1" "$2" && { test -d /run/sshd || { mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd; }; } && shift 3 && exec "$@"`,
		"sh", s.path("home"), root.HomeDir, over, sshd, "-D", "-e", "-f", s.path("sshd_config"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	log, err := os.Create(s.path("sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Skipf("needs a mount namespace of its own: %v", err)
	}
	_ = log.Close()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", s.read("sshd.log"))
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.address())
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("sshd does not listen: %v\n%s", err, s.read("sshd.log"))
		}
	}
	s.trust()
	return s
}

func (s *server) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) write(name, content string, mode os.FileMode) {
	s.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(content), mode); err != nil {
		s.Fatal(err)
	}
}

func (s *server) read(name string) string {
	s.Helper()
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		s.Fatal(err)
	}
	return string(b)
}

// trust puts the server's key into known_hosts.
func (s *server) trust() {
	s.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", s.port, s.read("host_key.pub")), 0o600)
}

func (s *server) options() *Options {
	return &Options{
		Executable:  func(string) (string, error) { return os.Executable() },
		AgentDir:    s.agentDir,
		ConfigFiles: []string{s.path("ssh_config")},
		KnownHosts:  []string{s.path("known_hosts")},
	}
}

func (s *server) target(name string) journal.Member {
	return journal.Member{Name: name, Address: "127.0.0.1", Port: s.port, User: "root", Key: s.key}
}

// connect fails the test if the host cannot be reached.
func (s *server) connect(t journal.Member, o *Options) *Host {
	s.Helper()
	f, err := connectTo(context.Background(), t, o)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = f.Close() })
	return f.members[0].host
}

// refused returns the error of a connection that must fail.
func (s *server) refused(t journal.Member, o *Options) string {
	s.Helper()
	f, err := connectTo(context.Background(), t, o)
	if err == nil {
		_ = f.Close()
		s.Fatal("connected; an error was due")
	}
	var e *Error
	if !errors.As(err, &e) || e.Host != t.Name {
		s.Errorf("error %q does not name the host %s", err, t.Name)
	}
	return err.Error()
}

// writeKey makes an Ed25519 key pair, encrypted if there is a passphrase.
func writeKey(t testing.TB, path, passphrase string) ssh.PublicKey {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(sshPub), 0o644); err != nil {
		t.Fatal(err)
	}
	return sshPub
}

func echo(ctx context.Context, h *Host) (string, error) {
	var out string
	err := h.Call(ctx, "echo", h.link.endpoint.name, &out)
	return out, err
}

// contains reports what an error text lacks.
func contains(t testing.TB, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("error lacks %q:\n%s", w, got)
		}
	}
	if strings.ContainsAny(got, "\n\x1b\x07") {
		t.Errorf("error has control characters: %q", got)
	}
}

// steps counts the steps that hosts enter.
type steps struct {
	mu    sync.Mutex
	count map[string]int
}

func (s *steps) progress(_, step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count == nil {
		s.count = make(map[string]int)
	}
	s.count[step]++
}

// relay is a TCP relay in front of a server that can be cut or stalled.
type relay struct {
	port  uint16
	mu    sync.Mutex
	conns []net.Conn
	stall chan struct{}
}

func startRelay(t testing.TB, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{port: uint16(l.Addr().(*net.TCPAddr).Port), stall: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close(); r.cut() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			go r.copy(near, far)
			go r.copy(far, near)
		}
	}()
	return r
}

func (r *relay) copy(to, from net.Conn) {
	in := bufio.NewReader(from)
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		select {
		case <-r.stall:
			return // keeps the connection, moves nothing
		default:
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}
