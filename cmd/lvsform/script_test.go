package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/cmd/lvsform/schema/schematest"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/testenv"
)

// TestMain makes the test binary lvsform itself: under that name in scripts and
// labs, as every part of a lab, and as the agent that is pushed to a host, whose
// file name is its hash.
func TestMain(m *testing.M) {
	testenv.Part(os.Args[1:])
	if len(os.Args) == 2 && os.Args[1] == "agent" {
		os.Exit(run(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){
		"lvsform": func() { os.Exit(run(os.Args[1:])) },
	})
}

// TestScripts runs the stories that need no host, testdata/script/*.txtar.
// testdata/README.md explains their verbs.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: golden.FlagUpdate(),
		Setup: func(env *testscript.Env) error {
			// Nobody's keys and known hosts are read or written.
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			return os.Mkdir(home, 0o700)
		},
		Cmds: scriptVerbs(),
	})
}

type verbs map[string]func(ts *testscript.TestScript, neg bool, args []string)

func scriptVerbs() verbs {
	return verbs{"exit": localExitVerb, "json": jsonVerb, "saved": savedVerb, "schema": schemaVerb}
}

// The README beside the stories explains every verb, and says where it is known.
func TestStoriesREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)[^`]*` \\| (script|lab|both) \\|").FindAllStringSubmatch(string(text), -1) {
		explained[row[1]] = row[2]
	}
	known := map[string]string{}
	for v := range scriptVerbs() {
		known[v] = "script"
	}
	for v := range (&lab{}).verbs() {
		if known[v] = "lab"; scriptVerbs()[v] != nil {
			known[v] = "both"
		}
	}
	if diff := cmp.Diff(known, explained); diff != "" {
		t.Errorf("verbs (-known +explained)\n%s", diff)
	}
}

// localExitVerb runs a command on this machine.
func localExitVerb(ts *testscript.TestScript, neg bool, args []string) {
	want, command := wantedStatus(ts, neg, args)
	got := 0
	if err := ts.Exec(command[0], command[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	checkPrinted(ts, command, ts.ReadFile("stdout"))
}

// savedVerb saves a plan as lvsform plan --out does, of hosts that hold nothing.
func savedVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: saved INVENTORY PLAN")
	}
	inv, err := inventory.Parse(args[0], []byte(ts.ReadFile(args[0])))
	ts.Check(err)
	observed := map[string]plan.Observation{}
	for _, h := range inv.Hosts {
		observed[h.Name] = plan.Observation{}
	}
	ts.Check(savePlan(ts.MkAbs(args[1]), &session{inv: inv}, plan.Destroy(inv, observed), observed))
}

// wantedStatus reads the arguments of exit.
func wantedStatus(ts *testscript.TestScript, neg bool, args []string) (status int, command []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit STATUS COMMAND...")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	return status, args[1:]
}

// checkPrinted holds the JSON that a command was asked for against its schema.
func checkPrinted(ts *testscript.TestScript, command []string, stdout string) {
	asked := slices.Contains(command, "--json") || strings.Contains(strings.Join(command, "="), "--format=json")
	if command[0] != "lvsform" || !asked {
		return
	}
	document := map[string]string{
		"validate": "valid", "plan": "plan", "show": "plan", "apply": "outcome", "destroy": "outcome",
		"drift": "drift", "list": "list", "verify": "verdict", "explain": "explain",
	}[command[1]]
	var failed struct {
		Errors []any
		Plan   any // an outcome has one
	}
	if err := json.Unmarshal([]byte(stdout), &failed); err == nil && failed.Errors != nil && failed.Plan == nil {
		document = "failures"
	}
	mustBe(ts, document, stdout)
}

// schemaVerb holds what was printed or read from a file against a schema.
func schemaVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	mustBe(ts, args[0], ts.ReadFile("stdout"))
}

func mustBe(ts *testscript.TestScript, document, text string) {
	check, err := schematest.Of(document)
	ts.Check(err)
	if err := check([]byte(text)); err != nil {
		ts.Fatalf("standard output is no document %s: %v", document, err)
	}
}

// jsonVerb looks a value up by a path of keys with dots between them. In an
// array a key is an index, or the name of one of its elements.
func jsonVerb(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH REGEXP")
	}
	var document any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &document); err != nil {
		ts.Fatalf("standard output is not one JSON document: %v", err)
	}
	value, err := lookUp(document, strings.Split(args[0], "."))
	ts.Check(err)
	text, isText := value.(string)
	if !isText {
		out, err := json.Marshal(value)
		ts.Check(err)
		text = string(out)
	}
	matched, err := regexp.MatchString(args[1], text)
	ts.Check(err)
	if matched == neg {
		ts.Fatalf("%s is %s", args[0], text)
	}
}

func lookUp(value any, path []string) (any, error) {
	for i, key := range path {
		var next any
		switch v := value.(type) {
		case map[string]any:
			next = v[key]
		case []any:
			if n, err := strconv.Atoi(key); err == nil && n < len(v) {
				next = v[n]
				break
			}
			for _, element := range v {
				if named, ok := element.(map[string]any); ok && named["name"] == key {
					next = element
				}
			}
		}
		if next == nil {
			return nil, fmt.Errorf("there is no %s", strings.Join(path[:i+1], "."))
		}
		value = next
	}
	return value, nil
}
