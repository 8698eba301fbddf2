package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/cmd/lvsform/schema"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

// docs/json.md has a table for every document and every object in one, from
// the same types as the schemas. An object that several documents have is shown
// with the first. -update writes the tables.
func TestJSONTables(t *testing.T) {
	file := filepath.Join(root, "docs", "json.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	marked := regexp.MustCompile(`<!-- fields: (.*) -->`).FindAllStringSubmatch(page, -1)
	var marks []string
	for _, table := range tables(t) {
		marks = append(marks, table.mark)
		begin := "<!-- fields: " + table.mark + " -->\n"
		before, rest, found := strings.Cut(page, begin)
		have, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			t.Errorf("%s has no table %q", file, begin)
			continue
		}
		if golden.FlagUpdate() {
			page = before + begin + table.text + "<!-- end -->" + after
		} else if diff := cmp.Diff(table.text, have); diff != "" {
			t.Errorf("%s, %s (-want +have; -update rewrites it):\n%s", file, table.mark, diff)
		}
	}
	for _, m := range marked {
		if !slices.Contains(marks, m[1]) {
			t.Errorf("%s: there is no object %s", file, m[1])
		}
	}
	if golden.FlagUpdate() {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type fieldTable struct{ mark, text string }

func tables(t *testing.T) []fieldTable {
	t.Helper()
	var out []fieldTable
	shown := map[string]bool{}
	made := schemas(t)
	for _, name := range schema.Names() {
		document := made[name]
		out = append(out, fieldTable{name, tableOf(document)})
		for _, def := range document.Defs {
			if strings.HasPrefix(def.name, "item-") {
				continue // all in one, with item
			}
			body, err := json.Marshal(def.is)
			if err != nil {
				t.Fatal(err)
			}
			if seen := string(body); shown[seen] || def.name == "plan" || def.name == "report" {
				continue // a report is the document verdict
			} else {
				shown[seen] = true
			}
			text := tableOf(def.is)
			if def.name == "item" {
				text = itemTable(document)
			}
			text = fmt.Sprintf("*%s*: %s\n\n%s", def.name, def.is.Description, text)
			out = append(out, fieldTable{name + " " + def.name, text})
		}
	}
	return out
}

func tableOf(object *jsonType) string {
	var b strings.Builder
	b.WriteString("| field | value | | |\n|---|---|---|---|\n")
	for _, p := range object.Properties {
		b.WriteString(row(object, p))
	}
	return b.String()
}

// itemTable has the fields of every kind of item.
func itemTable(document *jsonType) string {
	var b strings.Builder
	b.WriteString("| kind | field | value | | |\n|---|---|---|---|---|\n")
	for _, kind := range document.Defs.get("item").OneOf {
		object := document.Defs.get(strings.TrimPrefix(kind.Ref, "#/$defs/"))
		name := "`" + object.Properties.get("kind").Const + "`"
		for _, p := range object.Properties[1:] {
			b.WriteString("| " + name + " " + row(object, p))
			name = ""
		}
	}
	return b.String()
}

func row(object *jsonType, p property) string {
	optional := ""
	if !slices.Contains(object.Required, p.name) {
		optional = "optional"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", p.name, valueOf(p.is), optional, strings.ReplaceAll(p.is.said, "|", "\\|"))
}

// valueOf says what a value is, for people.
func valueOf(s *jsonType) string {
	quoted := func(words ...string) string { return "`" + strings.Join(words, "`, `") + "`" }
	switch {
	case s.Ref != "":
		return "*" + strings.TrimPrefix(s.Ref, "#/$defs/") + "*"
	case s.Const != "":
		return quoted(`"` + s.Const + `"`)
	case len(s.Enum) == len(fault.Kinds()) && s.Enum[0] == string(fault.Input):
		return "[kind of error](#the-kinds-of-error)"
	case len(s.Enum) == len(state.Kinds()) && s.Enum[0] == string(state.KindModule):
		return "[kind of item](#item)"
	case s.Enum != nil:
		return quoted(s.Enum...)
	case s.OneOf != nil:
		return valueOf(s.OneOf[0]) + " or null"
	case s.AnyOf != nil:
		return "IP address"
	case strings.Contains(s.Pattern, "/"):
		return "IP address/length"
	case s.Pattern != "":
		return "IP address:port"
	case s.Items != nil:
		return "list of " + valueOf(s.Items)
	default:
		return s.Type
	}
}

// The page has every kind of error and every exit status, in their order.
func TestJSONKindsAndStatuses(t *testing.T) {
	text := documents(t)[filepath.Join(root, "docs", "json.md")]
	firsts := func(heading string) []string {
		_, section, _ := strings.Cut(text, "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var out []string
		for _, m := range regexp.MustCompile("(?m)^\\| `?([a-z0-9]+)`? \\|").FindAllStringSubmatch(section, -1) {
			out = append(out, m[1])
		}
		return out[min(len(out), 1):] // the first is the table's head
	}
	if diff := cmp.Diff(fault.Kinds(), texts[fault.Kind](firsts("The kinds of error"))); diff != "" {
		t.Errorf("docs/json.md, the kinds of error (-want +have):\n%s", diff)
	}
	var statuses []string
	for _, s := range []int{0, exitError, exitPending, exitNotVerified} {
		statuses = append(statuses, fmt.Sprint(s))
	}
	if diff := cmp.Diff(statuses, firsts("Exit statuses")); diff != "" {
		t.Errorf("docs/json.md, exit statuses (-want +have):\n%s", diff)
	}
}
