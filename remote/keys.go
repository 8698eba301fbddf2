package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/lvsform/lvsform/plain"
)

// keyring holds the private keys of a run: each file is read, and each
// passphrase asked for, once.
type keyring struct {
	passphrase func(prompt string) ([]byte, error)

	mu           sync.Mutex
	files        map[string]func() (*keyFile, error)
	certificates map[string]func() (*ssh.Certificate, error)
	agents       map[string]func() (*sshAgent, error)
}

func newKeyring(passphrase func(string) ([]byte, error)) *keyring {
	return &keyring{
		passphrase:   passphrase,
		files:        make(map[string]func() (*keyFile, error)),
		certificates: make(map[string]func() (*ssh.Certificate, error)),
		agents:       make(map[string]func() (*sshAgent, error)),
	}
}

// close ends the conversations with SSH agents.
func (k *keyring) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, get := range k.agents {
		if a, err := get(); err == nil {
			_ = a.conn.Close()
		}
	}
}

// once returns what the first call for this name made.
func once[T any](mu *sync.Mutex, made map[string]func() (T, error), name string, read func() (T, error)) (T, error) {
	mu.Lock()
	get, ok := made[name]
	if !ok {
		get = sync.OnceValues(read)
		made[name] = get
	}
	mu.Unlock()
	return get()
}

// identity is a key that may be offered to a server.
type identity struct {
	from string // file, or SSH agent and the key's comment
	pub  ssh.PublicKey
	sign func() (ssh.Signer, error) // may ask for a passphrase
}

func (i *identity) String() string {
	pub, what := i.pub, ""
	if cert, ok := pub.(*ssh.Certificate); ok { // ssh-keygen -l shows its key's, too
		pub, what = cert.Key, " certificate"
	}
	return fmt.Sprintf("%s%s %s (%s)", keyType(pub), what, ssh.FingerprintSHA256(pub), i.from)
}

// identities returns the keys for an endpoint in the order they are offered,
// and why others are not: certificates asked for by name, the key files asked
// for by name, then the keys of the SSH agent, then the default files. A key's
// certificate stands before the key. Servers hang up after a few keys
// (MaxAuthTries), so what was asked for comes first.
func (k *keyring) identities(e *endpoint, home string) (offer []*identity, unused []string) {
	add := func(id *identity) {
		if !slices.ContainsFunc(offer, func(o *identity) bool { return sameKey(o.pub, id.pub) }) {
			offer = append(offer, id)
		}
	}
	leaveOut := func(path string, err error) { unused = append(unused, fmt.Sprintf("%s: %v", path, reason(err))) }
	var held *sshAgent
	if e.agentSocket != "" {
		a, err := once(&k.mu, k.agents, e.agentSocket, func() (*sshAgent, error) { return dialAgent(e.agentSocket) })
		if err != nil {
			unused = append(unused, fmt.Sprintf("SSH agent: %v", err))
		} else {
			held = a
		}
	}
	named := len(e.keys) > 0 || e.noDefaultKeys
	paths := e.keys
	if !named {
		paths = defaultKeys(home)
	}
	var files []*keyFile
	for _, path := range paths {
		f, err := once(&k.mu, k.files, path, func() (*keyFile, error) { return k.read(path) })
		switch {
		case err == nil:
			files = append(files, f)
		case named || !errors.Is(err, fs.ErrNotExist):
			leaveOut(path, err)
		}
	}
	// private finds who can sign with a key. The agent needs no passphrase.
	private := func(pub ssh.PublicKey) (*identity, error) {
		if id := held.find(pub); id != nil {
			return id, nil
		}
		err := errors.New("its private key is neither in a key file nor in the SSH agent")
		for _, f := range files {
			if sameKey(f.pub, pub) {
				if err = f.locked; err == nil {
					return &identity{f.path, f.pub, f.signer}, nil
				}
			}
		}
		return nil, err
	}
	certified := func(path string, optional bool) {
		cert, err := once(&k.mu, k.certificates, path, func() (*ssh.Certificate, error) { return readCertificate(path) })
		if optional && errors.Is(err, fs.ErrNotExist) {
			return
		}
		var id *identity
		if err == nil {
			if id = held.find(cert); id == nil {
				id, err = private(cert.Key)
			}
		}
		if err != nil {
			leaveOut(path, err)
			return
		}
		add(&identity{path, cert, id.sign})
	}
	fromFiles := func() {
		for _, f := range files {
			if len(e.certificates) == 0 {
				certified(strings.TrimSuffix(f.path, ".pub")+"-cert.pub", true)
			}
			id, err := private(f.pub)
			if err != nil {
				leaveOut(f.path, err)
				continue
			}
			add(id)
		}
	}
	for _, path := range e.certificates {
		certified(path, false)
	}
	if named {
		fromFiles()
	}
	if held != nil && !e.identitiesOnly {
		for _, id := range held.ids {
			add(id)
		}
	}
	if !named {
		fromFiles()
	}
	return offer, unused
}

// readCertificate reads a user's certificate, as ssh-keygen -s writes it.
func readCertificate(path string) (*ssh.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("not a certificate: %w", err)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert {
		return nil, errors.New("not the certificate of a user")
	}
	return cert, nil
}

// reason is an error without the path it repeats.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// keyFile is a private key file, decrypted when a server first accepts its
// public half; or only the public half of a key that an SSH agent may hold.
type keyFile struct {
	path   string
	pub    ssh.PublicKey
	locked error // why its private half cannot be used, though the public one is known
	signer func() (ssh.Signer, error)
}

func (k *keyring) read(path string) (*keyFile, error) {
	f, err := k.readPrivate(path)
	if err == nil {
		return f, nil
	}
	// As ssh(1): the public half is enough where an SSH agent holds the key.
	for _, public := range []string{path, path + ".pub"} {
		text, readErr := os.ReadFile(public)
		if readErr != nil {
			continue
		}
		if pub, _, _, _, parseErr := ssh.ParseAuthorizedKey(text); parseErr == nil {
			if public == path {
				err = errors.New("a public key, and the SSH agent does not hold its private half")
			}
			return &keyFile{path: path, pub: pub, locked: err}, nil
		}
	}
	return nil, err
}

func (k *keyring) readPrivate(path string) (*keyFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// As ssh(1): only a file of the user's own is expected to be private.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("permissions %#o are too open: chmod 600 %s", info.Mode().Perm(), path)
	}
	s, err := ssh.ParsePrivateKey(data)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		return k.encrypted(path, data, encrypted.PublicKey)
	}
	if err != nil {
		return nil, fmt.Errorf("not a private key: %w", err)
	}
	return &keyFile{path: path, pub: s.PublicKey(), signer: func() (ssh.Signer, error) { return s, nil }}, nil
}

func (k *keyring) encrypted(path string, data []byte, pub ssh.PublicKey) (*keyFile, error) {
	if pub == nil { // the old PEM format says nothing in the clear
		text, err := os.ReadFile(path + ".pub")
		if err == nil {
			pub, _, _, _, err = ssh.ParseAuthorizedKey(text)
		}
		if err != nil {
			return nil, errors.New("encrypted, and its public half is not beside it")
		}
	}
	f := &keyFile{path: path, pub: pub, signer: sync.OnceValues(func() (ssh.Signer, error) { return k.decrypt(path, data) })}
	if k.passphrase == nil {
		f.locked = errors.New("encrypted, and there is no terminal to ask for its passphrase (ssh-add it)")
	}
	return f, nil
}

// decrypt asks up to three times, as ssh(1) does.
func (k *keyring) decrypt(path string, data []byte) (ssh.Signer, error) {
	var err error
	for range 3 {
		var pass []byte
		pass, err = k.passphrase(fmt.Sprintf("Enter passphrase for key '%s': ", path))
		if err != nil {
			break
		}
		var s ssh.Signer
		s, err = ssh.ParsePrivateKeyWithPassphrase(data, pass)
		clear(pass)
		if err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("passphrase: %w", err)
}

// sshAgent is an open conversation with an SSH agent.
type sshAgent struct {
	conn net.Conn
	ids  []*identity
}

// agentWait limits the SSH agent's answer to what keys it holds.
const agentWait = 5 * time.Second

func dialAgent(socket string) (*sshAgent, error) {
	conn, err := net.DialTimeout("unix", socket, agentWait)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(agentWait)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	client := agent.NewClient(conn)
	signers, err := client.Signers()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	a := &sshAgent{conn: conn}
	for _, s := range signers {
		from := "SSH agent"
		if k, ok := s.PublicKey().(*agent.Key); ok && k.Comment != "" {
			from += ": " + plain.Words(k.Comment)
		}
		a.ids = append(a.ids, &identity{from, s.PublicKey(), func() (ssh.Signer, error) { return s, nil }})
	}
	// A signature may wait for a touch or a confirmation: who asks for it
	// limits that wait.
	return a, conn.SetDeadline(time.Time{})
}

// find returns the agent's identity for a public key, or nil.
func (a *sshAgent) find(pub ssh.PublicKey) *identity {
	if a == nil {
		return nil
	}
	for _, id := range a.ids {
		if sameKey(id.pub, pub) {
			return id
		}
	}
	return nil
}

// signer offers an identity in one handshake. The private half is asked for
// only when the server has accepted the public one.
type signer struct {
	*identity
	login *login
}

func (s *signer) PublicKey() ssh.PublicKey { return s.pub }

func (s *signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner: an RSA key signs with
// SHA-2 through it.
func (s *signer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.login.hold()
	defer s.login.going()
	type result struct {
		sig *ssh.Signature
		err error
	}
	done := make(chan result, 1)
	go func() {
		key, err := s.sign()
		if err != nil {
			done <- result{nil, err}
			return
		}
		if as, ok := key.(ssh.AlgorithmSigner); ok && algorithm != "" {
			sig, err := as.SignWithAlgorithm(rand, data, algorithm)
			done <- result{sig, err}
			return
		}
		sig, err := key.Sign(rand, data)
		done <- result{sig, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, s.login.cannotSign(s.identity, r.err)
		}
		return r.sig, nil
	case <-s.login.ctx.Done():
		return nil, context.Cause(s.login.ctx)
	}
}
