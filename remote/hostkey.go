package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys verifies host keys. The known_hosts files are read once a run.
type hostKeys struct {
	mu  sync.Mutex
	dbs map[string]*knownhosts.HostKeyDB // by the files' names
}

// database reads the files that exist, or returns what was read before.
func (k *hostKeys) database(files []string) (*knownhosts.HostKeyDB, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := strings.Join(files, "\n")
	if db, ok := k.dbs[name]; ok {
		return db, nil
	}
	db, err := readKnownHosts(files)
	if err != nil {
		return nil, err
	}
	if k.dbs == nil {
		k.dbs = make(map[string]*knownhosts.HostKeyDB)
	}
	k.dbs[name] = db
	return db, nil
}

func readKnownHosts(files []string) (*knownhosts.HostKeyDB, error) {
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		there = append(there, f)
	}
	return knownhosts.NewDB(there...)
}

// algorithms returns the host key algorithms to ask for, best first. Those of
// the keys in known_hosts lead, so that a host with several keys shows one that
// can be checked; the others follow, so that a host whose key was replaced by
// one of another type is told apart from a broken server. SHA-1 is never asked
// for, and certificates only where known_hosts names an authority.
func algorithms(db *knownhosts.HostKeyDB, e *endpoint) []string {
	secure := ssh.SupportedAlgorithms().HostKeys
	isCertificate := func(a string) bool { return strings.Contains(a, "-cert-") }
	var order []string
	for _, k := range db.HostKeys(e.knownAs()) {
		if k.Cert { // the authority's own type says nothing about the host's
			for _, a := range secure {
				if isCertificate(a) {
					order = append(order, a)
				}
			}
			break
		}
	}
	for _, a := range db.HostKeyAlgorithms(e.knownAs()) {
		if slices.Contains(secure, a) && !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	for _, a := range append([]string{ssh.KeyAlgoED25519}, secure...) {
		if !isCertificate(a) && !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	return order
}

// check verifies the key a server has shown.
func (k *hostKeys) check(e *endpoint, db *knownhosts.HostKeyDB, key ssh.PublicKey) error {
	err := lookUp(e, db, key)
	if err == nil {
		return nil
	}
	if !knownhosts.IsHostUnknown(err) {
		return describe(e, key, err)
	}
	if _, isCert := key.(*ssh.Certificate); !isCert && e.acceptNew && e.newKeys != "" {
		return k.accept(e, key)
	}
	return describe(e, key, err)
}

func lookUp(e *endpoint, db *knownhosts.HostKeyDB, key ssh.PublicKey) error {
	// The name alone decides, as with CheckHostIP=no, OpenSSH's default. The
	// library still wants an address; this one is never looked for.
	return db.HostKeyCallback()(e.knownAs(), &net.TCPAddr{IP: net.IPv4zero}, key)
}

// describe says what a person needs to know of a refused key.
func describe(e *endpoint, key ssh.PublicKey, err error) error {
	shown := fmt.Sprintf("%s key %s", keyType(key), ssh.FingerprintSHA256(key))
	var revoked *xknownhosts.RevokedError
	if errors.As(err, &revoked) {
		return fmt.Errorf("%s shows a revoked key: %s is marked @revoked in %s:%d",
			e.address(), shown, revoked.Revoked.Filename, revoked.Revoked.Line)
	}
	var mismatch *xknownhosts.KeyError
	if !errors.As(err, &mismatch) {
		return fmt.Errorf("%s shows the %s: %w", e.address(), shown, err)
	}
	name := knownhosts.Normalize(e.knownAs())
	if len(mismatch.Want) == 0 {
		scan := "ssh-keyscan " + e.host
		if e.port != "22" {
			scan = fmt.Sprintf("ssh-keyscan -p %s %s", e.port, e.host)
		}
		return fmt.Errorf("unknown host: %s (%s) is not in %s; it shows the %s; if that is its key, add it (%s prints it) or run with --accept-new-host-keys",
			name, e.address(), listFiles(e.knownHosts), shown, scan)
	}
	var known []string
	for _, w := range mismatch.Want {
		known = append(known, fmt.Sprintf("%s:%d has the %s key %s", w.Filename, w.Line, keyType(w.Key), ssh.FingerprintSHA256(w.Key)))
	}
	return fmt.Errorf("the host key has changed: %s (%s) shows the %s, but %s; someone may be in between; if the host was installed anew, remove the old key: ssh-keygen -f %s -R '%s'",
		name, e.address(), shown, strings.Join(known, " and "), mismatch.Want[0].Filename, name)
}

func listFiles(files []string) string {
	if len(files) == 0 {
		return "any known_hosts file (none is configured)"
	}
	return strings.Join(files, ", ")
}

// keyType returns the short name OpenSSH shows: ED25519, RSA.
func keyType(key ssh.PublicKey) string {
	t := key.Type()
	switch {
	case strings.Contains(t, "-cert-"):
		return t
	case strings.HasPrefix(t, "ecdsa-"):
		return "ECDSA"
	}
	return strings.ToUpper(strings.TrimPrefix(t, "ssh-"))
}

// lockWait limits the wait for another process that adds to known_hosts.
const lockWait = 5 * time.Second

// accept adds an unknown host's key to the user's known_hosts file. The file is
// locked and read again first: another host of this run, or another lvsform,
// may just have added this name, perhaps with another key.
func (k *hostKeys) accept(e *endpoint, key ssh.PublicKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	path := e.newKeys
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // releases the lock
	if err := lock(f); err != nil {
		return err
	}
	now, err := readKnownHosts(e.knownHosts)
	if err != nil {
		return err
	}
	if err := lookUp(e, now, key); err == nil {
		return nil
	} else if !knownhosts.IsHostUnknown(err) {
		return describe(e, key, err)
	}
	name := knownhosts.Normalize(e.knownAs())
	if e.hashNames {
		name = xknownhosts.HashHostname(name)
	}
	line := knownhosts.Line([]string{name}, key) + "\n"
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	// One write to a file opened with O_APPEND: programs that do not lock
	// (ssh itself) cannot end up in the middle of this line.
	_, err = f.WriteString(line)
	return err
}

func lock(f *os.File) error {
	for end := time.Now().Add(lockWait); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
