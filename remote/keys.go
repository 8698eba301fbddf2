package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
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

	mu     sync.Mutex
	files  map[string]func() (*keyFile, error)
	agents map[string]func() (*sshAgent, error)
}

func newKeyring(passphrase func(string) ([]byte, error)) *keyring {
	return &keyring{
		passphrase: passphrase,
		files:      make(map[string]func() (*keyFile, error)),
		agents:     make(map[string]func() (*sshAgent, error)),
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
	return fmt.Sprintf("%s %s (%s)", keyType(i.pub), ssh.FingerprintSHA256(i.pub), i.from)
}

// identities returns the keys for an endpoint in the order they are offered,
// and why others are not: the files asked for by name, then those of the SSH
// agent, then the default files. Servers hang up after a few keys (MaxAuthTries),
// so what was asked for comes first.
func (k *keyring) identities(e *endpoint, home string) (offer []*identity, unused []string) {
	add := func(id *identity) {
		for _, o := range offer {
			if string(o.pub.Marshal()) == string(id.pub.Marshal()) {
				return
			}
		}
		offer = append(offer, id)
	}
	var held *sshAgent
	if e.agentSocket != "" {
		a, err := once(&k.mu, k.agents, e.agentSocket, func() (*sshAgent, error) { return dialAgent(e.agentSocket) })
		if err != nil {
			unused = append(unused, fmt.Sprintf("SSH agent: %v", err))
		} else {
			held = a
		}
	}
	fromFiles := func(paths []string, named bool) {
		for _, path := range paths {
			f, err := once(&k.mu, k.files, path, func() (*keyFile, error) { return k.read(path) })
			if errors.Is(err, fs.ErrNotExist) && !named {
				continue
			}
			if err == nil {
				if id := held.find(f.pub); id != nil { // the agent needs no passphrase
					add(id)
					continue
				}
				err = f.locked
			}
			if err != nil {
				unused = append(unused, fmt.Sprintf("%s: %v", path, reason(err)))
				continue
			}
			add(&identity{path, f.pub, f.signer})
		}
	}
	fromFiles(e.keys, true)
	if held != nil && !e.identitiesOnly {
		for _, id := range held.ids {
			add(id)
		}
	}
	if len(e.keys) == 0 && !e.noDefaultKeys {
		fromFiles(defaultKeys(home), false)
	}
	return offer, unused
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
// public half.
type keyFile struct {
	pub    ssh.PublicKey
	locked error // why its private half cannot be used, though the public one is known
	signer func() (ssh.Signer, error)
}

func (k *keyring) read(path string) (*keyFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	// As ssh(1): only a file of the user's own is expected to be private.
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("permissions %#o are too open: chmod 600 %s", info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := ssh.ParsePrivateKey(data)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		return k.encrypted(path, data, encrypted.PublicKey)
	}
	if err != nil {
		return nil, fmt.Errorf("not a private key: %w", err)
	}
	return &keyFile{pub: s.PublicKey(), signer: func() (ssh.Signer, error) { return s, nil }}, nil
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
	f := &keyFile{pub: pub, signer: sync.OnceValues(func() (ssh.Signer, error) { return k.decrypt(path, data) })}
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
	return nil, fmt.Errorf("%s: passphrase: %w", path, err)
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
		if string(id.pub.Marshal()) == string(pub.Marshal()) {
			return id
		}
	}
	return nil
}

// signer offers an identity in one handshake. The private half is asked for
// only when the server has accepted the public one.
type signer struct {
	*identity
	ctx   context.Context // the handshake's
	hold  func()          // gives the person at the keyboard time
	going func()          // back to the handshake's own limit
}

func (s *signer) PublicKey() ssh.PublicKey { return s.pub }

func (s *signer) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner: an RSA key signs with
// SHA-2 through it.
func (s *signer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.hold()
	defer s.going()
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
		return r.sig, r.err
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}

// triedKeys lists identities for an error.
func triedKeys(offer []*identity, unused []string) string {
	text := "no key was there to try"
	if len(offer) > 0 {
		names := make([]string, len(offer))
		for i, id := range offer {
			names[i] = id.String()
		}
		text = "tried " + strings.Join(names, ", ")
	}
	if len(unused) > 0 {
		text += "; not used: " + strings.Join(unused, ", ")
	}
	return text
}
