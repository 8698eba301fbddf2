package inventory

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder reads the document into inv, part by part in the order of the
// tables: what one part names is known by then, wherever it stands in the file.
type decoder struct {
	inv      *Inventory
	problems Problems

	networks  map[string]*Network   // nil when their mapping cannot be read
	hosts     map[string]*Host      // likewise; also hosts with mistakes of their own
	addresses map[netip.Addr]holder // of every NIC
	unique    map[string]string     // what must be one of a kind -> path of the first
	aliased   map[string]Pos        // path of text written elsewhere -> place of the alias
	patterns  map[string]*regexp.Regexp
}

// holder is the NIC address that has an address.
type holder struct {
	host *Host
	path string
}

// value is a node in its place.
type value struct {
	node *yaml.Node // never an alias
	path string
	at   Pos // text: where it is written; a list or mapping: where its key is
}

// read reads a value. It returns false when there was a mistake in it, which
// is reported.
func (d *decoder) read(f form, v value) bool {
	if _, seen := d.inv.positions[v.path]; !seen {
		d.inv.positions[v.path] = v.at
	}
	return f.read(d, v)
}

// entry is a key of a mapping with its value.
type entry struct {
	key  *yaml.Node
	name string
	v    value
}

// entries returns what is in a mapping: its own keys as written, then those
// that merge keys (<<) add. Only a key that comes again is reported here.
func (d *decoder) entries(v value, noun string) ([]entry, bool) {
	ok := true
	own := map[string]*yaml.Node{}
	var out, merged []entry
	for i := 0; i < len(v.node.Content); i += 2 {
		key, node := target(v.node.Content[i]), v.node.Content[i+1]
		at := Pos{v.at.File, key.Line, key.Column}
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
			ok = d.report(at, v.path, "a key that is "+kindOf(key), "write the key as text")
			continue
		}
		sub := d.child(v.path, key.Value, at, node)
		if first, again := own[key.Value]; again {
			ok = d.report(at, sub.path, "duplicate "+noun, fmt.Sprintf("the first is on line %d", first.Line))
			if noun == "key" {
				continue // which of the two is meant cannot be known
			}
		}
		own[key.Value] = key
		if key.ShortTag() != "!!merge" {
			out = append(out, entry{key, key.Value, sub})
			continue
		}
		more, fine := d.mergedEntries(v, sub, noun)
		merged, ok = append(merged, more...), ok && fine
	}
	for _, e := range merged {
		if _, have := own[e.name]; !have {
			own[e.name] = e.key
			out = append(out, e)
		}
	}
	return out, ok
}

// mergedEntries returns what the value of a merge key adds to the mapping v.
func (d *decoder) mergedEntries(v, merge value, noun string) ([]entry, bool) {
	sources := []*yaml.Node{merge.node}
	if merge.node.Kind == yaml.SequenceNode {
		sources = merge.node.Content
	}
	var out []entry
	ok := true
	for _, source := range sources {
		source = target(source)
		if source.Kind != yaml.MappingNode {
			ok = d.problem(merge, "merges "+kindOf(source), "want a mapping, or a list of mappings")
			continue
		}
		more, fine := d.entries(value{source, v.path, v.at}, noun)
		out, ok = append(out, more...), ok && fine
	}
	return out, ok
}

// child is the value of a key.
func (d *decoder) child(parent, key string, at Pos, node *yaml.Node) value {
	v := value{node: target(node), path: join(parent, key), at: at}
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() != "!!null" {
		v.at = Pos{at.File, v.node.Line, v.node.Column}
		if node != v.node {
			d.aliased[v.path] = Pos{at.File, node.Line, node.Column}
		}
	}
	return v
}

// item is an item of a list.
func (d *decoder) item(list value, i int) value {
	node := list.node.Content[i]
	v := value{node: target(node), path: fmt.Sprintf("%s[%d]", list.path, i)}
	v.at = Pos{list.at.File, node.Line, node.Column}
	if v.node.Kind == yaml.ScalarNode && node != v.node {
		d.aliased[v.path] = v.at
		v.at = Pos{list.at.File, v.node.Line, v.node.Column}
	}
	return v
}

func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func join(parent, key string) string {
	if quoted := strconv.Quote(key); key == "" || strings.ContainsAny(key, " []") || quoted[1:len(quoted)-1] != key {
		key = quoted
	}
	if parent == "" {
		return key
	}
	return parent + "." + key
}

// kindOf says in words what a node is.
func kindOf(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "a mapping"
	case "!!null":
		return "empty"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	case "!!str", "!!timestamp":
		return "the text " + strconv.Quote(n.Value)
	default:
		return "tagged " + strconv.Quote(tag)
	}
}

// written reports whether there is a value at the path.
func (d *decoder) written(path string) bool {
	_, there := d.inv.positions[path]
	return there
}

// problemAt reports a mistake in the value at a path.
func (d *decoder) problemAt(path, what, fix string) bool {
	return d.report(d.inv.At(path), path, what, fix)
}

// problem reports a mistake in a value, and returns false.
func (d *decoder) problem(v value, what, fix string) bool {
	return d.report(v.at, v.path, what, fix)
}

func (d *decoder) report(at Pos, path, what, fix string) bool {
	d.problems = append(d.problems, Problem{Pos: at, Path: path, What: what, Fix: fix})
	return false
}

// again reports an item that a list has already; fix says what can be there.
func (d *decoder) again(v value, what, fix string) bool {
	if place, ok := d.aliased[v.path]; ok {
		v.at = place
	}
	return d.problem(v, what, fix)
}

// repeated reports what is there a second time. Where an alias repeats the
// first, the place is that of the alias.
func (d *decoder) repeated(path, first, what string) bool {
	at, firstAt := d.inv.At(path), d.inv.At(first)
	fix := fmt.Sprintf("the first is %s on line %d", first, firstAt.Line)
	for own := path; at == firstAt && own != "" && first != ""; {
		if place, ok := d.aliased[own]; ok {
			at = place
			break
		}
		own, first = parent(own), parent(first)
		at, firstAt = d.inv.At(own), d.inv.At(first)
	}
	return d.report(at, path, what, fix)
}

func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// sorted returns the problems in the order of the file. A mistake that aliases
// show in several places is written once, and told once.
func (d *decoder) sorted() Problems {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Column - b.Pos.Column
	})
	type mistake struct {
		at   Pos
		what string
	}
	told := map[mistake]bool{}
	return slices.DeleteFunc(d.problems, func(p Problem) bool {
		m := mistake{p.Pos, p.What}
		again := told[m]
		told[m] = true
		return again
	})
}

// matches reports whether the whole text fits the pattern.
func (d *decoder) matches(pattern, text string) bool {
	if d.patterns == nil {
		d.patterns = map[string]*regexp.Regexp{}
	}
	re := d.patterns[pattern]
	if re == nil {
		re = regexp.MustCompile(pattern)
		d.patterns[pattern] = re
	}
	return re.MatchString(text)
}
