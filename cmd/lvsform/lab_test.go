package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
	"github.com/lvsform/lvsform/testenv"
)

// workstation is the host of a lab at which lvsform runs.
const workstation = "workstation"

// TestLab boots every inventory under examples/ as a lab and tells stories
// there, one after the other: first testdata/lab/every/*.txtar, which hold for
// any topology, then those of the example alone, in the folder of its name.
// Each story begins and ends with all hosts as they were found.
//
// testdata/README.md explains their verbs.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("boots labs; -short was given")
	}
	t.Parallel()
	files := exampleFiles(t)
	own := func(name string) string { return filepath.Join(stories, name) }
	// Those with stories of their own take longest: they begin.
	names := slices.SortedFunc(maps.Keys(files), func(a, b string) int {
		if isDir(own(a)) != isDir(own(b)) {
			return map[bool]int{true: -1, false: 1}[isDir(own(a))]
		}
		return cmp.Compare(a, b)
	})
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // labs do not meet
			l := boot(t, files[name])
			l.tell(t, filepath.Join(stories, "every"))
			if isDir(own(name)) {
				l.tell(t, own(name))
			}
		})
	}
}

// stories is the folder of the stories that are told in labs.
const stories = "testdata/lab"

// exampleFiles returns every inventory under examples/ by its folder there.
func exampleFiles(t *testing.T) map[string]string {
	t.Helper()
	const root = "../../examples"
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == defaultFile {
			name, err := filepath.Rel(root, filepath.Dir(path))
			out[name] = path
			return err
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return out
}

// Every story belongs to an example, and so is told.
func TestStoriesAreTold(t *testing.T) {
	examples := exampleFiles(t)
	err := filepath.WalkDir(stories, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".txtar" {
			return err
		}
		name, err := filepath.Rel(stories, filepath.Dir(path))
		if name != "every" && examples[name] == "" {
			t.Errorf("%s: there is no example %s", path, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// lab is a booted example with the stories' verbs.
type lab struct {
	*testenv.Lab
	inv   *inventory.Inventory
	hosts []string // and the workstation
	found dump
}

// boot boots an inventory and notes how its hosts are found.
func boot(t *testing.T, file string) *lab {
	t.Helper()
	l := start(t, file)
	var err error
	if l.found, err = takeDump(t.Context(), l.Lab, l.hosts); err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t *testing.T, file string) *lab {
	t.Helper()
	inv, err := inventorytest.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	booted, err := testenv.Start(t.Context(), inv, testenv.Options{File: text, Path: dir + ":" + os.Getenv("PATH")})
	if err != nil {
		if strings.HasPrefix(err.Error(), "no kernel for the lab") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := booted.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{Lab: booted, inv: inv, hosts: []string{workstation}}
	for _, h := range inv.Hosts {
		l.hosts = append(l.hosts, h.Name)
	}
	return l
}

// built is the folder of lvsform as it is released. The test binary would do,
// but is three times the size, and hosts in User-Mode Linux take their time to
// unpack it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "test"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "lvsform"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return dir, nil
})

// tell runs the stories of a folder in the order of their names.
func (l *lab) tell(t *testing.T, dir string) {
	testscript.RunT(inSequence{t}, testscript.Params{
		Dir:           dir,
		UpdateScripts: golden.FlagUpdate(),
		Cmds:          l.verbs(),
	})
}

func (l *lab) verbs() verbs {
	return verbs{
		"exit":              l.exitVerb,
		"on":                l.onVerb,
		"as-found":          l.asFoundVerb,
		"import-live":       l.importVerb,
		"seen-as-explained": l.seenVerb,
		"json":              jsonVerb,
		"schema":            schemaVerb,
	}
}

// inSequence is a test whose stories run one after the other, since they share
// a lab. None is told after one that failed, which may have left the lab in
// any state.
type inSequence struct{ *testing.T }

// Run implements testscript.T.
func (t inSequence) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(story *testing.T) {
		if t.Failed() {
			story.Skip("an earlier story failed in this lab")
		}
		f(inSequence{story})
	})
}

// Parallel implements testscript.T.
func (inSequence) Parallel() {}

// Verbose implements testscript.T.
func (inSequence) Verbose() bool { return testing.Verbose() }

// storyLimit bounds one command of a story.
const storyLimit = 2 * time.Minute

func (l *lab) exitVerb(ts *testscript.TestScript, neg bool, args []string) {
	want, command := wantedStatus(ts, neg, args)
	ctx, cancel := context.WithTimeout(context.Background(), storyLimit)
	defer cancel()
	var stdout strings.Builder
	got, err := l.Run(ctx, testenv.Command{Args: command, Stdout: io.MultiWriter(ts.Stdout(), &stdout), Stderr: ts.Stderr()})
	ts.Check(err)
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	checkPrinted(ts, command, stdout.String())
}

func (l *lab) onVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: on HOST SCRIPT")
	}
	hosts := args[:1]
	if args[0] == "*" {
		hosts = l.hosts
	}
	for _, h := range hosts {
		out, err := onHost(context.Background(), l.Lab, h, args[1])
		_, _ = fmt.Fprint(ts.Stdout(), out)
		ts.Check(err)
	}
}

func (l *lab) importVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: import-live FILE")
	}
	command := []string{"0", "lvsform", "import", "live", "--out", args[0]}
	for _, h := range l.inv.Hosts {
		command = append(command, h.Name)
	}
	l.exitVerb(ts, false, command)
}

func (l *lab) asFoundVerb(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: as-found")
	}
	now, err := takeDump(context.Background(), l.Lab, l.hosts)
	ts.Check(err)
	if diff := l.found.sinceThen(now); len(diff) != 0 {
		ts.Fatalf("not as found:\n%s", strings.Join(diff, "\n"))
	}
}
