package read

import (
	"fmt"
	"slices"
	"strings"
)

// call is one command with its options by their long names.
type call struct {
	line      int
	raw       string
	command   string
	options   map[string]string // of those that take none: empty
	arguments []string
}

// option is an option of ipvsadm(8).
type option struct {
	long     string
	short    byte
	argument argument
	command  bool
}

type argument int

const (
	none argument = iota
	needed
	optional
)

func options() []option {
	return []option{
		{"add-service", 'A', none, true}, {"edit-service", 'E', none, true}, {"delete-service", 'D', none, true},
		{"add-server", 'a', none, true}, {"edit-server", 'e', none, true}, {"delete-server", 'd', none, true},
		{"clear", 'C', none, true}, {"list", 'L', none, true}, {"list", 'l', none, true}, {"zero", 'Z', none, true},
		{"restore", 'R', none, true}, {"save", 'S', none, true}, {"set", 0, none, true},
		{"start-daemon", 0, needed, true}, {"stop-daemon", 0, needed, true},
		{"tcp-service", 't', needed, false}, {"udp-service", 'u', needed, false}, {"sctp-service", 0, needed, false},
		{"fwmark-service", 'f', needed, false}, {"ipv6", '6', none, false},
		{"scheduler", 's', needed, false}, {"persistent", 'p', optional, false}, {"netmask", 'M', needed, false},
		{"ops", 'o', none, false}, {"pe", 0, needed, false}, {"sched-flags", 'b', needed, false},
		{"real-server", 'r', needed, false}, {"gatewaying", 'g', none, false}, {"ipip", 'i', none, false},
		{"masquerading", 'm', none, false}, {"weight", 'w', needed, false},
		{"u-threshold", 'x', needed, false}, {"l-threshold", 'y', needed, false},
		{"tun-type", 0, needed, false}, {"tun-port", 0, needed, false}, {"tun-nocsum", 0, none, false},
		{"tun-csum", 0, none, false}, {"tun-remcsum", 0, none, false},
		{"mcast-interface", 0, needed, false}, {"syncid", 0, needed, false}, {"sync-maxlen", 0, needed, false},
		{"mcast-group", 0, needed, false}, {"mcast-port", 0, needed, false}, {"mcast-ttl", 0, needed, false},
		{"numeric", 'n', none, false}, {"exact", 'X', none, false}, {"connection", 'c', none, false},
		{"timeout", 0, none, false}, {"daemon", 0, none, false}, {"stats", 0, none, false}, {"rate", 0, none, false},
		{"thresholds", 0, none, false}, {"persistent-conn", 0, none, false}, {"tun-info", 0, none, false},
		{"sort", 0, none, false}, {"nosort", 0, none, false},
	}
}

// split reads the words of a command as popt(3) does: -At is -A -t, and -w5 is
// -w 5.
func (d *dump) split(c *call, words []string) bool {
	known := d.known
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		if len(word) < 2 || word[0] != '-' {
			c.arguments = append(c.arguments, word)
			continue
		}
		if long, isLong := strings.CutPrefix(word, "--"); isLong {
			name, value, hasValue := strings.Cut(long, "=")
			i := slices.IndexFunc(known, func(o option) bool { return o.long == name })
			if i < 0 {
				return d.problem(c.line, fmt.Sprintf("unknown option %q", word), "want those of ipvsadm(8)")
			}
			if hasValue && known[i].argument == none {
				return d.problem(c.line, "--"+name+" takes no value", "leave it out")
			}
			var ok bool
			if words, ok = d.option(c, known[i], value, hasValue, words); !ok {
				return false
			}
			continue
		}
		for letters := word[1:]; letters != ""; {
			i := slices.IndexFunc(known, func(o option) bool { return o.short == letters[0] })
			if i < 0 {
				return d.problem(c.line, fmt.Sprintf("unknown option %q in %q", "-"+letters[:1], word), "want those of ipvsadm(8)")
			}
			rest := letters[1:]
			letters = rest
			if known[i].argument != none {
				letters = ""
				rest = strings.TrimPrefix(rest, "=")
			} else {
				rest = ""
			}
			var ok bool
			if words, ok = d.option(c, known[i], rest, rest != "", words); !ok {
				return false
			}
		}
	}
	switch {
	case c.command == "":
		return d.problem(c.line, "no command of ipvsadm", "want a line such as -A -t 192.0.2.1:80 -s rr")
	case c.command != "set" && len(c.arguments) > 0:
		return d.problem(c.line, fmt.Sprintf("unexpected argument %q", c.arguments[0]), "")
	}
	return true
}

// option keeps one option, and returns the words that are not its value.
func (d *dump) option(c *call, o option, value string, hasValue bool, words []string) ([]string, bool) {
	if !hasValue && o.argument != none && len(words) > 0 && (o.argument == needed || !strings.HasPrefix(words[0], "-")) {
		value, hasValue, words = words[0], true, words[1:]
	}
	if o.argument == needed && !hasValue {
		return words, d.problem(c.line, "--"+o.long+" without a value", "")
	}
	if o.command {
		if c.command != "" {
			return words, d.problem(c.line, fmt.Sprintf("two commands, --%s and --%s", c.command, o.long), "want one a line")
		}
		c.command = o.long
	}
	if _, there := c.options[o.long]; there {
		return words, d.problem(c.line, "--"+o.long+" again", "want each option once")
	}
	c.options[o.long] = value
	return words, true
}

// only reports options that are not the command's.
func (d *dump) only(c *call, allowed ...string) bool {
	allowed = append(allowed, c.command, "tcp-service", "udp-service", "sctp-service", "fwmark-service", "numeric", "exact")
	ok := true
	for _, o := range d.known {
		if _, there := c.options[o.long]; there && !slices.Contains(allowed, o.long) {
			ok = d.problem(c.line, "--"+o.long+" is not an option of --"+c.command, "leave it out")
		}
	}
	return ok
}
