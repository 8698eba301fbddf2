// Package schematest holds documents against their schemas, for the tests of
// whoever makes them.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lvsform/lvsform/cmd/lvsform/schema"
)

// Check says what in a document is not as its schema has it.
type Check func(document []byte) error

// Of returns the check of a document by its name.
func Of(name string) (Check, error) {
	text, err := schema.Of(name)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", name, err)
	}
	return Compile(text)
}

// Compile returns the check that the text of a schema describes.
func Compile(text []byte) (Check, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("not one JSON document: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", parsed); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		return nil, err
	}
	return func(document []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		if err != nil {
			return fmt.Errorf("not one JSON document: %w", err)
		}
		return compiled.Validate(value)
	}, nil
}

// Value fails the test when a value's JSON is not as the schema of that name
// has it.
func Value(t testing.TB, name string, v any) {
	t.Helper()
	check, err := Of(name)
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(document); err != nil {
		t.Errorf("the schema of %s refuses it: %v\n%s", name, err, document)
	}
}
