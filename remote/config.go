package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// sshConfig is what ssh_config(5) files say, the first file first.
type sshConfig struct {
	parsed *ssh_config.Config
}

// readConfig reads the files; one that does not exist is no error.
//
// Include is followed here and not by the library, which would give up a whole
// file for one section it does not know. Of Match, "all" and "host" are
// understood; a section with any other criterion is left out, as its condition
// (a command to run, the final pass) cannot be decided here.
func readConfig(home string, files []string) (*sshConfig, error) {
	t := configText{home: home}
	for _, f := range files {
		t.section("Host *")
		if err := t.file(f, 0); err != nil {
			return nil, err
		}
	}
	parsed, err := ssh_config.DecodeBytes([]byte(t.text.String()))
	if err != nil {
		return nil, fmt.Errorf("ssh_config: %w", err)
	}
	return &sshConfig{parsed}, nil
}

// of returns what the files say about a host.
func (c *sshConfig) of(host string) said {
	s := make(said)
	for _, section := range c.parsed.Hosts {
		if !section.Matches(host) {
			continue
		}
		for _, node := range section.Nodes {
			if kv, ok := node.(*ssh_config.KV); ok {
				k := strings.ToLower(kv.Key)
				s[k] = append(s[k], kv.Value)
			}
		}
	}
	return s
}

// said is every value of every keyword, in lower case, for one host.
type said map[string][]string

// first returns the value that counts for most keywords, or "".
func (s said) first(keyword string) string {
	if v := s[strings.ToLower(keyword)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// all returns every value, for the keywords that may be given many times.
func (s said) all(keyword string) []string { return s[strings.ToLower(keyword)] }

// configText collects the lines of several files into one.
type configText struct {
	home    string
	text    strings.Builder
	current string // the Host or Match line in force
}

// maxIncludeDepth is OpenSSH's own limit.
const maxIncludeDepth = 16

func (t *configText) section(line string) {
	t.current = line
	t.text.WriteString(line + "\n")
}

func (t *configText) file(path string, depth int) error {
	if depth > maxIncludeDepth {
		return fmt.Errorf("%s: Include goes deeper than %d files", path, maxIncludeDepth)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ssh_config: %w", err)
	}
	for i, line := range strings.Split(string(data), "\n") {
		if err := t.line(path, strings.TrimSpace(line), depth); err != nil {
			return fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
	}
	return nil
}

func (t *configText) line(path, line string, depth int) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	cut := strings.IndexAny(line, " \t=")
	if cut < 0 {
		return fmt.Errorf("keyword %q has no value", line)
	}
	args := strings.Fields(strings.TrimLeft(line[cut:], " \t="))
	switch strings.ToLower(line[:cut]) {
	case "include":
		return t.include(path, args, depth)
	case "match":
		if criterion := strings.ToLower(strings.Join(args[:min(1, len(args))], "")); criterion != "all" && criterion != "host" {
			t.section("Host !*") // matches no host
			return nil
		}
		t.section(line)
	case "host":
		t.section(line)
	default:
		t.text.WriteString(line + "\n")
	}
	// One line at a time, so that a mistake has its place.
	_, err := ssh_config.DecodeBytes([]byte(line + "\n"))
	return err
}

func (t *configText) include(from string, patterns []string, depth int) error {
	section := t.current
	for _, p := range patterns {
		p = expandHome(strings.Trim(p, `"`), t.home)
		if !filepath.IsAbs(p) {
			dir := filepath.Join(t.home, ".ssh")
			if strings.HasPrefix(from, "/etc/ssh/") {
				dir = "/etc/ssh"
			}
			p = filepath.Join(dir, p)
		}
		files, err := filepath.Glob(p) // in lexical order, as ssh_config(5) asks
		if err != nil {
			return fmt.Errorf("pattern %q: %w", p, err)
		}
		for _, f := range files {
			if err := t.file(f, depth+1); err != nil {
				return err
			}
			if t.current != section {
				t.section(section)
			}
		}
	}
	return nil
}

// expandHome replaces a leading ~ by the home directory.
func expandHome(path, home string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return home + path[1:]
	}
	return path
}

// fileList splits the value of UserKnownHostsFile or GlobalKnownHostsFile,
// which may name several files, or none.
func fileList(value string, expand func(string) string) []string {
	var files []string
	for _, f := range strings.Fields(value) {
		if strings.EqualFold(f, "none") {
			continue
		}
		files = append(files, expand(strings.Trim(f, `"`)))
	}
	return files
}
