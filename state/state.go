// Package state is the vocabulary: everything one host can be told, as plain
// comparable values. Desired and observed state are the same type, so a
// difference is plain inequality. The package does no I/O and imports nothing
// of lvsform's.
//
// Each kind of item has a file of its own; package kernel has a file of the
// same name that observes it and carries out its changes. What holds for a kind
// as a whole is its row in kinds.go.
package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Item is one thing a host can be told. Implementations are comparable struct
// values: two items are the same exactly when == says so.
type Item interface {
	Kind() Kind
	// Key is the item's identity among its kind on one host, in the words of
	// ipvsadm, iproute2 or sysctl. Two items with equal kind and key are
	// versions of one thing.
	Key() string
	// Value is what may vary while the key stays, in the same words; empty
	// when the key says it all.
	Value() string
}

// ID identifies an item on a host.
type ID struct {
	Kind Kind   `json:"kind"`
	Key  string `json:"key"` // tells the host's items of that kind apart
}

func (id ID) String() string { return string(id.Kind) + " " + id.Key }

// IDOf returns the identity of an item.
func IDOf(i Item) ID { return ID{i.Kind(), i.Key()} }

// Text is an item as people read it: kind, key and value.
func Text(i Item) string {
	s := IDOf(i).String()
	if v := i.Value(); v != "" {
		s += " " + v
	}
	return s
}

// Moved says how an item is not as it was when a plan was made; nil: not there.
func Moved(was, is Item) string {
	switch {
	case was == nil:
		return Text(is) + " was absent and is there now"
	case is == nil:
		return Text(was) + " was there and is gone now"
	default:
		return Text(was) + " is now " + is.Value()
	}
}

// Host is the state of one host, desired or observed: at most one item per ID.
type Host map[ID]Item

// Put sets an item, replacing the one with the same ID.
func (h Host) Put(i Item) { h[IDOf(i)] = i }

// Has reports whether exactly this item is there.
func (h Host) Has(i Item) bool { return h[IDOf(i)] == i }

// Items returns the items in the order of Compare.
func (h Host) Items() []Item {
	return slices.SortedFunc(maps.Values(h), func(a, b Item) int { return Compare(IDOf(a), IDOf(b)) })
}

// Of returns the items of one kind, in the order of Compare. The type
// parameter must be the item type of that kind.
func Of[T Item](h Host) []T {
	var out []T
	for _, i := range h {
		if t, ok := i.(T); ok {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b T) int { return Compare(IDOf(a), IDOf(b)) })
	return out
}

// Compare orders identities: by kind in dependency order, then by key with
// runs of digits compared as numbers, so that 192.0.2.9 comes before 192.0.2.10.
func Compare(a, b ID) int {
	if a.Kind != b.Kind {
		return cmp.Compare(a.Kind.rank(), b.Kind.rank())
	}
	return CompareNatural(a.Key, b.Key)
}

// CompareNatural compares strings with runs of digits taken as numbers.
func CompareNatural(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if isDigit(a[i]) && isDigit(b[j]) {
			x, y := digits(a[i:]), digits(b[j:])
			i, j = i+len(x), j+len(y)
			x, y = trimZeros(x), trimZeros(y)
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			continue
		}
		if a[i] != b[j] {
			return cmp.Compare(a[i], b[j])
		}
		i, j = i+1, j+1
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(s string) string {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n]
}

func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// Op is what a change does to an item. Its value is the sign people see.
type Op string

// The operations.
const (
	Add    Op = "+" // the item was not there
	Modify Op = "~" // it was there with another value
	Remove Op = "-" // the item is not there afterwards
)

// Change is one step from a state to another: Before nil adds the item, After
// nil removes it, both set modify it. Before and After have the same ID.
type Change struct {
	Before, After Item
}

// ID is the identity of the item that changes.
func (c Change) ID() ID {
	if c.After != nil {
		return IDOf(c.After)
	}
	return IDOf(c.Before)
}

// Op tells which operation the change is.
func (c Change) Op() Op {
	switch {
	case c.Before == nil:
		return Add
	case c.After == nil:
		return Remove
	default:
		return Modify
	}
}

// String is the change as people read it: "~ sysctl net.ipv4.ip_forward 0 -> 1".
func (c Change) String() string {
	s := fmt.Sprintf("%s %s", c.Op(), c.ID())
	if v := c.Values(); v != "" {
		s += " " + v
	}
	return s
}

// Values is what the change does to the item's value: the value that is added,
// or "before -> after".
func (c Change) Values() string {
	switch c.Op() {
	case Add:
		return c.After.Value()
	case Modify:
		return c.Before.Value() + " -> " + c.After.Value()
	default:
		return ""
	}
}
