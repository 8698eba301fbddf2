package read

import "strings"

// What is not carried over is told with its words, so that it is recognised.
// Its line tells the rest: what could be a secret is left out of the words.
const (
	mask = "****" // stands in for a secret
	more = "…"    // stands in for what is not looked into
)

// secretName reports whether a value is a secret by the name it has.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"pass", "pwd", "secret", "token", "credential", "authorization", "bearer", "cookie", "header", "community"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return name == "pw" || name == "auth" || name == "login" || strings.HasSuffix(name, "key")
}

// runs reports whether a keyword's value is a command line.
func runs(keyword string) bool {
	for _, part := range []string{"script", "notify", "command", "callback"} {
		if strings.Contains(keyword, part) {
			return true
		}
	}
	switch keyword {
	case "misc_path", "quorum_up", "quorum_down", "process", "execute":
		return true
	}
	return false
}

// masked joins a keyword and its values, and leaves out what could be a secret:
// what follows a name of one, the arguments of a command, and of a URL the user
// and the query.
func masked(words []string) string {
	var out []string
	for i, word := range words {
		word = location(word)
		name, _, assigned := cutAny(word, "=:")
		first, rest, _ := strings.Cut(strings.TrimSpace(word), " ")
		switch {
		case i > 0 && runs(words[0]):
			return joined(out, program(first), rest != "" || i+1 < len(words))
		case i > 0 && isOption(word):
			return joined(out, more, false)
		case secretName(name) && assigned:
			return joined(out, word[:len(name)+1]+mask, false)
		case secretName(name) && i+1 < len(words):
			return joined(out, word+" "+mask, false)
		case rest != "": // in quotes: perhaps a command as well
			return joined(out, program(first), true)
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func joined(words []string, last string, goesOn bool) string {
	if goesOn {
		last += " " + more
	}
	return strings.Join(append(words, last), " ")
}

// isOption tells -p and --password from a negative number.
func isOption(word string) bool {
	return len(word) > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9')
}

// program is the first word of a command; a shell takes NAME=VALUE there.
func program(word string) string {
	word = strings.Trim(word, `"'`)
	if name, _, assigned := cutAny(word, "="); assigned {
		return name + "=" + mask
	}
	return location(word)
}

// location is a word without what only its owner should know of a URL.
func location(word string) string {
	if path, query, found := strings.Cut(word, "?"); found && query != "" {
		word = path + "?" + more
	}
	scheme, rest, found := strings.Cut(word, "//")
	if !found {
		return word
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = mask + host[at:]
	}
	if hasPath {
		host += "/" + path
	}
	return scheme + "//" + host
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// locations is a message with the words it quotes.
func locations(text string) string {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = location(word)
	}
	return strings.Join(words, " ")
}
