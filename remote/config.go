package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// configLine is one line of an ssh_config(5) file.
type configLine struct {
	file    string
	number  int
	keyword string         // in lower case
	rest    string         // all that follows the keyword
	args    []string       // the same, split
	include [][]configLine // the files of an Include
	err     error          // why the line cannot be used where it applies
}

// place is where the line is: file:line.
func (l *configLine) place() string { return fmt.Sprintf("%s:%d", l.file, l.number) }

// sshConfig is what ssh_config(5) files say, the first file first. They are
// read once a run, and evaluated for each host.
type sshConfig struct {
	files [][]configLine
	local localSide
	exec  execs
}

// maxIncludeDepth is OpenSSH's own limit.
const maxIncludeDepth = 16

// readConfig reads the files; one that does not exist is no error.
func readConfig(home string, files []string) (*sshConfig, error) {
	c := &sshConfig{local: newLocalSide(home)}
	for _, f := range files {
		// ssh(1) checks who may write to the user's file, and not the system's.
		lines, err := readConfigFile(home, f, !isSystemConfig(f), 0)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, lines)
	}
	return c, nil
}

func isSystemConfig(path string) bool { return strings.HasPrefix(path, "/etc/ssh/") }

func readConfigFile(home, path string, checked bool, depth int) ([]configLine, error) {
	if depth > maxIncludeDepth {
		return nil, fmt.Errorf("%s: Include goes deeper than %d files", path, maxIncludeDepth)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || depth > 0 && errors.Is(err, syscall.EISDIR) {
		return nil, nil // as ssh(1) does: no file, or a folder that an Include's pattern meets
	}
	if err != nil {
		return nil, fmt.Errorf("ssh_config: %w", err)
	}
	if checked {
		if err := onlyOurs(path); err != nil {
			return nil, err
		}
	}
	var lines []configLine
	for i, text := range strings.Split(string(data), "\n") {
		line := configLine{file: path, number: i + 1}
		err := line.parse(strings.Trim(text, " \t\r\f"))
		if err == nil && line.keyword == "include" {
			err = line.follow(home, depth)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line.place(), err)
		}
		if line.keyword != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// onlyOurs refuses a file that others could have written, as ssh(1) does: it
// can name commands to run.
func onlyOurs(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("ssh_config: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && ((st.Uid != 0 && int(st.Uid) != os.Getuid()) || info.Mode().Perm()&0o022 != 0) {
		return fmt.Errorf("%s: bad owner or permissions (%#o): only you or root may be able to write to it; chmod go-w %[1]s",
			path, info.Mode().Perm())
	}
	return nil
}

// wholeLine are the keywords whose value is not split.
var wholeLine = []string{"proxyjump", "proxycommand", "match"}

// oneValue are the keywords of which lvsform reads a single value.
var oneValue = []string{"hostname", "port", "user", "identityfile", "certificatefile", "identitiesonly", "identityagent",
	"hostkeyalias", "stricthostkeychecking", "hashknownhosts", "connecttimeout", "canonicalizehostname"}

func (l *configLine) parse(text string) error {
	if text == "" || text[0] == '#' {
		return nil
	}
	cut := strings.IndexAny(text, " \t=")
	if cut < 0 {
		return fmt.Errorf("keyword %q has no value", text)
	}
	l.keyword = strings.ToLower(text[:cut])
	// One equals sign may stand between keyword and value.
	l.rest = strings.TrimLeft(text[cut:], " \t")
	if after, ok := strings.CutPrefix(l.rest, "="); ok {
		l.rest = strings.TrimLeft(after, " \t")
	}
	if slices.Contains(wholeLine, l.keyword) {
		if l.rest == "" {
			return fmt.Errorf("keyword %q has no value", text[:cut])
		}
		l.args = []string{l.rest}
		return nil
	}
	var err error
	l.args, err = splitArgs(l.rest)
	switch {
	case err != nil:
		return err
	case len(l.args) == 0:
		return fmt.Errorf("keyword %q has no value", text[:cut])
	case len(l.args) > 1 && slices.Contains(oneValue, l.keyword):
		return fmt.Errorf("%s has more than one value: %q", text[:cut], l.args)
	case slices.Contains(oneValue, l.keyword) && l.args[0] == "":
		return fmt.Errorf("%s has an empty value", text[:cut])
	}
	return nil
}

// splitArgs splits a line as OpenSSH does since 8.7: quotes of both kinds,
// a backslash before quote, backslash and space, a comment at the end.
func splitArgs(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var word []byte
		quote := byte(0)
		for ; i < len(s) && (quote != 0 || s[i] != ' ' && s[i] != '\t'); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' '):
				i++
				word = append(word, s[i])
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				word = append(word, c)
			}
		}
		if quote != 0 {
			return nil, fmt.Errorf("no closing quote: %s", s)
		}
		args = append(args, string(word))
	}
	return args, nil
}

// follow reads the files of an Include.
func (l *configLine) follow(home string, depth int) error {
	for _, p := range l.args {
		if strings.Contains(p, "%") || strings.Contains(p, "${") {
			// Newer versions of OpenSSH expand them, older ones do not.
			l.err = fmt.Errorf("tokens and variables are not supported in it: %s", p)
			continue
		}
		p, err := expandHome(p, home)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(p) {
			dir := filepath.Join(home, ".ssh")
			if isSystemConfig(l.file) {
				dir = "/etc/ssh"
			}
			p = filepath.Join(dir, p)
		}
		files, err := filepath.Glob(p) // in lexical order, as ssh_config(5) asks
		if err != nil {
			return fmt.Errorf("pattern %q: %w", p, err)
		}
		for _, f := range files {
			lines, err := readConfigFile(home, f, true, depth+1)
			if err != nil {
				return err
			}
			l.include = append(l.include, lines)
		}
	}
	return nil
}

// setting is one value of a keyword and its place in the files, or what stands
// for one that a caller gave.
type setting struct {
	value string
	args  []string
	place string
}

// said is what the files say about a host, by keyword in lower case. Only
// keywords that may be given many times have more than one setting.
type said map[string][]setting

// first returns the setting of a keyword; none is empty.
func (s said) first(keyword string) setting {
	if v := s[strings.ToLower(keyword)]; len(v) > 0 {
		return v[0]
	}
	return setting{}
}

// value returns the first value of a keyword, or "".
func (s said) value(keyword string) string { return s.first(keyword).value }

// flag reads a keyword of yes and no.
func (s said) flag(keyword string) (bool, error) {
	v := s.first(keyword)
	switch strings.ToLower(v.value) {
	case "", "no", "false":
		return false, nil
	case "yes", "true":
		return true, nil
	}
	return false, fmt.Errorf("%s: %s %q is neither yes nor no", v.place, keyword, v.value)
}

// manyValues are the keywords that may be given many times.
var manyValues = []string{"identityfile", "certificatefile"}

// add takes a line's value, if the keyword has none yet or may have many.
func (s said) add(l *configLine) {
	keyword := l.keyword
	if keyword == "proxycommand" { // one of the two, whichever comes first
		if _, ok := s["proxyjump"]; ok {
			return
		}
	}
	if _, ok := s["proxycommand"]; ok && keyword == "proxyjump" {
		return
	}
	value := setting{l.args[0], l.args, l.place()}
	switch there := s[keyword]; {
	case len(there) == 0,
		slices.Contains(manyValues, keyword) && !slices.ContainsFunc(there, func(t setting) bool { return t.value == value.value }):
		s[keyword] = append(there, value)
	}
}

// expandHome replaces a leading ~ by the home directory, and ~user by that
// user's.
func expandHome(path, home string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	name, rest, slash := strings.Cut(path[1:], "/")
	if slash {
		rest = "/" + rest
	}
	if name == "" {
		return home + rest, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return u.HomeDir + rest, nil
}
