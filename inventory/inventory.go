// Package inventory reads an LVS topology from the YAML file its user writes,
// and tells every mistake in it by line, column and YAML path.
//
// The document is described once, by tables: the one in document.go names
// those of the other files, down to each value. Reading, the JSON Schema and the key tables of
// docs/inventory.md all come from them.
package inventory

import (
	"fmt"
	"net/netip"

	"gopkg.in/yaml.v3"
)

// MaxSize is the longest file in bytes that is read: room for some ten
// thousand hosts.
const MaxSize = 1 << 20

// Parse reads an inventory; file is its name in messages. The error is
// Problems: every mistake, in the order of the file.
func Parse(file string, data []byte) (*Inventory, error) {
	root, problems := readYAML(file, data)
	if root == nil {
		return nil, problems
	}
	d := &decoder{
		inv:       &Inventory{File: file, Source: data, positions: map[string]Pos{}},
		problems:  problems,
		addresses: map[netip.Addr]holder{},
		unique:    map[string]string{},
		aliased:   map[string]Pos{},
	}
	d.read(document(d.inv), value{node: root, at: Pos{file, root.Line, root.Column}})
	if len(d.problems) > 0 {
		return nil, d.sorted()
	}
	return d.inv, nil
}

// Keys lists the keys of the document.
func Keys() []string {
	var out []string
	for _, f := range document(&Inventory{}).object.fields {
		out = append(out, f.key)
	}
	return out
}

// WithoutComments returns the text of an inventory without its comments, which
// may hold what is not meant for others.
func WithoutComments(text []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	dropComments(&doc)
	return yaml.Marshal(&doc)
}

func dropComments(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		dropComments(c)
	}
}

// tooLong is the problem of a file over MaxSize.
func tooLong(file string) Problems {
	return Problems{{
		Pos:  Pos{File: file},
		What: fmt.Sprintf("the file is longer than %d KiB", MaxSize>>10),
		Fix:  "use one inventory for each topology",
	}}
}
