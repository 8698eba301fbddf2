package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
)

// faultOf is the kind of error that a connection must end with.
func (s *server) faultOf(t journal.Member, o *Options) (fault.Kind, string) {
	s.Helper()
	f, err := connectTo(context.Background(), t, o)
	if err == nil {
		_ = f.Close()
		s.Fatal("connected; an error was due")
	}
	return fault.Of(err), err.Error()
}

func TestServerWantsMoreThanAKey(t *testing.T) {
	s := startServer(t, "AuthenticationMethods publickey,password", "PasswordAuthentication yes")
	kind, text := s.faultOf(s.target("web1"), s.options())
	contains(t, text, "web1: authentication: as root: the server accepted the key ED25519 SHA256:", "("+s.key+"), and wants password besides")
	if kind != fault.Permission {
		t.Errorf("kind %s", kind)
	}
	t.Run("two keys", func(t *testing.T) {
		s := startServer(t, "AuthenticationMethods publickey,publickey")
		contains(t, s.refused(s.target("web1"), s.options()), "the server accepted the key ED25519 SHA256:", "and wants publickey besides")
		second := writeKey(t, s.path("second"), "")
		s.write("authorized_keys", s.read("authorized_keys")+string(ssh.MarshalAuthorizedKey(second)), 0o600)
		s.write("ssh_config", "IdentityFile "+s.path("second")+"\n", 0o600)
		s.connect(s.target("web1"), s.options())
	})
}

func TestServerTakesNoKey(t *testing.T) {
	s := startServer(t, "PubkeyAuthentication no", "PasswordAuthentication yes", "KbdInteractiveAuthentication no")
	kind, text := s.faultOf(s.target("web1"), s.options())
	contains(t, text, "web1: authentication: as root: the server takes no key, only password; lvsform logs in with keys only")
	if kind != fault.Permission {
		t.Errorf("kind %s", kind)
	}
	t.Run("or not this one", func(t *testing.T) {
		s := startServer(t, "PasswordAuthentication yes")
		writeKey(t, s.path("stranger"), "")
		target := s.target("web1")
		target.Key = s.path("stranger")
		contains(t, s.refused(target, s.options()), "no key was accepted; tried ED25519", "the server also takes password, keyboard-interactive; lvsform logs in with keys only")
	})
	t.Run("too many keys", func(t *testing.T) {
		s := startServer(t, "MaxAuthTries 2")
		for _, name := range []string{"a", "b", "c"} {
			writeKey(t, s.path(name), "")
		}
		target := s.target("web1")
		target.Key = s.path("a")
		s.write("ssh_config", "IdentityFile "+s.path("b")+"\nIdentityFile "+s.path("c")+"\nIdentityFile "+s.key+"\n", 0o600)
		kind, text := s.faultOf(target, s.options())
		contains(t, text, "Too many authentication failures", s.path("a"))
		if kind != fault.Permission {
			t.Errorf("kind %s", kind)
		}
	})
}

func TestServerIsSilentInTheLogin(t *testing.T) {
	s := startServer(t, "AuthorizedKeysCommand /bin/sleep 10", "AuthorizedKeysCommandUser root")
	writeKey(t, s.path("stranger"), "")
	target, o := s.target("web1"), s.options()
	target.Key, o.ConnectTimeout = s.path("stranger"), 2*time.Second
	kind, text := s.faultOf(target, o)
	contains(t, text, "does not go on with the SSH handshake within 2s")
	if kind != fault.Connection {
		t.Errorf("%s: kind %s", text, kind)
	}
}

func TestKeyThatCannotBeOpenedIsPassedOver(t *testing.T) {
	s := startServer(t)
	encrypted := writeKey(t, s.path("encrypted"), "correct horse")
	s.write("authorized_keys", string(ssh.MarshalAuthorizedKey(encrypted))+s.read("authorized_keys"), 0o600)
	s.write("ssh_config", "IdentityFile "+s.key+"\n", 0o600)
	target, o := s.target("web1"), s.options()
	target.Key = s.path("encrypted")
	asked := 0
	for name, answer := range map[string]func(string) ([]byte, error){
		"wrong passphrase": func(string) ([]byte, error) { asked++; return []byte("wrong"), nil },
		"no terminal":      func(string) ([]byte, error) { asked++; return nil, errors.New("no terminal") },
		"nobody to ask":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			asked, o.Passphrase = 0, answer
			s.connect(target, o)
			if answer != nil && asked == 0 {
				t.Error("the passphrase was not asked for: the test shows nothing")
			}
		})
	}
	t.Run("and no other key", func(t *testing.T) {
		s.write("ssh_config", "", 0o600)
		o.Passphrase = func(string) ([]byte, error) { return nil, errors.New("no terminal") }
		kind, text := s.faultOf(target, o)
		contains(t, text, "as root: no key was there to try; not used: "+s.path("encrypted")+": passphrase: no terminal")
		if kind != fault.Permission {
			t.Errorf("kind %s", kind)
		}
	})
}

// An SSH agent that does not answer is given up; that the host is slow is never
// said of it.
func TestAgentThatDoesNotAnswer(t *testing.T) {
	s := startServer(t)
	socket := s.path("silent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // nobody accepts
	s.write("ssh_config", "IdentityAgent "+socket+"\nConnectTimeout 1\n", 0o600)
	s.connect(s.target("web1"), s.options())
}

func TestPublicHalfNamesAKeyOfTheAgent(t *testing.T) {
	s := startServer(t)
	writeKey(t, s.path("stranger"), "")
	socket := startSSHAgent(t, s, s.key)
	s.write("ssh_config", "IdentityAgent "+socket+"\nIdentitiesOnly yes\n", 0o600)
	public := func(name string, mode os.FileMode) journal.Member {
		s.write("only/"+name, s.read("id_test.pub"), mode)
		target := s.target("web1")
		target.Key = s.path("only", name)
		return target
	}
	s.connect(public("id.pub", 0o644), s.options())
	beside := public("id2.pub", 0o644)
	beside.Key = s.path("only", "id2") // ssh takes its name without .pub, too
	s.connect(beside, s.options())
	stranger := s.target("web1")
	stranger.Key = s.path("stranger.pub")
	contains(t, s.refused(stranger, s.options()), "not used: "+s.path("stranger.pub")+": a public key, and the SSH agent does not hold its private half")
}

func TestUserCertificates(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("needs ssh-keygen (Debian package openssh-client)")
	}
	dir := t.TempDir()
	writeKey(t, dir+"/ca", "")
	sign := func(key string, args ...string) {
		t.Helper()
		out, err := exec.Command("ssh-keygen", append(append([]string{"-q", "-s", dir + "/ca", "-I", "test", "-n", "root"}, args...), key+".pub")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	s := startServer(t, "TrustedUserCAKeys "+dir+"/ca.pub")
	s.write("authorized_keys", "", 0o600)
	target := func(key string) journal.Member {
		target := s.target("web1")
		target.Key = key
		return target
	}
	contains(t, s.refused(target(s.key), s.options()), "no key was accepted")
	sign(s.key)
	s.connect(target(s.key), s.options()) // KEY-cert.pub

	rsa := s.path("rsa")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", rsa).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sign(rsa)
	s.connect(target(rsa), s.options())

	if err := os.Rename(s.key+"-cert.pub", s.path("elsewhere")); err != nil {
		t.Fatal(err)
	}
	s.write("ssh_config", "CertificateFile "+s.path("elsewhere")+"\nIdentitiesOnly yes\n", 0o600)
	s.connect(target(s.key), s.options())

	socket := startSSHAgent(t, s, s.key)
	s.write("ssh_config", "IdentityAgent "+socket+"\nCertificateFile "+s.path("elsewhere")+"\nIdentityFile none\nIdentitiesOnly yes\n", 0o600)
	s.connect(target(""), s.options()) // the private half is the agent's

	s.write("stranger.pub", s.read("id_test.pub"), 0o644)
	writeKey(t, s.path("stranger"), "")
	sign(s.path("stranger"))
	if err := os.Remove(s.path("stranger")); err != nil {
		t.Fatal(err)
	}
	s.write("ssh_config", "CertificateFile "+s.path("stranger-cert.pub")+"\nCertificateFile "+s.path("id_test.pub")+"\n", 0o600)
	contains(t, s.refused(target(s.key), s.options()),
		s.path("stranger-cert.pub")+": its private key is neither in a key file nor in the SSH agent",
		s.path("id_test.pub")+": not the certificate of a user")
}
