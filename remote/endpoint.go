package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
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
	noDefaultKeys  bool     // IdentityFile is set, be it to none
	certificates   []string // CertificateFile
	identitiesOnly bool     // offer no other key of the SSH agent
	agentSocket    string   // empty: no SSH agent
	jump           []string // hops on the way, the nearest first
	alias          string   // HostKeyAlias, or empty
	knownHosts     []string // files
	revokedKeys    []string // files of RevokedHostKeys
	newKeys        string   // the one that new keys are added to, or empty
	acceptNew      bool
	hashNames      bool // HashKnownHosts
	timeout        time.Duration
	sudo           bool
}

func (e *endpoint) address() string { return net.JoinHostPort(e.host, e.port) }

// knownAs are the names that known_hosts is asked for, the first one first.
// OpenSSH looks for an alias without any port.
func (e *endpoint) knownAs() []string {
	host := cmp.Or(e.alias, strings.ToLower(e.host))
	if e.alias != "" || e.port == "22" {
		return []string{host}
	}
	return []string{fmt.Sprintf("[%s]:%s", host, e.port), host}
}

// endpoint merges all that is said about a target.
func (r *run) endpoint(ctx context.Context, t journal.Member) (*endpoint, error) {
	// What the inventory says stands where ssh(1) has its command line.
	settled := said{}
	if t.User != "" {
		settled["user"] = []setting{{value: t.User}}
	}
	if t.Port != 0 {
		settled["port"] = []setting{{value: strconv.Itoa(int(t.Port))}}
	}
	if t.Address != "" {
		settled["hostname"] = []setting{{value: t.Address}}
	}
	config, err := r.config.of(ctx, t.Name, settled)
	if err != nil {
		return nil, err
	}
	say := config.value
	e := &endpoint{
		name:  t.Name,
		sudo:  t.Sudo,
		alias: say("HostKeyAlias"),
		user:  cmp.Or(say("User"), r.config.local.user),
		port:  cmp.Or(say("Port"), "22"),
		host:  t.Address,
	}
	if e.user == "" {
		return nil, errors.New("no user named, and the current one is unknown")
	}
	if n, err := strconv.ParseUint(e.port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%s: Port %q is no port number", config.first("Port").place, e.port)
	}
	if h := config.first("HostName"); e.host == "" && h.value != "" {
		if e.host, err = expandTokens(h, map[byte]string{'h': t.Name}); err != nil {
			return nil, err
		}
	}
	e.host = cmp.Or(e.host, t.Fallback, t.Name)
	if err := r.readIdentities(e, t, config); err != nil {
		return nil, err
	}
	if err := r.readJump(e, t, config); err != nil {
		return nil, err
	}
	if err := r.readHostKeyRules(e, t, config); err != nil {
		return nil, err
	}
	e.timeout = r.opts.ConnectTimeout
	if e.timeout == 0 {
		if e.timeout, err = connectTimeout(config.first("ConnectTimeout")); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// readIdentities reads which keys are for an endpoint.
func (r *run) readIdentities(e *endpoint, t journal.Member, config said) error {
	if t.Key != "" {
		key, err := expandHome(t.Key, r.home)
		if err != nil {
			return err
		}
		e.keys = append(e.keys, key)
	}
	files, err := r.fileSettings(e, config["identityfile"])
	if err != nil {
		return err
	}
	e.keys = append(e.keys, files...)
	e.noDefaultKeys = len(config["identityfile"]) > 0 // even if it is none
	if e.certificates, err = r.fileSettings(e, config["certificatefile"]); err != nil {
		return err
	}
	if e.identitiesOnly, err = config.flag("IdentitiesOnly"); err != nil {
		return err
	}
	switch word := config.first("IdentityAgent"); {
	case word.value == "" || word.value == "SSH_AUTH_SOCK":
		e.agentSocket = os.Getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(word.value, "none"):
	case word.value[0] == '$' && !strings.HasPrefix(word.value, "${"):
		e.agentSocket = os.Getenv(word.value[1:])
	default:
		e.agentSocket, err = r.file(e, word)
	}
	return err
}

// readJump reads the way to an endpoint.
func (r *run) readJump(e *endpoint, t journal.Member, config said) error {
	if t.Jump != "" {
		e.jump = jumpWords(t.Jump)
		return nil
	}
	if c := config.first("ProxyCommand"); c.value != "" && !strings.EqualFold(c.value, "none") {
		return fmt.Errorf("%s: ProxyCommand is not supported: use ProxyJump there, or jump in the inventory (jump: none connects directly)", c.place)
	}
	j := config.first("ProxyJump")
	value, err := expandTokens(j, map[byte]string{'h': e.host, 'n': e.name, 'p': e.port, 'r': e.user})
	e.jump = jumpWords(value)
	return err
}

// readHostKeyRules reads how the host's key is checked.
func (r *run) readHostKeyRules(e *endpoint, t journal.Member, config said) error {
	// StrictHostKeyChecking=no is taken as yes: a key that nobody checked is
	// no ground for changing a host's network.
	e.acceptNew = r.opts.AcceptNew || strings.EqualFold(config.value("StrictHostKeyChecking"), "accept-new")
	var err error
	if e.hashNames, err = config.flag("HashKnownHosts"); err != nil {
		return err
	}
	fileList := func(list setting) ([]string, error) {
		files := make([]setting, len(list.args))
		for i, f := range list.args {
			files[i] = setting{value: f, place: list.place}
		}
		return r.fileSettings(e, files)
	}
	if e.revokedKeys, err = fileList(config.first("RevokedHostKeys")); err != nil {
		return err
	}
	users, global := r.opts.KnownHosts, []string(nil)
	if users == nil {
		list := config.first("UserKnownHostsFile")
		if list.value == "" {
			list.args = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
		}
		if users, err = fileList(list); err != nil {
			return err
		}
		// ssh(1) expands nothing in the system's.
		global = config.first("GlobalKnownHostsFile").args
		if len(global) == 0 {
			global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
		}
		global = slices.DeleteFunc(slices.Clone(global), func(f string) bool { return strings.EqualFold(f, "none") })
	}
	if len(users) > 0 {
		e.newKeys = users[0]
	}
	e.knownHosts = slices.Concat(users, global)
	return nil
}

// fileSettings are the paths that settings mean, without those that say none.
func (r *run) fileSettings(e *endpoint, settings []setting) ([]string, error) {
	var paths []string
	for _, s := range settings {
		if strings.EqualFold(s.value, "none") {
			continue
		}
		path, err := r.file(e, s)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// file is the path that a setting means: ~, ${VARIABLES} and % tokens.
func (r *run) file(e *endpoint, s setting) (string, error) {
	var err error
	if s.value, err = expandHome(s.value, r.home); err != nil {
		return "", fmt.Errorf("%s: %w", s.place, err)
	}
	if s.value, err = expandVariables(s); err != nil {
		return "", err
	}
	return expandTokens(s, r.config.local.tokens(e.name, e.host, e.port, e.user, cmp.Or(e.alias, e.name)))
}

// connectTimeout reads ConnectTimeout: seconds, or numbers with units as in
// 1m30s (TIME FORMATS of sshd_config(5)).
func connectTimeout(s setting) (time.Duration, error) {
	if s.value == "" || s.value == "none" || s.value == "0" { // the system's own limit, in ssh(1)
		return defaultConnectTimeout, nil
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	var total time.Duration
	rest := s.value
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseUint(rest[:digits], 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%s: ConnectTimeout %q is no time, as 10, 10s or 1m30s", s.place, s.value)
		}
		unit := time.Second
		if rest = rest[digits:]; rest != "" {
			u, ok := units[rest[0]|0x20]
			if !ok {
				return 0, fmt.Errorf("%s: ConnectTimeout %q is no time, as 10, 10s or 1m30s", s.place, s.value)
			}
			unit, rest = u, rest[1:]
		}
		total += time.Duration(n) * unit
	}
	return cmp.Or(total, defaultConnectTimeout), nil
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
	if uri, ok := strings.CutPrefix(host, "ssh://"); ok {
		if strings.ContainsAny(uri, "%;") {
			return journal.Member{}, fmt.Errorf("jump %q: escapes and parameters are not supported in it", word)
		}
		host = strings.TrimSuffix(uri, "/")
	}
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
	if strings.ContainsAny(host+out.User, "/ \t") {
		return journal.Member{}, fmt.Errorf("jump %q is neither a host of the inventory, nor [user@]host[:port], nor ssh://[user@]host[:port]", word)
	}
	out.Name = host
	return out, nil
}

// route returns the way to a target: every hop, and the target last.
func (r *run) route(ctx context.Context, t journal.Member) ([]*endpoint, error) {
	return r.routeFrom(ctx, t, nil)
}

func (r *run) routeFrom(ctx context.Context, t journal.Member, behind []string) ([]*endpoint, error) {
	for _, b := range behind {
		if b == t.Name {
			return nil, fmt.Errorf("jumps go round in a circle: %s", strings.Join(append(behind, t.Name), " -> "))
		}
	}
	e, err := r.endpoint(ctx, t)
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
			way, err = r.routeFrom(ctx, hop, append(behind, t.Name))
		} else {
			var he *endpoint
			he, err = r.endpoint(ctx, hop)
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
