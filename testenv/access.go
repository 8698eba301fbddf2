package testenv

import (
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// handshakeTimeout bounds everything before a connection is authenticated.
const handshakeTimeout = 30 * time.Second

// access is the lab's key pairs: one every host accepts, and every host's own.
// They live as long as the lab.
type access struct {
	signer   ssh.Signer
	private  []byte                   // PEM, OpenSSH format
	hostKeys map[string]ssh.PublicKey // by host name
}

// newAccess generates the keys and gives every host its part.
func newAccess(s *spec) (*access, error) {
	private, signer, err := newKey()
	if err != nil {
		return nil, err
	}
	a := &access{signer: signer, private: private, hostKeys: map[string]ssh.PublicKey{}}
	for _, h := range s.Hosts {
		private, signer, err := newKey()
		if err != nil {
			return nil, err
		}
		h.HostKey = private
		h.AuthorizedKey = ssh.MarshalAuthorizedKey(a.signer.PublicKey())
		a.hostKeys[h.Name] = signer.PublicKey()
	}
	return a, nil
}

func newKey() ([]byte, ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("generate an SSH key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "lvsform lab")
	if err != nil {
		return nil, nil, fmt.Errorf("encode an SSH key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("use an SSH key: %w", err)
	}
	return pem.EncodeToMemory(block), signer, nil
}

// clientConfig is for the connection of the outside with the workstation.
func (a *access) clientConfig() *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:            "root",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(a.signer)},
		HostKeyCallback: ssh.FixedHostKey(a.hostKeys[workstationName]),
		Timeout:         handshakeTimeout,
	}
}
