package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/cmd/lvsform/schema"
	"github.com/lvsform/lvsform/cmd/lvsform/schema/schematest"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/verify"
)

// schemas makes the schema of every document from its type.
func schemas(t *testing.T) map[string]*jsonType {
	t.Helper()
	src := newSource(t)
	out := map[string]*jsonType{}
	for name, document := range map[string]any{
		"valid":      Valid{},
		"plan":       plan.Plan{},
		"outcome":    Outcome{},
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
		if golden.FlagUpdate() {
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

// A document of each sort, as tests of other packages print it.
func printed(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for name, file := range map[string]string{
		"plan":       "plan/testdata/example/plan.json",
		"saved-plan": "plan/testdata/example/saved-plan.json",
		"drift":      "plan/testdata/example/drift.json",
		"list":       "plan/testdata/example/list.json",
		"verdict":    "verify/testdata/run.json.golden",
		"explain":    "modes/testdata/walk/dr-routed-vip.json",
		"failures":   "cmd/lvsform/testdata/script/json.txtar",
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if _, story, found := bytes.Cut(text, []byte("-- mistakes.json --\n")); found {
			text, _, _ = bytes.Cut(story, []byte("-- "))
		}
		out[name] = text
	}
	return out
}

// Schemas take what is printed, and refuse it with anything more in any of its
// objects, or with a value of another sort.
func TestSchemasAreStrict(t *testing.T) {
	for name, text := range printed(t) {
		check, err := schematest.Of(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(text); err != nil {
			t.Errorf("the schema of %s refuses what is printed: %v", name, err)
			continue
		}
		refuses := func(what string, document any) {
			t.Helper()
			changed, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			if check(changed) == nil {
				t.Errorf("the schema of %s takes %s", name, what)
			}
		}
		var document any
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		var walk func(path string, value any)
		walk = func(path string, value any) {
			switch v := value.(type) {
			case []any:
				for i, x := range v {
					walk(fmt.Sprintf("%s[%d]", path, i), x)
				}
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(v)) {
					x := v[key]
					for _, wrong := range []any{[]any{map[string]any{}}, map[string]any{"surprise": 1}, -1.5} {
						v[key] = wrong
						refuses(fmt.Sprintf("%s.%s: %v", path, key, wrong), document)
					}
					v[key] = x
					walk(path+"."+key, x)
				}
				v["surprise"] = true
				refuses(path+".surprise", document)
				delete(v, "surprise")
			}
		}
		walk("", document)
		other, err := schematest.Of(map[bool]string{true: "drift", false: "plan"}[name == "plan"])
		if err != nil {
			t.Fatal(err)
		}
		if other(text) == nil {
			t.Errorf("a document %s is taken for another", name)
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	documents := printed(t)
	for _, c := range []struct{ name, old, new string }{
		{"plan", `"format_version": "2"`, `"format_version": "3"`},
		{"plan", `"topology": "small",`, ``},
		{"plan", `"op": "~"`, `"op": "add"`},
		{"plan", `"kind": "sysctl",
          "key"`, `"kind": "setting",
          "key"`},
		{"plan", `"role": "real-server"`, `"role": "real server"`},
		{"plan", `"wave": "prepare real servers"`, `"wave": "prepare servers"`},
		{"plan", `"wave": "prepare real servers"`, `"wave": 3`},
		{"plan", `"prefix": "192.0.2.30/32"`, `"prefix": "192.0.2.30"`},
		{"plan", `"actions": []`, `"actions": null`},
		// The fields of an item are those of its kind.
		{"plan", `"setting": "0"`, `"link": "eth0"`},
		{"plan", `"kind": "sysctl",
            "name"`, `"kind": "address",
            "name"`},
		{"plan", `"kind": "sysctl",
            "name"`, `"name"`},
		{"list", `"address": "192.0.2.30:80"`, `"address": "192.0.2.30"`},
		{"list", `"forward": "dr"`, `"forward": "direct"`},
		{"list", `"protocol": "tcp"`, `"protocol": "icmp"`},
		{"drift", `"held": 3`, `"held": -3`},
		{"saved-plan", `"format": "lvsform plan"`, `"format": "a plan"`},
		{"verdict", `"outcome": "passed"`, `"outcome": "yes"`},
		{"explain", `"mode": "dr"`, `"mode": "direct"`},
		{"failures", `"kind": "input"`, `"kind": "mistake"`},
		{"failures", `"line": 7`, `"line": "7"`},
	} {
		check, err := schematest.Of(c.name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(documents[c.name])
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Errorf("%q is not in the document %s", c.old, c.name)
		}
		if check([]byte(changed)) == nil {
			t.Errorf("the schema of %s takes %q for %q", c.name, c.new, c.old)
		}
	}
}

func TestGoldensAreAsTheirSchemas(t *testing.T) {
	check, err := schematest.Of("plan")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "plan/testdata/fresh.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
}

// The walks of every example, and of what the tests of modes have beside them.
func TestExplainIsAsItsSchema(t *testing.T) {
	more, err := filepath.Glob(filepath.Join(root, "modes/testdata/walk/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := append(slices.Collect(maps.Values(exampleFiles(t))), more...)
	lost := 0
	for _, file := range files {
		inv, err := inventorytest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range inv.Services {
			for _, r := range s.RealServers {
				for _, c := range modes.Clients(inv, s) {
					walks, err := explain(inv, s.Name, c.Name, r.Host.Name)
					if err != nil {
						t.Fatal(err)
					}
					schematest.Value(t, "explain", walks)
					if walks.Walks[0].Lost != "" {
						lost++
					}
				}
			}
		}
	}
	if lost == 0 {
		t.Error("no packet is lost: nothing shows what the document is then")
	}
}

func TestFailuresAreAsTheirSchema(t *testing.T) {
	_, mistakes := inventory.Parse("lvsform.yaml", []byte("version: 2\n"))
	for _, err := range []error{
		mistakes,
		errors.New("nobody expected it"),
		fault.New(fault.Stale, "it has moved on"),
		&apply.Error{Step: plan.AddDestinations.String(), Faults: []apply.Fault{{Host: "lb", Err: io.EOF}}},
	} {
		schematest.Value(t, "failures", Failures{plan.FormatVersion, failuresOf(err)})
	}
}

// The steps of a run that are no waves are in the words about them.
func TestSchemaOfFailuresHasEveryStep(t *testing.T) {
	run, err := os.ReadFile("../../apply/apply.go")
	if err != nil {
		t.Fatal(err)
	}
	steps := regexp.MustCompile(`stopped\("([^"]+)"`).FindAllSubmatch(run, -1)
	if len(steps) == 0 {
		t.Fatal("no step found")
	}
	step := schemas(t)["failures"].Defs.get("failure").Properties.get("step")
	for _, s := range steps {
		if !strings.Contains(step.Description, string(s[1])) {
			t.Errorf("step %s is not in %q", s[1], step.Description)
		}
	}
}

// The words of the schemas are those that the code lists.
func TestSchemasHaveEveryWord(t *testing.T) {
	src := newSource(t)
	words := func(of reflect.Type) []string {
		var out []string
		for _, c := range src.words(of) {
			out = append(out, c.word)
		}
		return out
	}
	if diff := cmp.Diff(fault.Kinds(), texts[fault.Kind](words(reflect.TypeFor[fault.Kind]()))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(state.Kinds(), texts[state.Kind](words(reflect.TypeFor[state.Kind]()))); diff != "" {
		t.Error(diff)
	}
}

func texts[T ~string](words []string) []T {
	var out []T
	for _, w := range words {
		out = append(out, T(w))
	}
	return out
}
