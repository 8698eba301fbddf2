package importer

import (
	"fmt"
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"
)

// mapping is a YAML mapping in the making.
type mapping struct {
	pairs []*yaml.Node
	flow  bool // on one line
}

// put adds a key; a nil value adds nothing.
func (m *mapping) put(key string, value *yaml.Node) *mapping {
	if value != nil {
		m.pairs = append(m.pairs, plain(key), value)
	}
	return m
}

// node is nil for a mapping without keys: none of lvsform's may be empty.
func (m *mapping) node() *yaml.Node {
	if len(m.pairs) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: m.pairs}
	if m.flow {
		n.Style = yaml.FlowStyle
	}
	return n
}

func plain(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, ":") {
		n.Style = yaml.SingleQuotedStyle // an IPv6 address is easily misread
	}
	return n
}

// word is text, nil when there is none.
func word(s string) *yaml.Node {
	if s == "" {
		return nil
	}
	return plain(s)
}

// wordUnless is text, nil when it is the default.
func wordUnless[T ~string](s, preset T) *yaml.Node {
	if s == preset {
		return nil
	}
	return word(string(s))
}

func number[T ~uint8 | ~uint16 | ~uint32 | ~int](n T) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(n)}
}

func numberUnless[T ~uint8 | ~uint16 | ~uint32 | ~int](n, preset T) *yaml.Node {
	if n == preset {
		return nil
	}
	return number(n)
}

// yes is true, and nil for false, which every flag has as its default.
func yes(b bool) *yaml.Node {
	if !b {
		return nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"}
}

// address is nil for the zero one.
func address(a netip.Addr) *yaml.Node {
	if !a.IsValid() {
		return nil
	}
	return plain(a.String())
}

// list is nil when there is nothing in it.
func list[T any](items []T, node func(T) *yaml.Node, flow bool) *yaml.Node {
	if len(items) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if flow {
		n.Style = yaml.FlowStyle
	}
	for _, i := range items {
		n.Content = append(n.Content, node(i))
	}
	return n
}

// oneOrList writes a single item as such.
func oneOrList[T any](items []T, node func(T) *yaml.Node) *yaml.Node {
	if len(items) == 1 {
		return node(items[0])
	}
	return list(items, node, true)
}
