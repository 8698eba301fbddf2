package remote

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// localSide is what Match and the % tokens can ask about the workstation.
type localSide struct {
	home string
	user string
	host string // gethostname(2)
	uid  string
}

func newLocalSide(home string) localSide {
	l := localSide{home: home, uid: strconv.Itoa(os.Getuid())}
	if u, err := user.Current(); err == nil {
		l.user = u.Username
	}
	l.host, _ = os.Hostname() // without it, %l is empty
	return l
}

// evaluation is the reading of the files for one host. Its rules are those of
// OpenSSH's readconf.c.
type evaluation struct {
	ctx       context.Context
	config    *sshConfig
	name      string // as the host was named
	host      string // what Host patterns are held against
	final     bool   // the second reading, in which "final" is true
	wantFinal bool   // a section asks for it
	said      said
}

// of returns what the files say about a host. What the caller has settled
// already counts as OpenSSH's command line: Match user and Match host see it.
func (c *sshConfig) of(ctx context.Context, name string, settled said) (said, error) {
	e := &evaluation{ctx: ctx, config: c, name: name, host: name, said: maps.Clone(settled)}
	if err := e.read(); err != nil {
		return nil, err
	}
	host, err := e.hostName()
	if err != nil {
		return nil, err
	}
	canonicalize := e.said.value("CanonicalizeHostname")
	if !e.wantFinal && (canonicalize == "" || strings.EqualFold(canonicalize, "no")) {
		return e.said, nil
	}
	// Read once more. Host patterns now see the name that HostName gave, and
	// HostName itself is settled, even where nothing was said.
	e.final, e.host = true, strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err == nil {
		e.host = host
	}
	named := e.said["hostname"]
	e.said["hostname"] = []setting{{value: e.host}}
	err = e.read()
	if e.said["hostname"] = named; named == nil {
		delete(e.said, "hostname")
	}
	return e.said, err
}

func (e *evaluation) read() error {
	for _, f := range e.config.files {
		if err := e.lines(f, true); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) lines(lines []configLine, active bool) error {
	never := !active // included by a section that does not apply: nothing in it does
	for i := range lines {
		l := &lines[i]
		var err error
		switch {
		case l.keyword == "include" && !active:
			for _, f := range l.include {
				if err := e.lines(f, false); err != nil {
					return err
				}
			}
		case never:
			// A wish for the second reading counts even there.
			e.wantFinal = e.wantFinal || l.keyword == "match" && asksForFinal(l.rest)
		case l.keyword == "host":
			active = hostLine(e.host, l.args)
		case l.keyword == "match":
			active, err = e.match(l)
		case !active:
		case l.err != nil:
			err = l.err
		case l.keyword == "include":
			for _, f := range l.include {
				if err := e.lines(f, true); err != nil {
					return err
				}
			}
		default:
			e.said.add(l)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", l.place(), l.keyword, err)
		}
	}
	return nil
}

// asksForFinal tells whether a Match line has the criterion "final".
func asksForFinal(rest string) bool {
	words, _ := matchWords(rest)
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(strings.TrimPrefix(w, "!"), "final") })
}

// hostName is the host's name after HostName.
func (e *evaluation) hostName() (string, error) {
	h := e.said.first("HostName")
	if h.value == "" || h.place == "" { // settled by the caller: no tokens in it
		if h.value != "" {
			return h.value, nil
		}
		return e.name, nil
	}
	return expandTokens(h, map[byte]string{'h': e.name})
}

// hostLine tells whether a Host line applies.
func hostLine(host string, patterns []string) bool {
	matched := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		if !matchPattern(host, p) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// criteriaWithValue are the criteria of Match that a value follows.
var criteriaWithValue = []string{"host", "originalhost", "user", "localuser", "exec", "localnetwork", "tagged", "command", "sessiontype", "version"}

// match tells whether a Match line applies. A criterion that is false decides;
// an error is one that has to be known and cannot be.
func (e *evaluation) match(l *configLine) (bool, error) {
	host, err := e.hostName()
	if err != nil {
		return false, err
	}
	words, broken := matchWords(l.rest)
	result, criteria := true, 0
	var unknown error // the first criterion that cannot be decided
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		name, negated := strings.CutPrefix(word, "!")
		name = strings.ToLower(name)
		if name == "all" {
			switch {
			case !result || negated:
				return false, nil
			case criteria > 1 || len(words) > 0 || broken != nil:
				return false, fmt.Errorf("all stands alone, or behind canonical or final: %s", l.rest)
			}
			return unknown == nil, unknown
		}
		criteria++
		if name == "canonical" || name == "final" {
			e.wantFinal = e.wantFinal || name == "final"
			if e.final == negated {
				result = false
			}
			continue
		}
		if !slices.Contains(criteriaWithValue, name) {
			if !result {
				return false, nil
			}
			return false, fmt.Errorf("the criterion %s is not known; known are all, host, originalhost, user, localuser, exec, final and canonical", word)
		}
		if len(words) == 0 {
			if !result {
				return false, nil
			}
			return false, cmp.Or(broken, fmt.Errorf("the criterion %s needs a value", word))
		}
		arg := words[0]
		words = words[1:]
		var is bool
		switch name {
		case "host":
			is = matchPatternList(strings.ToLower(host), strings.ToLower(arg))
		case "originalhost":
			is = matchPatternList(strings.ToLower(e.name), strings.ToLower(arg))
		case "user":
			is = matchPatternList(e.user(), arg)
		case "localuser":
			is = matchPatternList(e.config.local.user, arg)
		case "exec":
			if !result || unknown != nil {
				continue // OpenSSH does not run it either
			}
			if is, err = e.exec(host, arg); err != nil {
				unknown = err
				continue
			}
		default: // of OpenSSH 9.4 and later
			if unknown == nil && result {
				unknown = fmt.Errorf("lvsform cannot decide the criterion %s; put a criterion that it can decide before it, host or user for example", word)
			}
			continue
		}
		if is == negated {
			result = false
		}
	}
	switch {
	case !result:
		return false, nil
	case unknown != nil || broken != nil:
		return false, cmp.Or(unknown, broken)
	case criteria == 0:
		return false, errors.New("there is no criterion")
	}
	return true, nil
}

// matchWords splits the criteria: at white space or one equals sign, double
// quotes around values. It stops with an error where versions of OpenSSH differ,
// and returns what is before.
func matchWords(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != "" && s[0] != '#'; s = strings.TrimLeft(s, " \t") {
		if s[0] == '\'' || strings.HasPrefix(s, `\`) {
			return words, fmt.Errorf("versions of OpenSSH read these quotes differently, use double quotes: %s", s)
		}
		if s[0] == '"' {
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return words, fmt.Errorf("no closing quote: %s", s)
			}
			word, after := s[1:1+end], s[end+2:]
			if strings.HasSuffix(word, `\`) || after != "" && strings.IndexByte(" \t", after[0]) < 0 {
				return words, fmt.Errorf("versions of OpenSSH read these quotes differently: %s", s)
			}
			words, s = append(words, word), after
			continue
		}
		end := strings.IndexAny(s, " \t=\"")
		if end < 0 {
			return append(words, s), nil
		}
		if s[end] == '"' {
			return words, fmt.Errorf("a quote within a word: %s", s)
		}
		words, s = append(words, s[:end]), strings.TrimLeft(s[end:], " \t")
		if after, ok := strings.CutPrefix(s, "="); ok {
			s = after
		}
	}
	return words, nil
}

// user is the one to log in as, as far as it is known at this line.
func (e *evaluation) user() string {
	if u := e.said.value("User"); u != "" {
		return u
	}
	return e.config.local.user
}

// execs are the results of Match exec, each command run once a run.
type execs struct {
	mu   sync.Mutex
	done map[string]func() (bool, error)
}

// execLimit is how long a command of Match exec may take.
const execLimit = 30 * time.Second

func (e *evaluation) exec(host, command string) (bool, error) {
	port := e.said.value("Port")
	if port == "" {
		port = "22"
	}
	alias := e.said.value("HostKeyAlias")
	if alias == "" {
		alias = host
	}
	// Names can come from hosts' journals, and this goes to a shell.
	for _, s := range []string{e.name, host, alias, e.user()} {
		if strings.HasPrefix(s, "-") || strings.ContainsAny(s, "'`\"$\\;&<>|(){}*?[]~#!\r\n\t ") {
			return false, fmt.Errorf("exec is not run for the name %q: a shell would not take it as it is", s)
		}
	}
	tokens := e.config.local.tokens(e.name, host, port, e.user(), alias)
	command, err := expandTokens(setting{value: command, place: "exec"}, tokens)
	if err != nil {
		return false, err
	}
	x := &e.config.exec
	x.mu.Lock()
	if x.done == nil {
		x.done = make(map[string]func() (bool, error))
	}
	x.mu.Unlock()
	is, err := once(&x.mu, x.done, command, func() (bool, error) { return runShell(e.ctx, command) })
	if err != nil {
		return false, fmt.Errorf("exec %q: %w", command, err)
	}
	return is, nil
}

// runShell tells whether a command ends well, with the user's shell as ssh(1).
func runShell(ctx context.Context, command string) (bool, error) {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, execLimit, fmt.Errorf("not done within %v", execLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what it started, too
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err == nil:
		return true, nil
	case errors.As(err, &exit) && exit.Exited():
		return false, nil
	}
	return false, err
}

// tokens are the values of the % tokens of ssh_config(5).
func (l *localSide) tokens(name, host, port, remoteUser, alias string) map[byte]string {
	short, _, _ := strings.Cut(l.host, ".")
	sum := sha1.Sum([]byte(l.host + host + port + remoteUser)) // as ssh(1) names its control sockets
	return map[byte]string{
		'C': hex.EncodeToString(sum[:]),
		'd': l.home, 'h': host, 'i': l.uid, 'k': alias, 'L': short, 'l': l.host,
		'n': name, 'p': port, 'r': remoteUser, 'u': l.user,
	}
}

// expandTokens replaces the % tokens of a value. One that ssh(1) does not know
// there is an error, as in ssh(1).
func expandTokens(s setting, tokens map[byte]string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(s.value); i++ {
		c := s.value[i]
		if c != '%' {
			out.WriteByte(c)
			continue
		}
		i++
		if i == len(s.value) {
			return "", fmt.Errorf("%s: %q ends with %%; %%%% is the character itself", s.place, s.value)
		}
		value, ok := tokens[s.value[i]]
		switch {
		case s.value[i] == '%':
			value = "%"
		case !ok:
			return "", fmt.Errorf("%s: the token %%%c is not supported in %q", s.place, s.value[i], s.value)
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

// expandVariables replaces ${NAME} by the environment's value. One that is not
// set is an error, as in ssh(1).
func expandVariables(s setting) (string, error) {
	var out strings.Builder
	rest := s.value
	for {
		before, after, ok := strings.Cut(rest, "${")
		out.WriteString(before)
		if !ok {
			return out.String(), nil
		}
		name, behind, ok := strings.Cut(after, "}")
		if !ok {
			return "", fmt.Errorf("%s: no closing brace in %q", s.place, s.value)
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("%s: the environment variable %s is not set", s.place, name)
		}
		out.WriteString(value)
		rest = behind
	}
}

// matchPattern matches a pattern with * and ?, as ssh_config(5) and known_hosts
// have them. No character is a separator.
func matchPattern(s, pattern string) bool {
	star, mark := -1, 0 // behind the last *, and what it has swallowed up to
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			j++
			star, mark = j, i
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

// matchPatternList matches patterns between commas; one behind "!" that matches
// decides against.
func matchPatternList(s, patterns string) bool {
	matched := false
	for p := range strings.SplitSeq(patterns, ",") {
		p, negated := strings.CutPrefix(p, "!")
		if !matchPattern(s, p) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}
