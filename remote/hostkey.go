package remote

import (
	"bytes"
	"cmp"
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

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys verifies host keys. The known_hosts files are read once a run.
type hostKeys struct {
	mu  sync.Mutex
	dbs map[string]*knownHosts // by the files' names
}

// database reads the files that exist, or returns what was read before.
func (k *hostKeys) database(files []string) (*knownHosts, error) {
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
		k.dbs = make(map[string]*knownHosts)
	}
	k.dbs[name] = db
	return db, nil
}

// algorithms returns the host key algorithms to ask for, best first. Those of
// the keys in known_hosts lead, so that a host with several keys shows one that
// can be checked; the others follow, so that a host whose key was replaced by
// one of another type is told apart from a broken server. SHA-1 is never asked
// for, and certificates only where known_hosts names an authority.
func algorithms(db *knownHosts, e *endpoint) []string {
	secure := ssh.SupportedAlgorithms().HostKeys
	isCertificate := func(a string) bool { return strings.Contains(a, "-cert-") }
	var order []string
	add := func(a string) {
		if slices.Contains(secure, a) && !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	if len(db.about(e.knownAs(), authorityMarker)) > 0 { // its own type says nothing about the host's
		for _, a := range secure {
			if isCertificate(a) {
				add(a)
			}
		}
	}
	for _, l := range db.about(e.knownAs(), "") {
		if t := l.key.Type(); t == ssh.KeyAlgoRSA { // a type of key, and with SHA-1 an algorithm
			add(ssh.KeyAlgoRSASHA512)
			add(ssh.KeyAlgoRSASHA256)
		} else {
			add(t)
		}
	}
	for _, a := range append([]string{ssh.KeyAlgoED25519}, secure...) {
		if !isCertificate(a) {
			add(a)
		}
	}
	return order
}

// check verifies the key a server has shown.
func (k *hostKeys) check(e *endpoint, db *knownHosts, key ssh.PublicKey) error {
	for _, file := range e.revokedKeys {
		if err := notAmong(file, key); err != nil {
			return fmt.Errorf("%s shows the %s key %s: %w", e.address(), keyType(key), ssh.FingerprintSHA256(key), err)
		}
	}
	err := lookUp(e, db, key)
	var unknown *unknownHost
	if errors.As(err, &unknown) && e.acceptNew && e.newKeys != "" {
		return k.accept(e, key)
	}
	return err
}

// notAmong refuses a key that a file of RevokedHostKeys has, or whose authority
// it has. A file that cannot be read whole refuses every key, as in ssh(1).
func notAmong(file string, key ssh.PublicKey) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("RevokedHostKeys: %w", err)
	}
	if bytes.HasPrefix(data, []byte("SSHKRL\n")) {
		return fmt.Errorf("RevokedHostKeys: %s is a binary list (KRL), and lvsform reads lists of public keys only", file)
	}
	keys := []ssh.PublicKey{key}
	if cert, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, cert.Key, cert.SignatureKey)
	}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		revoked, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return fmt.Errorf("RevokedHostKeys: %s:%d cannot be read: %w", file, i+1, err)
		}
		if slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return sameKey(k, revoked) }) {
			return fmt.Errorf("it is revoked in %s:%d", file, i+1)
		}
	}
	return nil
}

// lookUp returns nil for a key that known_hosts has for the endpoint, and
// otherwise what a person needs to know. The name alone decides, as with
// CheckHostIP=no, OpenSSH's default.
func lookUp(e *endpoint, db *knownHosts, key ssh.PublicKey) error {
	shown := fmt.Sprintf("%s key %s", keyType(key), ssh.FingerprintSHA256(key))
	names := e.knownAs()
	for i := range db.damaged {
		if d := &db.damaged[i]; d.marker == revokedMarker && slices.ContainsFunc(names, d.matches) {
			return fmt.Errorf("%s shows the %s; whether it is revoked is not known, for %s cannot be read: %w", e.address(), shown, d.place(), d.err)
		}
	}
	authorities := db.about(names, authorityMarker)
	if cert, ok := key.(*ssh.Certificate); ok {
		for _, k := range []ssh.PublicKey{cert.Key, cert.SignatureKey} {
			if l := db.revoked(k); l != nil {
				return revoked(e, shown, l)
			}
		}
		checker := ssh.CertChecker{IsHostAuthority: func(key ssh.PublicKey, _ string) bool {
			return slices.ContainsFunc(authorities, func(l *knownLine) bool { return sameKey(l.key, key) })
		}}
		name, port := cmp.Or(e.alias, strings.ToLower(e.host)), e.port
		if err := checker.CheckHostKey(net.JoinHostPort(name, port), nil, key); err != nil {
			return fmt.Errorf("%s shows the %s: %w", e.address(), shown, err)
		}
		return nil
	}
	if l := db.revoked(key); l != nil {
		return revoked(e, shown, l)
	}
	known := db.about(names, "")
	if slices.ContainsFunc(known, func(l *knownLine) bool { return sameKey(l.key, key) }) {
		return nil
	}
	switch {
	case len(known) > 0 && known[0].matches(names[0]): // for this port, or a port was not asked for
		var have []string
		for _, l := range known {
			have = append(have, fmt.Sprintf("%s has the %s key %s", l.place(), keyType(l.key), ssh.FingerprintSHA256(l.key)))
		}
		return fmt.Errorf("the host key has changed: %s (%s) shows the %s, but %s; someone may be in between; if the host was installed anew, remove the old key: ssh-keygen -f %s -R '%s'",
			names[0], e.address(), shown, strings.Join(have, " and "), known[0].file, names[0])
	case len(authorities) > 0:
		return fmt.Errorf("%s shows the %s, and no certificate of the authority at %s", e.address(), shown, authorities[0].place())
	}
	for i := range db.damaged {
		if d := &db.damaged[i]; slices.ContainsFunc(names, d.matches) {
			return fmt.Errorf("%s shows the %s, and %s, which is about this host, cannot be read: %w; correct or remove that line", e.address(), shown, d.place(), d.err)
		}
	}
	return &unknownHost{e, shown, db.damage()}
}

func revoked(e *endpoint, shown string, l *knownLine) error {
	return fmt.Errorf("%s shows a revoked key: %s is marked @revoked in %s", e.address(), shown, l.place())
}

// unknownHost is a host that no line of known_hosts is about.
type unknownHost struct {
	endpoint *endpoint
	shown    string // the key, in words
	damage   string // lines that cannot be read
}

func (u *unknownHost) Error() string {
	e := u.endpoint
	scan := "ssh-keyscan " + e.host
	if e.port != "22" {
		scan = fmt.Sprintf("ssh-keyscan -p %s %s", e.port, e.host)
	}
	return fmt.Sprintf("unknown host: %s (%s) is not in %s; it shows the %s; if that is its key, add it (%s prints it) or run with --accept-new-host-keys%s",
		e.knownAs()[0], e.address(), listFiles(e.knownHosts), u.shown, scan, u.damage)
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
	var unknown *unknownHost
	if err := lookUp(e, now, key); !errors.As(err, &unknown) {
		return err
	}
	name := e.knownAs()[0]
	if strings.ContainsAny(name, "*?!,|@# \t\r\n\"") { // it would be taken for a pattern, or for several names
		return fmt.Errorf("the name %q does not go into %s", name, path)
	}
	if e.hashNames {
		name = knownhosts.HashHostname(name)
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
