package remote

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plain"
)

// login offers an endpoint's keys to a server, one after the other. A key that
// cannot sign, as its passphrase is not known, is left out: the next one's turn.
type login struct {
	endpoint *endpoint
	keys     func() (offer []*identity, unused []string)
	ctx      context.Context // the handshake's
	hold     func()          // gives the person at the keyboard time
	going    func()          // back to the handshake's own limit

	read     bool // the keys are
	offer    []*identity
	unused   []string // why others are not offered, or could not sign
	tried    int      // how many of the offer were
	accepted []*identity
	wants    []string // the methods that the server last asked for
}

// next implements ssh.ClientAuthCallback.
func (l *login) next(c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l.wants = c.AllowedMethods
	if len(c.PartialSuccessMethods) > len(l.accepted) && l.tried > 0 {
		l.accepted = append(l.accepted, l.offer[l.tried-1])
	}
	if !slices.Contains(l.wants, "publickey") {
		return nil, nil
	}
	if !l.read {
		l.read = true
		l.hold() // an SSH agent that does not answer is not the host's fault
		l.offer, l.unused = l.keys()
		l.going()
	}
	if l.tried == len(l.offer) {
		return nil, nil
	}
	id := l.offer[l.tried]
	l.tried++
	return ssh.PublicKeys(&signer{identity: id, login: l}), nil
}

// cannotSign notes why the key that was tried last is of no use.
func (l *login) cannotSign(id *identity, err error) error {
	l.tried--
	l.offer = slices.Delete(l.offer, l.tried, l.tried+1)
	l.unused = append(l.unused, fmt.Sprintf("%s: %v", id.from, err))
	return fault.New(fault.Permission, "%s: %v", id.from, err)
}

// failure says why a login came to nothing.
func (l *login) failure(err error) error {
	as := "as " + l.endpoint.user + ": "
	others := slices.DeleteFunc(slices.Clone(l.wants), func(m string) bool { return m == "publickey" })
	takes := plain.Words(strings.Join(others, ", "))
	switch {
	case fault.Of(err) == fault.Connection:
		return fmt.Errorf("%sthe connection was lost during the login: %s", as, handshakeText(err))
	case strings.Contains(err.Error(), "ssh: disconnect"): // such as: too many authentication failures
		return fault.New(fault.Permission, "%s%s; %s", as, handshakeText(err), l.triedKeys())
	case len(l.accepted) > 0:
		var names []string
		for _, id := range l.accepted {
			names = append(names, id.String())
		}
		return fault.New(fault.Permission, "%sthe server accepted the key %s, and wants %s besides; lvsform logs in with keys only; %s",
			as, strings.Join(names, ", "), plain.Words(strings.Join(l.wants, ", ")), l.triedKeys())
	case len(l.wants) > 0 && len(others) == len(l.wants):
		return fault.New(fault.Permission, "%sthe server takes no key, only %s; lvsform logs in with keys only: let the server take them (PubkeyAuthentication and AuthenticationMethods in its sshd_config)",
			as, takes)
	}
	text := l.triedKeys()
	if l.tried > 0 {
		text = "no key was accepted; " + text
	}
	if takes != "" {
		text += "; the server also takes " + takes + "; lvsform logs in with keys only"
	}
	return fault.New(fault.Permission, "%s%s", as, text)
}

// triedKeys lists identities for an error.
func (l *login) triedKeys() string {
	text := "no key was there to try"
	if l.tried > 0 {
		names := make([]string, l.tried)
		for i, id := range l.offer[:l.tried] {
			names[i] = id.String()
		}
		text = "tried " + strings.Join(names, ", ")
	}
	if len(l.unused) > 0 {
		text += "; not used: " + strings.Join(l.unused, ", ")
	}
	return text
}
