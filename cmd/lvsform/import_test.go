package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
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
		{"keepalived", "lab.conf", []string{"--lab"}},
		{"ldirectord", "ldirectord.cf", []string{"--director", "lb=192.0.2.3/24%ens33", "--network", "lan=192.0.2.0/24"}},
		{"ipvsadm", "dump.txt", []string{"--director", "lb=192.0.2.3"}},
	} {
		t.Run(c.file, func(t *testing.T) {
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

// An import with --lab boots, and every service of it proves itself.
func TestImportedLab(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a lab; -short was given")
	}
	t.Parallel()
	l := start(t, filepath.Join("testdata", "import", "lab.yaml"))
	out := l.run(t, 0, "lvsform", "apply", "--yes")
	if !strings.Contains(out, "\npassed: 4 services\n") {
		t.Error(out)
	}
}

// silent never answers.
type silent struct{}

func (silent) Call(ctx context.Context, _ wire.Method, _, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

// A host that does not answer is not waited for without end, and each that
// could not be looked at is told with the kind of its error.
func TestImportLiveFails(t *testing.T) {
	var stderr strings.Builder
	s := &session{
		inv:      &inventory.Inventory{Name: "import", Hosts: []*inventory.Host{{Name: "lb"}, {Name: "web1"}, {Name: "web2"}}},
		progress: &progress{}, stderr: &stderr,
		hosts: apply.Hosts{
			"lb":   answers(wire.Observed{}),
			"web1": apply.Unreachable{Err: fault.New(fault.Permission, "log in: no key is taken")},
			"web2": silent{},
		},
	}
	var lines []string
	opts := apply.Options{Limit: 50 * time.Millisecond, Parallel: 1, Progress: func(line string) { lines = append(lines, line) }}
	found, err := look(t.Context(), s, opts)
	if found != nil || fault.Of(err) != fault.Permission {
		t.Errorf("%v, %v; want an error of kind permission, the first host's", found, err)
	}
	const want = "web1: permission: log in: no key is taken\nweb2: connection: context deadline exceeded\n"
	if got := stderr.String(); got != want {
		t.Errorf("told\n%swant\n%s", got, want)
	}
	if len(lines) == 0 || !strings.Contains(lines[0], "waiting for lb, web1, web2") {
		t.Errorf("progress %q", lines)
	}
}
