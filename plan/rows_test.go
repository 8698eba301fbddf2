package plan_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/plan"
)

// On a terminal no line is longer than it is wide, unless it is one word, and
// nothing is left out. The reason is beside what fits, and else under it.
func TestRowsFitTheTerminal(t *testing.T) {
	escapes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, file := range []string{"../examples/modes/fullnat/lvsform.yaml", "../examples/mixed-modes/lvsform.yaml", "../examples/ipv6/lvsform.yaml", tutorial} {
		inv := load(t, file)
		before := ready(inv)
		for name, p := range map[string]*plan.Plan{"apply": plan.Make(inv, before), "destroy": plan.Destroy(inv, carriedOut(plan.Make(inv, before), before))} {
			write := func(o plan.TextOptions) string {
				var b bytes.Buffer
				if err := p.WriteText(&b, o); err != nil {
					t.Fatal(err)
				}
				return b.String()
			}
			whole := strings.Fields(write(plan.TextOptions{}))
			for _, width := range []int{40, 80, 100, 132, 400} {
				text := write(plan.TextOptions{Width: width})
				if diff := cmp.Diff(whole, strings.Fields(text)); diff != "" {
					t.Errorf("%s: %s: at %d columns it says something else:\n%s", file, name, width, diff)
				}
				if colored := write(plan.TextOptions{Width: width, Color: true}); escapes.ReplaceAllString(colored, "") != text {
					t.Errorf("%s: %s: at %d columns the lines break elsewhere in colour", file, name, width)
				}
				for line := range strings.Lines(text) {
					line = strings.TrimRight(line, "\n")
					// Behind the mark and the kind, a key's first word stays.
					if utf8.RuneCountInString(line) > width && strings.Contains(strings.TrimLeft(line, " +~-"), " ") {
						t.Errorf("%s: %s: %d columns of %d: %s", file, name, utf8.RuneCountInString(line), width, line)
					}
				}
			}
		}
	}
}

func TestReasonUnderTheRow(t *testing.T) {
	inv := load(t, tutorial)
	var b bytes.Buffer
	if err := plan.Make(inv, ready(inv)).WriteText(&b, plan.TextOptions{Width: 80, DiffOnly: true}); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, b.String(), "columns-80.txt")
}
