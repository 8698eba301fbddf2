package remote

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// binaries are the agents of a run, read once for each architecture.
type binaries struct {
	executable func(arch string) (string, error)

	mu   sync.Mutex
	read map[string]func() (*binary, error)
}

// binary is one agent.
type binary struct {
	path   string
	hash   string // SHA-256 in hex: the agent's file name on a host
	packed func() ([]byte, error)
}

func (b *binaries) get(arch string) (*binary, error) {
	b.mu.Lock()
	if b.read == nil {
		b.read = make(map[string]func() (*binary, error))
	}
	b.mu.Unlock()
	return once(&b.mu, b.read, arch, func() (*binary, error) {
		path, err := b.executable(arch)
		if err != nil {
			return nil, fmt.Errorf("the agent for %s: %w", arch, err)
		}
		hash, err := hashFile(path)
		if err != nil {
			return nil, fmt.Errorf("the agent for %s: %w", arch, err)
		}
		return &binary{path, hash, sync.OnceValues(func() ([]byte, error) { return pack(path) })}, nil
	})
}

// content returns what is sent to a host, and the command that unpacks it there.
func (b *binary) content(gzip bool) (content []byte, unpack string, err error) {
	if gzip {
		content, err = b.packed()
		return content, "gzip -dc", err
	}
	content, err = os.ReadFile(b.path)
	return content, "cat", err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// pack compresses the agent as it is sent.
func pack(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, f); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// goArch translates uname -m to Go's name of an architecture, for which make
// agents builds.
func goArch(machine string) (string, error) {
	switch machine {
	case "x86_64":
		return "amd64", nil
	case "aarch64":
		return "arm64", nil
	case "armv6l", "armv7l", "armv8l":
		return "arm", nil
	case "i386", "i486", "i586", "i686":
		return "386", nil
	case "loongarch64":
		return "loong64", nil
	case "ppc64le", "riscv64", "s390x":
		return machine, nil
	}
	if machine == "" {
		return "", errors.New("the host does not say its architecture: its program uname prints nothing")
	}
	return "", fmt.Errorf("no agent is made for the architecture %q", machine)
}
