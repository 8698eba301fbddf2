package remote

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lvsform/lvsform/journal"
)

// endpoint is one SSH server and how to deal with it: the inventory's words
// over those of ssh_config over the defaults.
type endpoint struct {
	name           string // of the target, for messages
	host           string // name or address to dial
	port           string
	user           string
	keys           []string // key files asked for by name; none means the default ones
	identitiesOnly bool     // offer no other key of the SSH agent
	agentSocket    string   // empty: no SSH agent
	jump           []string // hops on the way, the nearest first
	alias          string   // HostKeyAlias, or empty
	knownHosts     []string // files
	newKeys        string   // the one that new keys are added to, or empty
	acceptNew      bool
	hashNames      bool // HashKnownHosts
	timeout        time.Duration
	sudo           bool
}

func (e *endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// knownAs is the host:port that known_hosts is asked for. OpenSSH looks for an
// alias without any port.
func (e *endpoint) knownAs() string {
	if e.alias != "" {
		return net.JoinHostPort(e.alias, "22")
	}
	return net.JoinHostPort(strings.ToLower(e.host), e.port)
}

// endpoint merges all that is said about a target.
func (r *run) endpoint(t journal.Member) (*endpoint, error) {
	config := r.config.of(t.Name)
	say := config.first
	e := &endpoint{
		name:      t.Name,
		sudo:      t.Sudo,
		acceptNew: r.opts.AcceptNew,
		alias:     say("HostKeyAlias"),
	}
	e.user = cmp.Or(t.User, say("User"))
	if e.user == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("no user named, and the current one is unknown: %w", err)
		}
		e.user = u.Username
	}
	e.port = cmp.Or(say("Port"), "22")
	if t.Port != 0 {
		e.port = strconv.Itoa(int(t.Port))
	}
	if n, err := strconv.ParseUint(e.port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("ssh_config: Port %q is no port number", e.port)
	}
	hostName := strings.NewReplacer("%%", "%", "%h", t.Name).Replace(say("HostName"))
	e.host = cmp.Or(t.Address, hostName, t.Fallback, t.Name)

	expand := r.tokens(t.Name, e)
	if t.Key != "" {
		e.keys = append(e.keys, expandHome(t.Key, r.home))
	}
	for _, f := range config.all("IdentityFile") {
		if !strings.EqualFold(f, "none") {
			e.keys = append(e.keys, expand(f))
		}
	}
	e.identitiesOnly = strings.EqualFold(say("IdentitiesOnly"), "yes")
	e.agentSocket = r.agentSocket(say("IdentityAgent"), expand)
	e.jump = jumpWords(cmp.Or(t.Jump, say("ProxyJump")))
	if c := say("ProxyCommand"); t.Jump == "" && say("ProxyJump") == "" && c != "" && !strings.EqualFold(c, "none") {
		return nil, errors.New("ssh_config: ProxyCommand is not supported: use ProxyJump there, or jump in the inventory (jump: none connects directly)")
	}

	// StrictHostKeyChecking=no is taken as yes: a key that nobody checked is
	// no ground for changing a host's network.
	if strings.EqualFold(say("StrictHostKeyChecking"), "accept-new") {
		e.acceptNew = true
	}
	e.hashNames = strings.EqualFold(say("HashKnownHosts"), "yes")
	users, global := r.opts.KnownHosts, []string(nil)
	if users == nil {
		users = fileList(cmp.Or(say("UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2"), expand)
		global = fileList(cmp.Or(say("GlobalKnownHostsFile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"), expand)
	}
	if len(users) > 0 {
		e.newKeys = users[0]
	}
	e.knownHosts = slices.Concat(users, global)
	e.timeout = r.opts.ConnectTimeout
	if s, err := strconv.Atoi(say("ConnectTimeout")); e.timeout == 0 && err == nil && s > 0 {
		e.timeout = time.Duration(s) * time.Second
	}
	e.timeout = cmp.Or(e.timeout, defaultConnectTimeout)
	return e, nil
}

// tokens returns the expansion of ~ and of the % tokens in file names.
func (r *run) tokens(name string, e *endpoint) func(string) string {
	local := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		local = u.Username
	}
	tokens := strings.NewReplacer("%%", "%", "%h", e.host, "%n", name, "%p", e.port,
		"%r", e.user, "%d", r.home, "%u", local)
	return func(path string) string { return tokens.Replace(expandHome(path, r.home)) }
}

// agentSocket returns the socket that IdentityAgent means.
func (r *run) agentSocket(word string, expand func(string) string) string {
	switch {
	case word == "" || word == "SSH_AUTH_SOCK":
		return os.Getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(word, "none"):
		return ""
	case word[0] == '$':
		return os.Getenv(strings.Trim(word[1:], "{}"))
	}
	return expand(word)
}

// jumpWords splits a jump: hops between commas, or "none".
func jumpWords(value string) []string {
	if value == "" || strings.EqualFold(value, "none") {
		return nil
	}
	words := strings.Split(value, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// jumpTarget is what one hop means: a host of the inventory, or else
// [user@]host[:port].
func (r *run) jumpTarget(word string) (journal.Member, error) {
	if t, ok := r.opts.Jumps(word); ok {
		return t, nil
	}
	var out journal.Member
	host := word
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		out.User, host = host[:at], host[at+1:]
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return journal.Member{}, fmt.Errorf("jump %q: %q is no port number", word, p)
		}
		host, out.Port = h, uint16(n)
	}
	host = strings.Trim(host, "[]")
	if host == "" {
		return journal.Member{}, fmt.Errorf("jump %q names no host", word)
	}
	out.Name = host
	return out, nil
}

// route returns the way to a target: every hop, and the target last.
func (r *run) route(t journal.Member) ([]*endpoint, error) { return r.routeFrom(t, nil) }

func (r *run) routeFrom(t journal.Member, behind []string) ([]*endpoint, error) {
	for _, b := range behind {
		if b == t.Name {
			return nil, fmt.Errorf("jumps go round in a circle: %s", strings.Join(append(behind, t.Name), " -> "))
		}
	}
	e, err := r.endpoint(t)
	if err != nil {
		return nil, err
	}
	var way []*endpoint
	for i, word := range e.jump {
		hop, err := r.jumpTarget(word)
		if err != nil {
			return nil, err
		}
		if i == 0 { // only the first hop may have a way of its own
			way, err = r.routeFrom(hop, append(behind, t.Name))
		} else {
			var he *endpoint
			he, err = r.endpoint(hop)
			way = append(way, he)
		}
		if err != nil {
			return nil, err
		}
	}
	return append(way, e), nil
}

// defaultKeys are the key files tried when none is named.
func defaultKeys(home string) []string {
	var files []string
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		files = append(files, filepath.Join(home, ".ssh", "id_"+kind))
	}
	return files
}
