package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

var (
	off = state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"}
	on  = state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"}
	vip = state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.0.2.10/32")}
)

func newAgent(t *testing.T) *Agent {
	t.Helper()
	return &Agent{
		Dir:    filepath.Join(t.TempDir(), "lvsform"),
		Kernel: &fake.Kernel{State: statetest.Host(off, state.Link{Name: "lo", Up: true})},
	}
}

func steps(changes ...state.Change) wire.ApplyRequest {
	r := wire.ApplyRequest{Topology: "t"}
	for _, c := range changes {
		r.Steps = append(r.Steps, journal.Step{Change: c, Role: "real-server", Reason: "for the test"})
	}
	return r
}

func mustApply(t *testing.T, a *Agent, r wire.ApplyRequest) {
	t.Helper()
	res, err := a.apply(t.Context(), r)
	if err != nil || res.Done != len(r.Steps) {
		t.Fatalf("apply: %+v, %v", res, err)
	}
}

func entries(t *testing.T, a *Agent) map[state.ID]journal.Entry {
	t.Helper()
	j, err := readJournal(a.Dir, "t")
	if err != nil {
		t.Fatal(err)
	}
	return j.Entries
}

// What was there when an item was first touched stays in the journal.
func TestFirstBeforeStays(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{Before: off, After: on}))
	two := state.Sysctl{Name: on.Name, Setting: "2"}
	mustApply(t, a, steps(state.Change{Before: on, After: two}))
	e := entries(t, a)[state.IDOf(off)]
	if e.Before.Item != off || e.After.Item != two {
		t.Errorf("entry %v -> %v, want %v -> %v", e.Before.Item, e.After.Item, off, two)
	}
}

// The journal names a step before it is carried out, so that no death between
// the two leaves something nobody knows of.
func TestJournalIsAhead(t *testing.T) {
	a := newAgent(t)
	died := errors.New("died here")
	a.Kernel.(*fake.Kernel).BeforeDo = func(state.Change) error {
		if _, ok := entries(t, a)[state.IDOf(vip)]; !ok {
			t.Error("the change is made before the journal names it")
		}
		return died
	}
	res, err := a.apply(t.Context(), steps(state.Change{After: vip}))
	if err != nil || res.Done != 0 || !strings.Contains(res.Failed.Error(), "died here") {
		t.Errorf("apply: %+v, %v", res, err)
	}
}

// Only what was carried out is forgotten.
func TestRestore(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{Before: off, After: on}, state.Change{After: vip}))
	back := steps(state.Change{Before: vip}, state.Change{Before: on, After: off})
	for i := range back.Steps {
		back.Steps[i].Restore = true
	}
	a.Kernel.(*fake.Kernel).BeforeDo = func(c state.Change) error {
		if c.ID().Kind == state.KindSysctl {
			return errors.New("read-only file system")
		}
		return nil
	}
	if res, err := a.apply(t.Context(), back); err != nil || res.Done != 1 {
		t.Fatalf("apply: %+v, %v", res, err)
	}
	held := entries(t, a)
	if _, ok := held[state.IDOf(vip)]; ok {
		t.Error("the address is gone and still in the journal")
	}
	if _, ok := held[state.IDOf(off)]; !ok {
		t.Error("the setting was not put back and is out of the journal")
	}
}

func TestLeave(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{After: vip}))
	if err := os.MkdirAll(filepath.Join(a.Dir, "agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := &journal.Draft{Topology: "other", Entries: map[state.ID]journal.Entry{state.IDOf(on): {Before: state.Tagged{Item: off}, After: state.Tagged{Item: on}}}}
	if err := writeJournal(a.Dir, other); err != nil {
		t.Fatal(err)
	}
	forget := wire.SettleRequest{Topology: "t", Forget: []state.ID{state.IDOf(vip)}, Leave: true}
	if _, err := a.settle(t.Context(), forget); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(a.Dir, "other.json")); err != nil {
		t.Errorf("another topology's journal went along: %v", err)
	}
	seen, err := a.observe(t.Context(), wire.ObserveRequest{Topology: "t"})
	if err != nil || len(seen.Others) != 1 || len(seen.Journal.Entries) != 0 {
		t.Errorf("observed %+v, %v; want one item of another topology", seen, err)
	}
	if _, err := a.settle(t.Context(), wire.SettleRequest{Topology: "other", Forget: []state.ID{state.IDOf(on)}, Leave: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with the last topology the folder goes: %v", err)
	}
}

// What no journal may say is not written into one: it could never be read again.
func TestAdoptWhatIsUnsound(t *testing.T) {
	for _, e := range []journal.Entry{{}, {Before: state.Tagged{Item: off}}, {Before: state.Tagged{Item: off}, After: state.Tagged{Item: vip}}} {
		a := newAgent(t)
		if _, err := a.adopt(t.Context(), wire.AdoptRequest{Topology: "t", Entries: []journal.Entry{e}}); err == nil {
			t.Errorf("adopted %v", e)
		}
		if held := entries(t, a); len(held) != 0 {
			t.Errorf("adopting %v left %v", e, held)
		}
	}
}

func TestJournalFileIsRootsAlone(t *testing.T) {
	a := newAgent(t)
	mustApply(t, a, steps(state.Change{After: vip}))
	for path, want := range map[string]os.FileMode{a.Dir: 0o700, filepath.Join(a.Dir, "t.json"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(a.Dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{``, "unexpected end"},
		{`{"format_version":"1","topology":"t","entries":[{"before":null,"after":{"kind":"addr`, "unexpected end"},
		{`{"format_version":"2","topology":"t"}`, "another lvsform"},
		{`{"format_version":"1","topology":"u"}`, `of topology "u"`},
		{`{"format_version":"1","topology":"t","entries":[{}]}`, "names no item"},
		{`{"format_version":"1","topology":"t","entries":[{"after":{"kind":"bridge"}}]}`, "unknown kind"},
	} {
		a := newAgent(t)
		if err := os.MkdirAll(a.Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(a.Dir, "t.json")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := a.apply(t.Context(), steps(state.Change{After: vip}))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want the file's name and %q", c.text, err, c.says)
		}
		if a.Kernel.(*fake.Kernel).State.Has(vip) {
			t.Errorf("%s: changed the host without a journal", c.text)
		}
		// A journal that cannot be read is the user's to look at, not ours to replace.
		if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, []byte(c.text)) {
			t.Errorf("%s: the file was touched: %q, %v", c.text, now, err)
		}
	}
}

func TestTopologyNamesAFile(t *testing.T) {
	a := newAgent(t)
	for _, name := range []string{"", ".", "..", "../../etc/passwd", ".hidden", "a/b", "a\x00b"} {
		r := steps(state.Change{After: vip})
		r.Topology = name
		if _, err := a.apply(t.Context(), r); !errors.Is(err, errNoTopology) {
			t.Errorf("topology %q: %v", name, err)
		}
	}
}

// FuzzJournal: whatever the file holds, reading it ends in a journal that is
// written and read again as the same, or in an error.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"format_version":"1","topology":"t","entries":[{"before":null,"after":{"kind":"address","link":"lo","prefix":"192.0.2.10/32"},"role":"r","reason":"x"}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "t.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := readJournal(filepath.Dir(file), "t")
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := writeJournal(dir, j); err != nil {
			t.Fatal(err)
		}
		again, err := readJournal(dir, "t")
		if err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(j.Entries, again.Entries, sameEntry) || !slices.Equal(j.Members, again.Members) {
			t.Fatalf("%+v is read again as %+v", j, again)
		}
	})
}

func sameEntry(a, b journal.Entry) bool {
	return a.Before == b.Before && a.After == b.After && a.Role == b.Role && a.Reason == b.Reason && slices.Equal(a.For, b.For)
}

// The largest director there is to be has 100,000 destinations. If they were all
// found in place, over IPv6, its journal can be written and read again, and an
// observation be answered with it. A tenth of them is enough to know.
func TestJournalOfALargeDirector(t *testing.T) {
	a := newAgent(t)
	k := a.Kernel.(*fake.Kernel)
	var found []journal.Entry
	const scale = 10
	for i := range 100_000 / scale {
		rip := netip.MustParseAddr("2001:db8:aaaa:bbbb::").As16()
		rip[13], rip[14], rip[15] = byte(i>>16), byte(i>>8), byte(i)
		d := state.Destination{
			Service: state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")},
			Address: netip.AddrPortFrom(netip.AddrFrom16(rip), 65535),
			Forward: state.ForwardTUN, Weight: 65535, UpperThreshold: 100_000, LowerThreshold: 50_000,
		}
		k.State.Put(d)
		item := state.Tagged{Item: d}
		found = append(found, journal.Entry{Before: item, After: item, Role: "director", Reason: "real-server-00000", For: []string{"a-service/real-server-00000"}})
	}
	if _, err := a.adopt(t.Context(), wire.AdoptRequest{Topology: "t", Entries: found}); err != nil {
		t.Fatal(err)
	}
	seen, err := a.observe(t.Context(), wire.ObserveRequest{Topology: "t"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen.Journal.Entries) != len(found) || len(answer) > wire.MaxFrame/scale {
		t.Errorf("%d entries in %d bytes, want %d in no more than %d", len(seen.Journal.Entries), len(answer), len(found), wire.MaxFrame/scale)
	}
}

// A journal that could not be read again is not written, and nothing is done
// without one.
func TestJournalHasALimit(t *testing.T) {
	a := newAgent(t)
	r := steps(state.Change{After: vip})
	r.Steps[0].Reason = strings.Repeat("x", maxJournal)
	if _, err := a.apply(t.Context(), r); fault.Of(err) != fault.Unsupported || !strings.Contains(err.Error(), "over the limit") {
		t.Fatal(err)
	}
	if a.Kernel.(*fake.Kernel).State.Has(vip) {
		t.Error("changed the host without a journal")
	}
}
