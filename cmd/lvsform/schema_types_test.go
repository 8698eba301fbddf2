package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// jsonType is a JSON Schema, with its keys in the order in which they are read.
type jsonType struct {
	Dialect     string      `json:"$schema,omitempty"`
	Title       string      `json:"title,omitempty"`
	Description string      `json:"description,omitempty"`
	Ref         string      `json:"$ref,omitempty"`
	Type        string      `json:"type,omitempty"`
	Const       string      `json:"const,omitempty"`
	Enum        []string    `json:"enum,omitempty"`
	Format      string      `json:"format,omitempty"`
	Pattern     string      `json:"pattern,omitempty"`
	Minimum     *uint64     `json:"minimum,omitempty"`
	Maximum     *uint64     `json:"maximum,omitempty"`
	AnyOf       []*jsonType `json:"anyOf,omitempty"`
	OneOf       []*jsonType `json:"oneOf,omitempty"`
	Items       *jsonType   `json:"items,omitempty"`
	Properties  properties  `json:"properties,omitempty"`
	Required    []string    `json:"required,omitempty"`
	Additional  *bool       `json:"additionalProperties,omitempty"`
	Defs        properties  `json:"$defs,omitempty"`

	said string // the description without what its words mean
}

// properties are schemas by name, in an order of their own.
type properties []property

type property struct {
	name string
	is   *jsonType
}

func (ps properties) get(name string) *jsonType {
	for _, p := range ps {
		if p.name == name {
			return p.is
		}
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(p.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(p.is); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schemaMaker makes the schema of one document from its Go types, as
// encoding/json writes them. Of types it does not know it makes none: the test
// fails.
type schemaMaker struct {
	t      *testing.T
	source *source
	defs   properties
	made   map[string]reflect.Type // types by the name of their definition
}

// schemaOf makes the schema of a document.
func schemaOf(t *testing.T, src *source, name string, document any) *jsonType {
	t.Helper()
	m := &schemaMaker{t: t, source: src, made: map[string]reflect.Type{}}
	of := reflect.TypeOf(document)
	s := m.object(of, "")
	s.Dialect = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "lvsform " + name
	s.Description = m.about(of)
	s.Properties.get("format_version").Const = plan.FormatVersion
	s.Defs = m.defs
	return s
}

// of makes the schema of a value of a type.
func (m *schemaMaker) of(of reflect.Type) *jsonType {
	m.t.Helper()
	switch of {
	case reflect.TypeFor[state.Tagged]():
		return &jsonType{OneOf: []*jsonType{m.item(), {Type: "null"}}}
	case reflect.TypeFor[state.Host]():
		return &jsonType{Type: "array", Items: m.item()}
	case reflect.TypeFor[json.RawMessage](): // a saved plan's content, which has a digest of its own
		return m.named(reflect.TypeFor[plan.Saved]())
	case reflect.TypeFor[plan.Wave]():
		return m.wave()
	case reflect.TypeFor[netip.Addr]():
		return &jsonType{Type: "string", AnyOf: []*jsonType{{Format: "ipv4"}, {Format: "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return &jsonType{Type: "string", Pattern: `^[0-9a-f.:]+/[0-9]{1,3}$`}
	case reflect.TypeFor[netip.AddrPort]():
		return &jsonType{Type: "string", Pattern: `^([0-9.]+|\[[0-9a-f.:]+\]):[0-9]{1,5}$`}
	}
	for _, hook := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if of.Implements(hook) {
			m.t.Fatalf("%s writes its JSON itself: say here what it looks like", of)
		}
	}
	switch of.Kind() {
	case reflect.Pointer: // nil is left out by omitempty; a test would find it
		return m.of(of.Elem())
	case reflect.Slice:
		return &jsonType{Type: "array", Items: m.of(of.Elem())}
	case reflect.Struct:
		return m.named(of)
	case reflect.String:
		return m.words(of)
	case reflect.Bool:
		return &jsonType{Type: "boolean"}
	case reflect.Int: // all are counts, sizes or numbers of something
		return &jsonType{Type: "integer", Minimum: new(uint64)}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		most := uint64(math.MaxUint32) >> (32 - of.Bits())
		return &jsonType{Type: "integer", Minimum: new(uint64), Maximum: &most}
	default:
		m.t.Fatalf("%s has no JSON Schema", of)
		return nil
	}
}

// words is a string, or one of the words that a type has.
func (m *schemaMaker) words(of reflect.Type) *jsonType {
	s := &jsonType{Type: "string"}
	if of.PkgPath() == "" {
		return s
	}
	var meanings []string
	for _, c := range m.source.words(of) {
		s.Enum = append(s.Enum, c.word)
		if c.comment != "" {
			meanings = append(meanings, c.word+": "+c.comment)
		}
	}
	if s.Enum == nil {
		m.t.Fatalf("%s has no constants", of)
	}
	s.Description = strings.Join(meanings, "; ")
	return s
}

func (m *schemaMaker) wave() *jsonType {
	s := &jsonType{Type: "string"}
	for _, w := range plan.Waves() {
		s.Enum = append(s.Enum, w.String())
	}
	return s
}

// named defines a struct once, and refers to it. Of two packages with a type
// of one name, the second puts its package's name before it.
func (m *schemaMaker) named(of reflect.Type) *jsonType {
	name := kebab(of.Name())
	if other, made := m.made[name]; made && other != of {
		name = path.Base(of.PkgPath()) + "-" + name
	}
	return m.define(name, of, "")
}

func (m *schemaMaker) define(name string, of reflect.Type, kind state.Kind) *jsonType {
	ref := &jsonType{Ref: "#/$defs/" + name}
	if other, made := m.made[name]; made {
		if other != of {
			m.t.Fatalf("%s and %s have one name in the schema", other, of)
		}
		return ref
	}
	m.made[name] = of
	i := len(m.defs)
	m.defs = append(m.defs, property{name: name})
	s := m.object(of, kind)
	s.Description = m.about(of)
	m.defs[i].is = s
	return ref
}

// item is an item of any kind with its kind: what state.Tagged writes.
func (m *schemaMaker) item() *jsonType {
	const name = "item"
	if _, made := m.made[name]; !made {
		m.made[name] = reflect.TypeFor[state.Tagged]()
		i := len(m.defs)
		m.defs = append(m.defs, property{name: name})
		choice := &jsonType{Description: "One thing a host can be told, with its kind."}
		for _, k := range state.Kinds() {
			// The type of the kind's items is the one that is read.
			var t state.Tagged
			if err := json.Unmarshal(fmt.Appendf(nil, `{"kind":%q}`, k), &t); err != nil {
				m.t.Fatal(err)
			}
			choice.OneOf = append(choice.OneOf, m.define("item-"+string(k), reflect.TypeOf(t.Item), k))
		}
		m.defs[i].is = choice
	}
	return &jsonType{Ref: "#/$defs/" + name}
}

// object is a struct with its fields; of an item with its kind.
func (m *schemaMaker) object(of reflect.Type, kind state.Kind) *jsonType {
	s := &jsonType{Type: "object", Additional: new(bool)}
	if kind != "" {
		s.Properties = properties{{"kind", &jsonType{Type: "string", Const: string(kind)}}}
		s.Required = []string{"kind"}
	}
	m.fields(s, of)
	return s
}

func (m *schemaMaker) fields(s *jsonType, of reflect.Type) {
	for f := range fieldsOf(of) {
		tag := f.Tag.Get("json")
		switch {
		case f.Anonymous && tag == "":
			m.fields(s, f.Type)
			continue
		case !f.IsExported(), tag == "-":
			continue
		case tag == "":
			m.t.Fatalf("%s.%s has no name in JSON", of, f.Name)
		}
		name, options, _ := strings.Cut(tag, ",")
		is := m.of(f.Type)
		is.said = m.aboutField(of, f.Name)
		is.Description = joined(is.said, is.Description)
		s.Properties = append(s.Properties, property{name, is})
		if options == "" {
			s.Required = append(s.Required, name)
		}
	}
}

// about is what a type's comment says to who knows no Go.
func (m *schemaMaker) about(of reflect.Type) string {
	text := m.source.comment(of, "")
	for _, be := range []string{" is ", " are "} {
		if rest, ok := strings.CutPrefix(text, of.Name()+be); ok {
			return strings.ToUpper(rest[:1]) + rest[1:]
		}
	}
	return text
}

// aboutField is what a field's comment says, with the names that the fields
// have in JSON. What is nil or zero in Go is not there in JSON.
func (m *schemaMaker) aboutField(of reflect.Type, field string) string {
	text := m.source.comment(of, field)
	for _, be := range []string{" is ", " are "} {
		text = strings.TrimPrefix(text, field+be)
	}
	for f := range fieldsOf(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if word := f.Name == "IPv6"; name != "" && !word {
			text = regexp.MustCompile(`\b`+f.Name+`\b`).ReplaceAllString(text, name)
		}
	}
	return regexp.MustCompile(`\b(nil|zero|[Ee]mpty): `).ReplaceAllString(text, "not there: ")
}

// joined are sentences, with the full stop between them that comments at the
// end of a line have not.
func joined(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	for i := range parts[:max(len(parts), 1)-1] {
		parts[i] = strings.TrimSuffix(parts[i], ".") + ". "
	}
	return strings.Join(parts, "")
}

func fieldsOf(of reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range of.NumField() {
			if !yield(of.Field(i)) {
				return
			}
		}
	}
}

// kebab is a Go name in the words of the schema: DriftHost is drift-host.
func kebab(name string) string {
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "$1-$2"))
}
