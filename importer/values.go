package importer

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// values are the parts that an inventory can do without, by the YAML path each
// is written at. A problem of inventory.Parse names such a path.
type values map[string]any

// note keeps a value that is written as this node. It returns the node; nil is
// not written.
func (v values) note(path string, value any, n *yaml.Node) *yaml.Node {
	if n != nil {
		v[path] = value
	}
	return n
}

// noteEach writes a list at a path and keeps each of its items.
func noteEach[T any](v values, path string, items []T, node func(path string, item T) *yaml.Node, flow bool) *yaml.Node {
	i := -1
	return list(items, func(item T) *yaml.Node {
		i++
		place := fmt.Sprintf("%s[%d]", path, i)
		return v.note(place, item, node(place, item))
	}, flow)
}

// around is the smallest value that a path lies in. Nil: there is none.
func (v values) around(path string) any {
	for path != "" {
		if value := v[path]; value != nil {
			return value
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return nil
}
