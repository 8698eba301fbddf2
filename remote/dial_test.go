package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/lvsform/lvsform/journal"
)

func TestUnreachable(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	port := func(l net.Listener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }
	for _, c := range []struct {
		name string
		to   journal.Member
		want []string
	}{
		{"nothing listens", journal.Member{Name: "web1", Address: "127.0.0.1", Port: port(closed)}, []string{"web1: connect: ", "connection refused"}},
		{"server that never speaks", journal.Member{Name: "web1", Address: "127.0.0.1", Port: port(silent)},
			[]string{"web1: connect: ", "does not go on with the SSH handshake within 50ms"}},
		{"no such name", journal.Member{Name: "web1", Address: "web1.invalid"}, []string{"web1: ", "web1.invalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := connectTo(context.Background(), c.to,
				&Options{ConnectTimeout: 50 * time.Millisecond, ConfigFiles: []string{}})
			if err == nil {
				t.Fatal("connected")
			}
			contains(t, err.Error(), c.want...)
		})
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	target := journal.Member{Name: "web1", Address: "127.0.0.1", Port: uint16(silent.Addr().(*net.TCPAddr).Port)}
	if _, err := connectTo(ctx, target, &Options{ConfigFiles: []string{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHostKeys(t *testing.T) {
	s := startServer(t)
	hostKey := s.read("host_key.pub")
	other := s.path("other")
	otherKey := string(ssh.MarshalAuthorizedKey(writeKey(t, other, "")))
	print := func(file string) string {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.read(file)))
		if err != nil {
			t.Fatal(err)
		}
		return ssh.FingerprintSHA256(key)
	}
	name := fmt.Sprintf("[127.0.0.1]:%d", s.port)
	for _, c := range []struct {
		name, known string
		accept      bool
		want        []string
	}{
		{"unknown", "", false, []string{"web1: host key: unknown host: ", name, s.address(), "ED25519 key " + print("host_key.pub"),
			s.path("known_hosts"), fmt.Sprintf("ssh-keyscan -p %d 127.0.0.1", s.port), "--accept-new-host-keys"}},
		{"changed", "# comment\n" + name + " " + otherKey, false, []string{"web1: host key: the host key has changed: ", print("host_key.pub"),
			s.path("known_hosts") + ":2 has the ED25519 key " + print("other.pub"), "ssh-keygen -f " + s.path("known_hosts") + " -R '" + name + "'"}},
		{"changed, new keys accepted", name + " " + otherKey, true, []string{"web1: host key: the host key has changed: "}},
		{"revoked", "@revoked * " + hostKey + name + " " + hostKey, true, []string{"web1: host key: ", "is marked @revoked in " + s.path("known_hosts") + ":1"}},
		{"authority that did not sign", "@cert-authority * " + otherKey, true, []string{"web1: host key: "}},
		{"not in it, with lines that cannot be read", "\nwhat is this\n@what * " + hostKey, false, []string{"web1: host key: unknown host: ",
			s.path("known_hosts") + ":2 cannot be read: its key", s.path("known_hosts") + `:3 cannot be read: the marker "@what" is not known`}},
		{"known by a line that cannot be read, new keys accepted", name + " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ", true,
			[]string{"web1: host key: ", s.path("known_hosts") + ":1, which is about this host, cannot be read"}},
		{"revoked, as far as one can read", "@revoked [127.*]:* ssh-rsa AAA\n" + name + " " + hostKey, true,
			[]string{"web1: host key: ", "whether it is revoked is not known, for " + s.path("known_hosts") + ":1 cannot be read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.write("known_hosts", c.known, 0o600)
			o := s.options()
			o.AcceptNew = c.accept
			contains(t, s.refused(s.target("web1"), o), c.want...)
			if diff := cmp.Diff(c.known, s.read("known_hosts")); diff != "" {
				t.Errorf("known_hosts was touched:\n%s", diff)
			}
		})
	}
}

// TestKnownHostsAsSSHReadsThem holds lvsform's verdict against that of ssh(1).
func TestKnownHostsAsSSHReadsThem(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("needs ssh (Debian package openssh-client)")
	}
	s := startServer(t)
	hostKey := s.read("host_key.pub")
	otherKey := string(ssh.MarshalAuthorizedKey(writeKey(t, s.path("other"), "")))
	port := strconv.Itoa(int(s.port))
	name := "[127.0.0.1]:" + port
	for _, c := range []struct {
		known string
		ok    bool
	}{
		{name + " " + hostKey, true},
		{"what is this\nssh1.example.com 1024 35 1234567890\n" + name + " " + hostKey + "192.0.2.1 ssh-ed25519 AAAA\n", true},
		{"[127.*]:* " + hostKey, true},
		{"[127.0.0.1]:" + port[:len(port)-2] + "?? " + hostKey, true},
		{"[127.0.0.?]:" + port + "," + "x " + hostKey, true},
		{"[127.*]:22 " + hostKey, false},
		{"!" + name + ",* " + hostKey, true}, // without its port, again
		{"!" + name + ",[127*:* " + hostKey, false},
		{"!127.0.0.1," + "!" + name + ",* " + hostKey, false},
		{"* " + hostKey, true},
		{"127.0.0.1 " + hostKey, true}, // without its port
		{"127.0.* " + hostKey, true},
		{"127.0.0.1 " + otherKey + name + " " + hostKey, true},
		{"127.0.0.1 " + hostKey + name + " " + otherKey, false},
		{"127.0.0.1:" + port + " " + hostKey, false},
		{knownhosts.HashHostname(name) + " " + hostKey, true},
		{knownhosts.HashHostname("127.0.0.1") + " " + hostKey, true},
		{knownhosts.HashHostname("127.0.0.2") + " " + hostKey, false},
		{"|1|what|is " + hostKey + name + " " + hostKey, true},
		{name + " " + hostKey + "@revoked * " + hostKey, false},
		{name + "\tssh-rsa " + strings.Fields(hostKey)[1] + "\n", false},
		{name + " \t " + strings.TrimSpace(hostKey) + " a comment of words", true},
	} {
		s.write("known_hosts", c.known, 0o600)
		cmd := exec.Command("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none",
			"-o", "UserKnownHostsFile="+s.path("known_hosts"), "-i", s.key, "-p", port, "root@127.0.0.1", "true")
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.ok {
			t.Errorf("ssh: %v, with\n%s%s", err, c.known, out)
		}
		f, err := connectTo(context.Background(), s.target("web1"), s.options())
		if _ = f.Close(); (err == nil) != c.ok {
			t.Errorf("lvsform: %v, with\n%s", err, c.known)
		}
	}
}

func TestRevokedHostKeys(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("needs ssh (Debian package openssh-client)")
	}
	s := startServer(t)
	hostKey, file := s.read("host_key.pub"), s.path("revoked")
	otherKey := string(ssh.MarshalAuthorizedKey(writeKey(t, s.path("other"), "")))
	s.write("ssh_config", "RevokedHostKeys "+file+"\n", 0o600)
	for list, want := range map[string]string{
		"# none\n" + otherKey:       "",
		otherKey + "\n" + hostKey:   "it is revoked in " + file + ":3",
		otherKey + "what is this\n": "RevokedHostKeys: " + file + ":2 cannot be read",
		"-":                         "RevokedHostKeys: open " + file,
	} {
		if s.write("revoked", list, 0o600); list == "-" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("ssh", "-F", s.path("ssh_config"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none",
			"-o", "UserKnownHostsFile="+s.path("known_hosts"), "-i", s.key, "-p", strconv.Itoa(int(s.port)), "root@127.0.0.1", "true")
		if out, err := cmd.CombinedOutput(); (err == nil) != (want == "") {
			t.Errorf("ssh: %v, with\n%s%s", err, list, out)
		}
		if want == "" {
			s.connect(s.target("web1"), s.options())
			continue
		}
		contains(t, s.refused(s.target("web1"), s.options()), "web1: host key: ", want)
	}
}

func TestNewHostKeyIsNotAPattern(t *testing.T) {
	s := startServer(t)
	s.write("known_hosts", "", 0o600)
	s.write("ssh_config", "HostKeyAlias *\n", 0o600)
	o := s.options()
	o.AcceptNew = true
	contains(t, s.refused(s.target("web1"), o), `the name "*" does not go into `+s.path("known_hosts"))
	if text := s.read("known_hosts"); text != "" {
		t.Errorf("known_hosts: %s", text)
	}
}

func TestAcceptNewHostKeys(t *testing.T) {
	s := startServer(t)
	for _, c := range []struct{ name, before, config string }{
		{"no file", "", ""},
		{"no line end", "198.51.100.7 " + strings.TrimSpace(s.read("host_key.pub")), ""},
		{"hashed, asked for in ssh_config", "", "HashKnownHosts yes\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := s.path("new", c.name, "known_hosts")
			if c.before != "" {
				s.write("new/"+c.name+"/known_hosts", c.before, 0o600)
			}
			s.write("ssh_config", c.config, 0o600)
			o := s.options()
			o.KnownHosts, o.AcceptNew = []string{path}, true
			// Two runs at once, each of several hosts behind one address.
			done := make(chan error)
			for range 2 {
				go func() {
					f := Dial(context.Background(), []journal.Member{s.target("a"), s.target("b"), s.target("c")}, o)
					defer func() { _ = f.Close() }()
					done <- failures(f)
				}()
			}
			if err := errors.Join(<-done, <-done); err != nil {
				t.Fatal(err)
			}
			text := s.read("new/" + c.name + "/known_hosts")
			want := 1
			if c.before != "" {
				want = 2
			}
			if got := strings.Count(text, "\n"); got != want {
				t.Errorf("%d lines, want %d:\n%s", got, want, text)
			}
			if plain := strings.Contains(text, fmt.Sprint(s.port)); plain != (c.config == "") {
				t.Errorf("name in the clear: %v:\n%s", plain, text)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			o.AcceptNew = false
			s.connect(s.target("a"), o)
		})
	}
}

func TestHostCertificate(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("needs ssh-keygen (Debian package openssh-client)")
	}
	dir := t.TempDir()
	ca := writeKey(t, dir+"/ca", "")
	writeKey(t, dir+"/host", "")
	if out, err := exec.Command(keygen, "-q", "-s", dir+"/ca", "-h", "-I", "host", "-n", "127.0.0.1,web1", dir+"/host.pub").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := startServer(t, "HostKey "+dir+"/host", "HostCertificate "+dir+"/host-cert.pub")
	s.write("known_hosts", fmt.Sprintf("@cert-authority [127.0.0.1]:%d %s", s.port, ssh.MarshalAuthorizedKey(ca)), 0o600)
	s.connect(s.target("web1"), s.options())
}

func TestAuthentication(t *testing.T) {
	s := startServer(t)
	authorized := s.read("authorized_keys")
	encrypted := writeKey(t, s.path("encrypted"), "correct horse")
	s.write("authorized_keys", authorized+string(ssh.MarshalAuthorizedKey(encrypted)), 0o600)
	writeKey(t, s.path("stranger"), "")
	s.write("open", s.read("id_test"), 0o644)
	if err := os.Chmod(s.path("open"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.write("no_key", "hello\n", 0o600)
	with := func(key string) journal.Member {
		target := s.target("web1")
		target.Key = key
		return target
	}
	for _, c := range []struct {
		key  string
		want []string
	}{
		{s.path("stranger"), []string{"as root: no key was accepted; tried ED25519 SHA256:", "(" + s.path("stranger") + ")"}},
		{s.path("open"), []string{"not used: " + s.path("open") + ": permissions 0644 are too open: chmod 600 "}},
		{s.path("missing"), []string{"not used: " + s.path("missing") + ": no such file"}},
		{s.path("no_key"), []string{"not used: " + s.path("no_key") + ": not a private key"}},
		{s.path("encrypted"), []string{"not used: " + s.path("encrypted") + ": encrypted, and "}},
		{"", []string{"no key was there to try"}},
	} {
		t.Run("refused "+c.key, func(t *testing.T) {
			contains(t, s.refused(with(c.key), s.options()), append(c.want, "web1: authentication: ")...)
		})
	}

	t.Run("passphrase is asked for once", func(t *testing.T) {
		asked := 0
		o := s.options()
		o.Passphrase = func(prompt string) ([]byte, error) {
			asked++
			contains(t, prompt, s.path("encrypted"))
			return []byte("correct horse"), nil
		}
		f := Dial(context.Background(), []journal.Member{with(s.path("encrypted")), with(s.path("encrypted")), with(s.path("encrypted"))}, o)
		defer func() { _ = f.Close() }()
		if err := failures(f); err != nil || asked != 1 {
			t.Errorf("asked %d times, %v", asked, err)
		}
	})
	t.Run("passphrase is wrong", func(t *testing.T) {
		o := s.options()
		o.Passphrase = func(string) ([]byte, error) { return []byte("wrong"), nil }
		contains(t, s.refused(with(s.path("encrypted")), o), "web1: authentication: ", s.path("encrypted")+": passphrase: ")
	})
	t.Run("passphrase is not asked for a key that the server does not want", func(t *testing.T) {
		writeKey(t, s.path("unwanted"), "secret")
		s.write("ssh_config", "IdentityFile "+s.path("unwanted")+"\nIdentityFile "+s.key+"\n", 0o600)
		defer s.write("ssh_config", "", 0o600)
		o := s.options()
		o.Passphrase = func(string) ([]byte, error) { t.Error("asked"); return nil, errors.New("no") }
		s.connect(with(""), o)
	})
	t.Run("default key", func(t *testing.T) {
		s.write(".ssh/id_ed25519", s.read("id_test"), 0o600)
		defer func() { _ = os.Remove(s.path(".ssh/id_ed25519")) }()
		s.connect(with(""), s.options())
	})
	t.Run("SSH agent", func(t *testing.T) {
		socket := startSSHAgent(t, s, s.key)
		s.write("ssh_config", "IdentityAgent "+socket+"\n", 0o600)
		defer s.write("ssh_config", "", 0o600)
		s.connect(with(""), s.options())
		// The key that was asked for is named before those of the agent.
		s.connect(with(s.path("encrypted")), s.options())
		s.write("ssh_config", "IdentityAgent "+socket+"\nIdentitiesOnly yes\n", 0o600)
		contains(t, s.refused(with(s.path("stranger")), s.options()), "web1: authentication: ", "stranger")
	})
	t.Run("SSH agent that is gone", func(t *testing.T) {
		t.Setenv("SSH_AUTH_SOCK", s.path("nothing"))
		contains(t, s.refused(with(""), s.options()), "web1: authentication: ", "not used: SSH agent: ")
	})
}

// startSSHAgent starts a real ssh-agent that holds a key.
func startSSHAgent(t *testing.T, s *server, key string) (socket string) {
	t.Helper()
	// A path of its own: a socket's may have 107 bytes only.
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = dir + "/s"
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Skipf("needs ssh-agent (Debian package openssh-client): %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
	}
	add := exec.Command("ssh-add", "-q", key)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	return socket
}

func TestJump(t *testing.T) {
	far, gate := startServer(t), startServer(t)
	gate.write("known_hosts", gate.read("known_hosts")+far.read("known_hosts"), 0o600)
	gate.write("ssh_config", fmt.Sprintf("Host gate2\n HostName 127.0.0.1\n Port %d\n IdentityFile %s\n", gate.port, gate.key), 0o600)
	behind := func(name, jump string) journal.Member {
		target := far.target(name)
		target.Jump = jump
		return target
	}
	for _, jump := range []string{"gate", "root@gate2", "gate2, gate", "gate,gate2"} {
		t.Run(jump, func(t *testing.T) {
			o := gate.options()
			o.AgentDir = far.agentDir
			var seen steps
			o.Progress = seen.progress
			o.Jumps = func(name string) (journal.Member, bool) { return gate.target("gate"), name == "gate" }
			f := Dial(context.Background(), []journal.Member{behind("a", jump), behind("b", jump), behind("c", jump)}, o)
			defer func() { _ = f.Close() }()
			if err := echoAll(f); err != nil {
				t.Fatal(err)
			}
			// Three hosts, and each hop once.
			if got, want := seen.count["connect"], 3+len(strings.Split(jump, ",")); got != want {
				t.Errorf("%d connections, want %d", got, want)
			}
		})
	}
	t.Run("that fails", func(t *testing.T) {
		o := gate.options()
		o.Jumps = func(string) (journal.Member, bool) {
			target := gate.target("gate")
			target.Key = gate.path("missing")
			return target, true
		}
		contains(t, far.refused(behind("a", "gate"), o), "a: jump: gate: authentication: ")
	})
	t.Run("to a host that does not listen", func(t *testing.T) {
		o := gate.options()
		o.Jumps = func(string) (journal.Member, bool) { return gate.target("gate"), true }
		target := behind("a", "gate")
		target.Port = 1
		contains(t, far.refused(target, o), "a: connect: through gate: ")
	})
	t.Run("in a circle", func(t *testing.T) {
		o := gate.options()
		o.Jumps = func(name string) (journal.Member, bool) {
			return journal.Member{Name: name, Jump: map[string]string{"x": "y", "y": "x"}[name]}, true
		}
		contains(t, far.refused(behind("a", "x"), o), "a: configuration: jumps go round in a circle: a -> x -> y -> x")
	})
}
