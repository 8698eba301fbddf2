package inventory

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// form is a way to write a value: its description and how it is read into
// the place it was made for.
type form struct {
	is     string  // completes "want ..."
	object *object // of a mapping with known keys

	// Reading needs neither of these, so they are made when asked for.
	schema func() jsonSchema
	parts  func() []form // what a list, a mapping or a choice is made of; may be nil

	// read returns false when there was a mistake, which it reported.
	read func(d *decoder, v value) bool
}

// jsonSchema is a JSON Schema as encoding/json writes it.
type jsonSchema = map[string]any

// object is a mapping with known keys.
type object struct {
	name     string // heads its table in the reference
	fields   []field
	oneOf    []string          // keys of which there must be exactly one
	together []string          // keys of which there must be all or none
	hints    map[string]string // likely wrong keys -> what to do instead
}

// field is one key of an object.
type field struct {
	key      string
	form     form
	required bool
	preset   any // the value when the key is not there, for the reference
	doc      string
}

// and adds a check that comes after reading, also when reading found mistakes.
func (f form) and(check func(d *decoder, v value, ok bool) bool) form {
	read := f.read
	f.read = func(d *decoder, v value) bool {
		ok := read(d, v)
		return check(d, v, ok) && ok
	}
	return f
}

func objectOf(o object) form {
	is := "a mapping"
	if required := o.required(); len(required) > 0 {
		is += " with " + strings.Join(required, ", ")
	}
	return form{
		is: is, object: &o, schema: o.schema,
		parts: func() []form {
			var parts []form
			for _, f := range o.fields {
				parts = append(parts, f.form)
			}
			return parts
		},
		read: func(d *decoder, v value) bool { return o.read(d, v, is) },
	}
}

func (o *object) required() []string {
	keys := []string{}
	for _, f := range o.fields {
		if f.required {
			keys = append(keys, f.key)
		}
	}
	return keys
}

func (o *object) schema() jsonSchema {
	properties := jsonSchema{}
	for _, f := range o.fields {
		property := f.form.schema()
		property["description"] = f.doc
		if f.preset != nil {
			property["default"] = f.preset
		}
		properties[f.key] = property
	}
	s := jsonSchema{
		"type": "object", "properties": properties, "required": o.required(), "additionalProperties": false,
	}
	if len(o.oneOf) > 0 {
		var choices []jsonSchema
		for _, key := range o.oneOf {
			choices = append(choices, jsonSchema{"required": []string{key}})
		}
		s["oneOf"] = choices
	}
	if len(o.together) > 0 {
		others := map[string][]string{}
		for _, key := range o.together {
			others[key] = o.together // with itself, which says nothing
		}
		s["dependentRequired"] = others
	}
	return s
}

func (o *object) read(d *decoder, v value, is string) bool {
	if v.node.ShortTag() != "!!map" {
		return d.problem(v, "is "+kindOf(v.node), "want "+is)
	}
	entries, ok := d.entries(v, "key")
	have := map[string]value{}
	for _, e := range entries {
		have[e.name] = e.v
		if !slices.ContainsFunc(o.fields, func(f field) bool { return f.key == e.name }) {
			at := Pos{v.at.File, e.key.Line, e.key.Column}
			ok = d.report(at, e.v.path, "unknown key", o.hint(e.name))
		}
	}
	for _, f := range o.fields {
		if sub, there := have[f.key]; there {
			ok = d.read(f.form, sub) && ok
		} else if f.required {
			ok = d.problem(v, fmt.Sprintf("%s is missing", f.key), "want "+f.form.is)
		}
	}
	return o.readGroups(d, v, have) && ok
}

// readGroups checks which keys are there against oneOf and together.
func (o *object) readGroups(d *decoder, v value, have map[string]value) bool {
	split := func(keys []string) (there, missing []string) {
		for _, key := range keys {
			if _, is := have[key]; is {
				there = append(there, key)
			} else {
				missing = append(missing, key)
			}
		}
		return there, missing
	}
	ok := true
	if there, _ := split(o.oneOf); len(there) > 1 {
		ok = d.problem(v, strings.Join(there, " and ")+" exclude each other", "want one of them")
	} else if len(there) == 0 && len(o.oneOf) > 0 {
		ok = d.problem(v, strings.Join(o.oneOf, " or ")+" is missing", "want one of them")
	}
	if there, missing := split(o.together); len(there) > 0 && len(missing) > 0 {
		ok = d.problem(have[there[0]], "stands without "+strings.Join(missing, " and "), "want both or neither")
	}
	return ok
}

func (o *object) hint(key string) string {
	if hint := o.hints[key]; hint != "" {
		return hint
	}
	var keys []string
	for _, f := range o.fields {
		keys = append(keys, f.key)
	}
	return suggest(key, keys, "known keys")
}

// later is a form that is made when it is needed: for large ones that most
// files do not have.
func later(is string, make func() form) form {
	return form{
		is:     is,
		schema: func() jsonSchema { return make().schema() },
		parts:  func() []form { return []form{make()} },
		read:   func(d *decoder, v value) bool { return make().read(d, v) },
	}
}

// listOf reads a list of one or more items.
func listOf[T any](is string, to *[]T, item func(to *T) form) form {
	return form{
		is: is,
		schema: func() jsonSchema {
			return jsonSchema{"type": "array", "items": item(new(T)).schema(), "minItems": 1}
		},
		parts: func() []form { return []form{item(new(T))} },
		read: func(d *decoder, v value) bool {
			if v.node.ShortTag() != "!!seq" {
				return d.problem(v, "is "+kindOf(v.node), "want "+is)
			}
			if len(v.node.Content) == 0 {
				return d.problem(v, "the list is empty", "want "+is)
			}
			ok := true
			for i := range v.node.Content {
				var t T
				if d.read(item(&t), d.item(v, i)) {
					*to = append(*to, t)
				} else {
					ok = false
				}
			}
			return ok
		},
	}
}

// oneOrList reads one item written as such, or a list of items.
func oneOrList[T any](is string, to *[]T, item func(to *T) form) form {
	list := listOf(is, to, item)
	return form{
		is: is,
		schema: func() jsonSchema {
			return jsonSchema{"anyOf": []jsonSchema{item(new(T)).schema(), list.schema()}}
		},
		parts: list.parts,
		read: func(d *decoder, v value) bool {
			if v.node.Kind != yaml.ScalarNode {
				return list.read(d, v)
			}
			var t T
			ok := item(&t).read(d, v)
			if ok {
				*to = append(*to, t)
			}
			return ok
		},
	}
}

// mappingOf reads a mapping from names to items, one or more, in their order.
func mappingOf[T any](is, noun string, names naming, to *[]T, item func(name string, to *T) form) form {
	return form{
		is: is,
		schema: func() jsonSchema {
			return jsonSchema{
				"type": "object", "minProperties": 1,
				"propertyNames": names.schema(), "additionalProperties": item("", new(T)).schema(),
			}
		},
		parts: func() []form { return []form{item("", new(T))} },
		read: func(d *decoder, v value) bool {
			if v.node.ShortTag() != "!!map" {
				return d.problem(v, "is "+kindOf(v.node), "want "+is)
			}
			entries, ok := d.entries(v, noun)
			if len(v.node.Content) == 0 {
				return d.problem(v, "the mapping is empty", "want "+is)
			}
			for _, e := range entries {
				if what, fix := names.refuse(d, e.name); what != "" {
					ok = d.report(Pos{v.at.File, e.key.Line, e.key.Column}, e.v.path, what, fix)
				}
				var t T
				ok = d.read(item(e.name, &t), e.v) && ok
				*to = append(*to, t) // also with mistakes: others may name it
			}
			return ok
		},
	}
}

// either reads text in one form and a mapping in the other.
func either(is string, text, mapping form) form {
	return form{
		is: is,
		schema: func() jsonSchema {
			return jsonSchema{"anyOf": []jsonSchema{text.schema(), mapping.schema()}}
		},
		parts: func() []form { return []form{text, mapping} },
		read: func(d *decoder, v value) bool {
			switch v.node.Kind {
			case yaml.MappingNode:
				return mapping.read(d, v)
			case yaml.ScalarNode:
				return text.read(d, v)
			default:
				return d.problem(v, "is "+kindOf(v.node), "want "+is)
			}
		},
	}
}
