package remote

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownHosts is what known_hosts files say, in the format of sshd(8). A line
// that cannot be read says nothing, as in OpenSSH: the hosts of the others are
// known all the same.
type knownHosts struct {
	lines   []knownLine
	damaged []damagedLine
}

// knownLine is a host's key, an authority's, or one that is revoked.
type knownLine struct {
	file   string
	number int
	marker string // with its @, or empty
	names  string // patterns between commas, or one hashed name
	key    ssh.PublicKey
}

func (l *knownLine) place() string { return fmt.Sprintf("%s:%d", l.file, l.number) }

// damagedLine is a line that cannot be read.
type damagedLine struct {
	knownLine
	err error
}

// The markers of known_hosts.
const (
	authorityMarker = "@cert-authority"
	revokedMarker   = "@revoked"
)

// readKnownHosts reads the files that exist.
func readKnownHosts(files []string) (*knownHosts, error) {
	k := &knownHosts{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i, text := range strings.Split(string(data), "\n") {
			text = strings.Trim(text, " \t\r")
			if text == "" || text[0] == '#' {
				continue
			}
			line := knownLine{file: f, number: i + 1}
			if err := line.parse(text); err != nil {
				k.damaged = append(k.damaged, damagedLine{line, err})
				continue
			}
			k.lines = append(k.lines, line)
		}
	}
	return k, nil
}

// parse reads a line: marker, names, key type, key, comment.
func (l *knownLine) parse(text string) error {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if strings.HasPrefix(words[0], "@") {
		l.marker, words = words[0], words[1:]
		if l.marker != authorityMarker && l.marker != revokedMarker {
			return fmt.Errorf("the marker %q is not known", l.marker)
		}
	}
	if len(words) > 0 {
		l.names = words[0]
	}
	if len(words) < 3 {
		return errors.New("it is not of the form: names, type of key, key")
	}
	blob, err := base64.StdEncoding.DecodeString(words[2])
	if err == nil {
		l.key, err = ssh.ParsePublicKey(blob)
	}
	switch {
	case err != nil:
		return fmt.Errorf("its key cannot be read: %w", err)
	case l.key.Type() != words[1]:
		return fmt.Errorf("it says %s, but its key is of type %s", words[1], l.key.Type())
	}
	return nil
}

// matches tells whether the line is about a name of the form "host" or
// "[host]:port". As everything between commas is a pattern for all of it, a
// pattern can have parts of the port too.
func (l *knownLine) matches(name string) bool {
	hashed, ok := strings.CutPrefix(l.names, "|1|")
	if !ok {
		return matchPatternList(strings.ToLower(name), strings.ToLower(l.names))
	}
	salt64, hash64, _ := strings.Cut(hashed, "|")
	salt, err := base64.StdEncoding.DecodeString(salt64)
	hash, err2 := base64.StdEncoding.DecodeString(hash64)
	if err != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), hash)
}

// about returns the lines with a marker, or none, for the first of the names
// that has any. ssh(1) asks for the host with its port, and then without it.
func (k *knownHosts) about(names []string, marker string) []*knownLine {
	var found []*knownLine
	for _, name := range names {
		for i := range k.lines {
			if l := &k.lines[i]; l.marker == marker && l.matches(name) {
				found = append(found, l)
			}
		}
		if found != nil {
			break
		}
	}
	return found
}

// revoked returns the line that revokes a key, or nil. For whom it was revoked
// makes no difference: nobody else should show it.
func (k *knownHosts) revoked(key ssh.PublicKey) *knownLine {
	for i := range k.lines {
		if l := &k.lines[i]; l.marker == revokedMarker && sameKey(l.key, key) {
			return l
		}
	}
	return nil
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// damage tells of lines that cannot be read, for an error that one of them may
// explain.
func (k *knownHosts) damage() string {
	const most = 3
	var text strings.Builder
	for i, d := range k.damaged {
		if i == most {
			fmt.Fprintf(&text, "; and %d more lines", len(k.damaged)-most)
			break
		}
		fmt.Fprintf(&text, "; %s cannot be read: %v", d.place(), d.err)
	}
	return text.String()
}
