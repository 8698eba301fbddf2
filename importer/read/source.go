package read

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lvsform/lvsform/inventory"
)

// A source that makes more than these of its few bytes is refused.
const (
	maxRange   = 4096    // addresses of one range
	maxServers = 1 << 20 // services and real servers of one source
	maxTold    = 1 << 16 // problems, or things left
)

// source is a text while it is read: what it tells, what an inventory does not
// have, and what is wrong.
type source struct {
	file     string
	found    Found
	problems []placed
	count    int                // lines that were begun
	services map[serviceKey]int // the line of each
	names    map[string]bool
	ports    map[string]uint16 // servicePorts, once there is a name
	told     map[inventory.Problem]bool
	leftOut  map[Left]bool
	servers  int
}

// placed is a problem with its line, counted through all files.
type placed struct {
	inventory.Problem
	line int
}

func newSource(file string) *source {
	return &source{
		file: file, found: Found{Source: file},
		services: map[serviceKey]int{}, names: map[string]bool{},
		told: map[inventory.Problem]bool{}, leftOut: map[Left]bool{},
	}
}

// lines cuts the source into lines, or reports that it is none that can be.
func (t *source) lines(data []byte) []string {
	if len(data) > MaxSize {
		t.problem(t.count+1, fmt.Sprintf("the file is longer than %d MiB", MaxSize>>20), "import it in parts")
		return nil
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		t.problem(t.count+1+bytes.Count(data[:i], []byte("\n")), "a NUL byte: this is not a text file", "")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, "\r")
	}
	return lines
}

// next begins the next line, and returns its number. Where files are included,
// lines are counted as if they stood in one file.
func (t *source) next() int {
	t.count++
	return t.count
}

// enter begins a file that a line includes. What it returns ends the file.
func (t *source) enter(file string, line int) (end func()) {
	back := t.found.at(line)
	t.found.parts = append(t.found.parts, part{from: t.count + 1, at: place{file, 1}})
	return func() {
		t.found.parts = append(t.found.parts, part{from: t.count + 1, at: place{back.file, back.line + 1}})
	}
}

// ref names a line where another one is told of.
func (t *source) ref(line, from int) string {
	at := t.found.at(line)
	s := fmt.Sprintf("line %d", at.line)
	if at.file != t.found.at(from).file {
		s += " of " + cmp.Or(at.file, t.file)
	}
	return s
}

// done returns what was found, or everything that is wrong.
func (t *source) done() (*Found, error) {
	if len(t.problems) > 0 {
		slices.SortStableFunc(t.problems, func(a, b placed) int { return cmp.Compare(a.line, b.line) })
		var all inventory.Problems
		for _, p := range t.problems {
			all = append(all, p.Problem)
		}
		return nil, all
	}
	SortLeft(t.found.Left)
	return &t.found, nil
}

// problem reports what is wrong. It returns false, which is what a reader of a
// value with a mistake returns.
func (t *source) problem(line int, what, fix string) bool {
	at := t.found.at(line)
	p := inventory.Problem{Pos: inventory.Pos{File: cmp.Or(at.file, t.file), Line: at.line}, What: tidy(locations(what)), Fix: tidy(fix)}
	switch {
	case t.told[p]: // of another address of a range
	case len(t.problems) < maxTold:
		t.told[p] = true
		t.problems = append(t.problems, placed{p, line})
	case len(t.problems) == maxTold:
		p.What, p.Fix = "more mistakes than are listed", "is this the right file?"
		t.problems = append(t.problems, placed{p, line})
	}
	return false
}

// left lists what is not carried over; the text is one without secrets.
func (t *source) left(line int, text, why string) {
	if len(t.found.Left) == maxTold {
		if t.problems == nil {
			t.problem(line, "more that an inventory does not have than is listed", "is this the right file?")
		}
		return
	}
	l := t.found.Leave(line, tidy(text), why)
	if t.leftOut[l] { // of another address of a range
		return
	}
	t.leftOut[l] = true
	t.found.Left = append(t.found.Left, l)
}

// tidy makes one short line of text that a terminal can be trusted with.
func tidy(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// plain makes a name that an inventory takes of what people call a thing: no
// spaces, and only once. It is empty when nothing is left.
func (t *source) plain(name string) string {
	const most = 60
	name = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '_') {
			return r
		}
		return '-'
	}, name)
	name = strings.TrimLeft(name, "._-")
	name = strings.TrimRight(name[:min(len(name), most)], "._-")
	if name == "" || t.names[name] {
		return ""
	}
	t.names[name] = true
	return name
}

// number reads a decimal number.
func (t *source) number(line int, noun, s string, least, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, t.problem(line, fmt.Sprintf("%s %q is not one", noun, s), fmt.Sprintf("want %d to %d", least, most))
	}
	return n, true
}

// port reads a port; least is 1 where 0 is none.
func (t *source) port(line int, s string, least uint64) (uint16, bool) {
	n, ok := t.number(line, "port", s, least, math.MaxUint16)
	return uint16(n), ok
}

// weight reads a weight. The kernel takes greater ones, an inventory does not.
func (t *source) weight(line int, s string, least uint64) (uint32, bool) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n > math.MaxUint16 {
		return 0, t.problem(line, fmt.Sprintf("weight %d is more than an inventory has, %d", n, math.MaxUint16), "make all weights of the service smaller")
	}
	n, ok := t.number(line, "weight", s, least, math.MaxUint16)
	return uint32(n), ok
}

// threshold reads a limit of connections.
func (t *source) threshold(line int, noun, s string) (uint32, bool) {
	n, ok := t.number(line, noun, s, 0, math.MaxInt32)
	return uint32(n), ok
}

// maxTimeout is the longest time of ipvsadm(8) and keepalived, 31 days in
// seconds.
const maxTimeout = 31 * 24 * 60 * 60

func (t *source) timeout(line int, noun, s string, least uint64) (uint32, bool) {
	n, ok := t.number(line, noun, s, least, maxTimeout)
	return uint32(n), ok
}

// timeouts keeps the timeouts of IPVS; 0 is one that the source leaves as it is.
func (t *source) timeouts(line int, raw string, to inventory.Timeouts) {
	if to.TCP == 0 || to.TCPFin == 0 || to.UDP == 0 {
		t.left(line, raw, "an inventory has all three timeouts or none, and some are left as they are here")
		return
	}
	t.found.Director.Timeouts = &to
}

// address reads an address that a service or a real server can have; one of
// the loopback network is for the caller to judge.
func (t *source) address(line int, noun, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, t.problem(line, fmt.Sprintf("%s %q is not an address", noun, s), addressFix(s))
	}
	if what, fix := inventory.RefuseAddress(a); what != "" {
		return a, t.problem(line, noun+" "+what, fix)
	}
	return a, true
}

func addressFix(s string) string {
	switch {
	case strings.Contains(s, "$"):
		return "the definition of this parameter is not in the file: put the address in its place"
	case strings.ContainsFunc(s, func(r rune) bool { return r >= 'g' && r <= 'z' || r >= 'G' && r <= 'Z' }):
		return "host names are not looked up: write the address"
	default:
		return "want one such as 192.0.2.7 or 2001:db8::7"
	}
}

// addresses lists those from first to last.
func (t *source) addresses(line int, first, last netip.Addr) ([]netip.Addr, bool) {
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return nil, t.problem(line, fmt.Sprintf("%s to %s is not a range", first, last), "want the lower address first, and both of one family")
	}
	var all []netip.Addr
	for a := first; len(all) < maxRange; a = a.Next() {
		all = append(all, a)
		if a == last {
			return all, true
		}
	}
	return nil, t.problem(line, fmt.Sprintf("%s to %s is more than %d addresses", first, last, maxRange), "write a shorter range")
}

// netmask reads how many bits of a client's address count: a netmask for IPv4,
// a prefix length for IPv6.
func (t *source) netmask(line int, s string, of *Service) (int, bool) {
	if of.bits() != netip.IPv4Unspecified().BitLen() {
		n, ok := t.number(line, "prefix length", s, 1, 128)
		return int(n), ok
	}
	m, err := netip.ParseAddr(s)
	if err != nil || !m.Is4() {
		return 0, t.problem(line, fmt.Sprintf("%q is not a netmask", s), "want one such as 255.255.255.0")
	}
	n := binary.BigEndian.Uint32(m.AsSlice())
	ones := bits.LeadingZeros32(^n)
	if ones == 0 || n<<ones != 0 {
		// The kernel would take any.
		return 0, t.problem(line, fmt.Sprintf("%s is not the netmask of a prefix", s), "an inventory has prefixes only, such as 255.255.255.0")
	}
	return ones, true
}

// oneOf reports a word that is none of those known.
func (t *source) oneOf(line int, noun, s string, known []string) bool {
	return slices.Contains(known, s) ||
		t.problem(line, fmt.Sprintf("unknown %s %q", noun, s), "known: "+strings.Join(known, ", "))
}
