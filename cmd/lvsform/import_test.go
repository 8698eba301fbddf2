package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// TestImport makes the inventories and reports that docs/import.md shows:
// testdata/import/NAME.yaml and NAME.report. -update rewrites them.
func TestImport(t *testing.T) {
	for _, c := range []struct {
		kind, file string
		flags      []string
	}{
		{"keepalived", "keepalived.conf", nil},
		{"ldirectord", "ldirectord.cf", []string{"--director", "lb=192.0.2.3/24%ens33", "--network", "lan=192.0.2.0/24"}},
		{"ipvsadm", "dump.txt", []string{"--director", "lb=192.0.2.3"}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			file := filepath.Join("testdata", "import", c.file)
			var out, report bytes.Buffer
			root := newRoot()
			root.SetOut(&out)
			root.SetErr(&report)
			root.SetArgs(append([]string{"import", c.kind, file}, c.flags...))
			if err := root.ExecuteContext(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, report.String())
			}
			inv, err := inventory.Parse(c.kind, out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if problems := modes.Check(inv); len(problems) != 0 {
				t.Error(problems)
			}
			stem := filepath.Join("import", strings.TrimSuffix(c.file, filepath.Ext(c.file)))
			golden.Assert(t, out.String(), stem+".yaml")
			golden.Assert(t, report.String(), stem+".report")
		})
	}
}
