package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/cmd/lvsform/schema"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/verify"
)

// schemas makes the schema of every document from its type.
func schemas(t *testing.T) map[string]*jsonType {
	t.Helper()
	src := newSource(t)
	out := map[string]*jsonType{}
	for name, document := range map[string]any{
		"plan":       plan.Plan{},
		"saved-plan": plan.SavedFile{},
		"drift":      plan.Drift{},
		"list":       plan.Holdings{},
		"verdict":    verify.Report{},
		"explain":    modes.Walks{},
		"failures":   Failures{},
	} {
		out[name] = schemaOf(t, src, name, document)
	}
	saved := out["saved-plan"]
	saved.Properties.get("format").Const = plan.SavedFormat
	saved.Defs.get("plan").Properties.get("format_version").Const = plan.FormatVersion
	return out
}

// The schemas are those of the Go types as they are. -update writes them.
func TestSchemasAreOfTheTypes(t *testing.T) {
	made := schemas(t)
	for _, name := range schema.Names() {
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(made[name]); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("schema", name+".json")
		if *update {
			if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), string(have)); diff != "" {
			t.Errorf("%s (-want +have; -update rewrites it):\n%s", file, diff)
		}
	}
	if len(made) != len(schema.Names()) {
		t.Errorf("%d documents have a type, and %d a schema", len(made), len(schema.Names()))
	}
}
