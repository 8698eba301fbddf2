package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Cleanup(func())
}

// fate strikes once, ahead of the change of a host or of a file that it waits
// for: the agent is killed there, or the change is refused.
type fate struct {
	at, seen int // 0: never
	kills    bool
}

// strike reports whether it is time.
func (f *fate) strike() bool {
	f.seen++
	return f.seen == f.at
}

// crashWorld is a fleet whose agents may be killed.
type crashWorld struct {
	*agenttest.Fleet
	t    tester
	came map[string]map[state.ID]state.Item // what was set that was not there at first, as it came
	fate *fate
}

// crashPoint is all there is of such a world at one time.
type crashPoint struct {
	dir  string
	live map[string]state.Host
	came map[string]map[state.ID]state.Item
}

// folder is one for journals, until the test ends.
func folder(t tester) string {
	dir, remove, err := agenttest.Folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return dir
}

func newCrashWorld(t tester, inv *inventory.Inventory) *crashWorld {
	w := &crashWorld{Fleet: agenttest.New(inv, folder(t)), t: t, came: map[string]map[state.ID]state.Item{}, fate: &fate{}}
	w.Prepare = func(a *agent.Agent) { a.BeforeWrite(func() error { return w.beforeWrite(a.Dir) }) }
	for name, k := range w.Kernels {
		w.came[name] = map[state.ID]state.Item{}
		k.BeforeDo = func(c state.Change) error {
			if _, known := w.came[name][c.ID()]; !known {
				w.came[name][c.ID()] = c.Before
			}
			if w.fate.strike() {
				if w.fate.kills {
					panic(agenttest.ErrKilled)
				}
				return unix.EIO
			}
			return nil
		}
	}
	return w
}

// beforeWrite may strike ahead of a change of a file in the folder. An agent
// that is killed leaves the file half written beside the journals.
func (w *crashWorld) beforeWrite(dir string) error {
	if !w.fate.strike() {
		return nil
	}
	if !w.fate.kills {
		return unix.ENOSPC
	}
	_ = os.MkdirAll(dir, 0o700)
	_ = os.WriteFile(filepath.Join(dir, ".drawn.json4711"), []byte(`{"format_version": "1", "topo`), 0o600)
	panic(agenttest.ErrKilled)
}

// command is one run of lvsform.
type command struct {
	inv     *inventory.Inventory
	destroy bool
	only    plan.Only
}

func (c command) String() string {
	if c.destroy {
		return "destroy of " + c.inv.Name
	}
	return fmt.Sprintf("apply of %s %v", c.inv.Name, c.only)
}

func (w *crashWorld) run(c command) error {
	hosts, done := w.Connect()
	defer done()
	ctx, opts := context.Background(), apply.Options{Drain: time.Second, Parallel: 1}
	observed := apply.Observe(ctx, c.inv, hosts, opts)
	maps.Copy(observed, apply.ObserveLeft(ctx, c.inv, plan.Left(c.inv, observed), hosts, opts))
	p := plan.Make(c.inv, observed)
	if c.destroy {
		p = plan.Destroy(c.inv, observed)
	}
	if err := p.Narrow(c.inv, c.only); err != nil {
		return err
	}
	if p.Failed() {
		return p.Failure()
	}
	return apply.Run(ctx, p, hosts, opts)
}

func (w *crashWorld) mustRun(c command) {
	w.t.Helper()
	if err := w.run(c); err != nil {
		w.t.Fatalf("%v: %v", c, err)
	}
}

// save and restore keep a world as it is, for other fates.
func (w *crashWorld) save() crashPoint {
	p := crashPoint{folder(w.t), map[string]state.Host{}, map[string]map[state.ID]state.Item{}}
	w.copyFolder(p.dir, w.Dir)
	for name, k := range w.Kernels {
		p.live[name], p.came[name] = maps.Clone(k.State), maps.Clone(w.came[name])
	}
	return p
}

func (w *crashWorld) restore(p crashPoint) {
	for name, k := range w.Kernels {
		k.State, w.came[name] = maps.Clone(p.live[name]), maps.Clone(p.came[name])
		if err := os.RemoveAll(filepath.Join(w.Dir, name)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.copyFolder(w.Dir, p.dir)
}

// copyFolder copies journals, which stay their owner's alone.
func (w *crashWorld) copyFolder(to, from string) {
	w.t.Helper()
	err := os.CopyFS(to, os.DirFS(from))
	if err == nil {
		err = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chmod(path, map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()])
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// whole is the hosts' state, and their journals to the byte.
func (w *crashWorld) whole() string {
	var b strings.Builder
	for _, name := range w.Names() {
		for _, i := range w.Kernels[name].State.Items() {
			fmt.Fprintln(&b, name, state.Text(i))
		}
		files, _ := filepath.Glob(filepath.Join(w.Dir, name, "[^.]*"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			fmt.Fprintf(&b, "%s %v\n%s\n", strings.TrimPrefix(file, w.Dir), err, text)
		}
	}
	return b.String()
}

// survived fails unless all journals can be read and name, for everything that
// is not as it was found, what was there: found is the world before it all.
func (w *crashWorld) survived(found crashPoint, when string) {
	w.t.Helper()
	for name, k := range w.Kernels {
		journals, err := agent.ReadJournals(filepath.Join(w.Dir, name), "")
		if err != nil {
			w.t.Fatalf("%s: %s: %v", when, name, err)
		}
		for id, came := range w.came[name] {
			was, there := found.live[name][id]
			if !there {
				was = came
			}
			is, left := k.State[id]
			if id.Kind == state.KindModule || is == was || !left && id.Kind == state.KindSysctl {
				continue // what is loaded stays, and a setting goes with its device
			}
			if !slices.ContainsFunc(journals, func(j *journal.Draft) bool {
				e, ok := j.Entries[id]
				return ok && e.Before.Item == was
			}) {
				w.t.Fatalf("%s: %s: %s was found as %v and is %v, and no journal knows", when, name, id, was, is)
			}
		}
	}
}

// restored fails unless the hosts are as they were found and nothing of
// lvsform's is left on them, but for loaded modules and what came with them.
func (w *crashWorld) restored(found crashPoint, when string) {
	w.t.Helper()
	for name, k := range w.Kernels {
		for id, i := range k.State {
			came := slices.ContainsFunc(slices.Collect(maps.Values(k.Appears)), func(items []state.Item) bool { return slices.Contains(items, i) })
			if was := found.live[name][id]; was != i && id.Kind != state.KindModule && !came {
				w.t.Fatalf("%s: %s: %s is left, and was %v", when, name, state.Text(i), was)
			}
		}
		for id, i := range found.live[name] {
			if k.State[id] != i {
				w.t.Fatalf("%s: %s: %s is not back", when, name, state.Text(i))
			}
		}
		if _, err := os.Stat(filepath.Join(w.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			w.t.Fatalf("%s: %s: something is left in the folder", when, name)
		}
	}
}

// holds fails unless a command that is struck loses nothing: the journals can
// be read and know what was found, the same command goes on to the same end as
// without, and so do commands that destroy all. The world ends as the command
// leaves it.
func (w *crashWorld) holds(c command, found crashPoint, all []command, strikes func(points int) []fate) {
	w.t.Helper()
	before := w.save()
	w.fate = &fate{}
	w.mustRun(c)
	want, after, points := w.whole(), w.save(), w.fate.seen
	w.survived(found, c.String())
	for _, f := range strikes(points) {
		when := fmt.Sprintf("%v, struck at %d of %d, killed: %t", c, f.at, points, f.kills)
		w.restore(before)
		w.fate = &f
		if err := w.run(c); err == nil {
			w.t.Fatalf("%s: and nobody noticed", when)
		}
		w.survived(found, when)
		struck := w.save()
		w.fate = &fate{}
		w.mustRun(c)
		if diff := cmp.Diff(want, w.whole()); diff != "" {
			w.t.Fatalf("%s, then once more (-without +with):\n%s", when, diff)
		}
		w.restore(struck)
		for _, d := range all {
			w.mustRun(d)
			w.survived(found, when+", then "+d.String())
		}
		w.restored(found, when+", then all was destroyed")
	}
	w.restore(after)
}

func crashInventory(t tester, document string) *inventory.Inventory {
	inv, err := inventory.Parse("lvsform.yaml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if problems := modes.Check(inv); len(problems) != 0 {
		t.Fatal(problems)
	}
	return inv
}

// foundOtherwise sets by hand some of what an inventory asks for.
func (w *crashWorld) foundOtherwise(inv *inventory.Inventory, some func(state.Item) bool) {
	for host, wants := range modes.Desire(inv, nil) {
		live := w.Kernels[host].State
		slices.SortFunc(wants, func(a, b modes.Want) int { return state.Compare(state.IDOf(a.Item), state.IDOf(b.Item)) })
		for _, want := range wants {
			switch i := want.Item.(type) {
			case state.Address: // is adopted
				if _, ok := live[state.IDOf(state.Link{Name: i.Link})]; ok && some(i) {
					live.Put(i)
				}
			case state.Sysctl: // is set, and put back to this
				if _, ok := live[state.IDOf(i)]; ok && some(i) {
					i.Setting = "2"
					live.Put(i)
				}
			}
		}
	}
}
