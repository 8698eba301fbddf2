package plan_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// savedText is the saved plan that docs/json.md shows.
func savedText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/example/saved-plan.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sealed is the file of a content, whatever it is, with the digest it has.
func sealed(t testing.TB, content []byte) []byte {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(compact.Bytes())
	text, err := json.Marshal(map[string]any{
		"format": plan.SavedFormat, "format_version": plan.FormatVersion, "sha256": hex.EncodeToString(sum[:]), "content": json.RawMessage(content),
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forged is the saved plan after somebody has edited it who knew how to make
// the digest anew.
func forged(t *testing.T, edit func(*plan.Saved)) []byte {
	t.Helper()
	s, _, err := plan.ParseSaved("plan.json", savedText(t))
	if err != nil {
		t.Fatal(err)
	}
	edit(s)
	text, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refused fails unless the text is refused as a user's mistake, in one line that
// names the file.
func refused(t *testing.T, what string, text []byte, says string) {
	t.Helper()
	_, _, err := plan.ParseSaved("old/plan.json", text)
	if err == nil {
		t.Errorf("%s: was taken for a plan", what)
		return
	}
	message := err.Error()
	if fault.Of(err) != fault.Input || !strings.HasPrefix(message, "old/plan.json: ") || strings.Contains(message, "\n") || !strings.Contains(message, says) {
		t.Errorf("%s: %s error %q; want an input error of one line that begins with the file and says %q", what, fault.Of(err), message, says)
	}
}

func TestSavedPlanCutShort(t *testing.T) {
	text := bytes.TrimSpace(savedText(t))
	for n := range text {
		refused(t, fmt.Sprintf("cut after %d bytes", n), text[:n], "is cut short or damaged")
		// From its first letter on, apply takes it for a plan, not an inventory.
		if named := bytes.ContainsRune(text[:n], 'f'); plan.LooksSaved(text[:n]) != named {
			t.Errorf("cut after %d bytes, it looks like a plan: %t", n, !named)
		}
	}
}

func TestSavedPlanOfOthers(t *testing.T) {
	text := savedText(t)
	other := func(old, new string) []byte {
		if bytes.Count(text, []byte(old)) == 0 {
			t.Fatalf("the saved plan has no %s", old)
		}
		return bytes.Replace(text, []byte(old), []byte(new), 1)
	}
	const (
		noPlan  = "is no plan of lvsform"
		cut     = "is cut short or damaged"
		edited  = "was changed after it was written"
		damaged = "is damaged: "
	)
	for _, c := range []struct {
		what, says string
		text       []byte
		looks      bool // like a saved plan, to the commands that take an inventory as well
	}{
		{"nothing", cut, nil, false},
		{"an inventory", cut, []byte("version: 1\nname: small\n"), false},
		{"an inventory in JSON", noPlan, []byte(`{"version": 1, "name": "small"}`), false},
		{"a zip archive", cut, []byte("PK\x03\x04\x14\x00\x08\x00tfplan"), false},
		{"terraform show -json", noPlan, []byte(`{"format_version":"1.2","terraform_version":"1.9.0","resource_changes":[]}`), true},
		{"lvsform plan --json", noPlan, []byte(`{"format_version": "2", "topology": "small", "hosts": []}`), true},
		{"a list", noPlan, []byte(`[1]`), false},
		{"null", noPlan, []byte(`null`), false},
		{"a word that is long", noPlan, []byte(`{"format": "` + strings.Repeat("x\\n", 1<<16) + `"}`), true},
		{"a format that is a number", noPlan, []byte(`{"format": 7}`), true},
		{"one of a newer lvsform", "was written by another lvsform", other(`"format_version": "2"`, `"format_version": "3"`), true},
		{"one of a newer lvsform, which has moved things", "was written by another lvsform", []byte(`{"format": "lvsform plan", "format_version": "9", "parts": []}`), true},
		{"without content", cut, []byte(`{"format": "lvsform plan", "format_version": "2"}`), true},
		{"something after the end", cut, append(slices.Clone(text), "{}"...), true},
		{"an edited action", edited, other(`"setting": "1"`, `"setting": "0"`), true},
		{"an edited address", edited, other("192.0.2.30", "192.0.2.31"), true},
		{"a field nobody knows", damaged, sealed(t, []byte(`{"inventory": {}, "because": "\n"}`)), true},
		{"empty content", damaged, sealed(t, []byte(`{}`)), true},
		{"content null", damaged, sealed(t, []byte(`null`)), true},
		{"an inventory with mistakes", damaged, forged(t, func(s *plan.Saved) { s.Inventory.Text = "version: 2\nname: a b\n" }), true},
		{"no plan", "it has no plan for topology small", forged(t, func(s *plan.Saved) { s.Plan = nil }), true},
		{"another topology's plan", "it has no plan for topology small", forged(t, func(s *plan.Saved) { s.Plan.Topology = "other" }), true},
		{"a host twice", `host "web1"`, forged(t, func(s *plan.Saved) { s.Plan.Hosts = append(s.Plan.Hosts, s.Plan.Hosts[1]) }), true},
		{"a host of which nothing is known", "does not say what it was made from", forged(t, func(s *plan.Saved) { s.Basis = s.Basis[:1] }), true},
		{"a host with a strange name", `host "\n\x1b[2J"`, forged(t, func(s *plan.Saved) { s.Plan.Hosts[0].Name = "\n\x1b[2J" }), true},
		{"an action that says another thing than it does", "does not fit its change", forged(t, func(s *plan.Saved) { action(s).Op = state.Remove }), true},
		{"an action under another name", "does not fit its change", forged(t, func(s *plan.Saved) { action(s).Key = "\n" }), true},
		{"an action that does nothing", "changes nothing", forged(t, func(s *plan.Saved) { action(s).Before, action(s).After = state.Tagged{}, state.Tagged{} }), true},
		{"an action from one thing to another", "one thing into another", forged(t, func(s *plan.Saved) {
			action(s).Before, action(s).After = state.Tagged{Item: state.Up{Link: "eth0"}}, state.Tagged{Item: state.Up{Link: "eth1"}}
		}), true},
		{"an action out of its place", "does not fit its change or its place", forged(t, func(s *plan.Saved) {
			late := *action(s)
			late.Wave = plan.LoadModules
			s.Plan.Hosts[1].Actions = append(s.Plan.Hosts[1].Actions, late)
		}), true},
		{"a removal that puts nothing back", "removes what it does not put back as found", forged(t, func(s *plan.Saved) {
			*action(s) = plan.Action{Op: state.Remove, Kind: state.KindUp, Key: "eth0", Before: state.Tagged{Item: state.Up{Link: "eth0"}}, Wave: plan.RestoreHosts}
		}), true},
		{"holding back for nothing", "back for nothing", forged(t, func(s *plan.Saved) {
			s.Plan.Hosts[0].Held = []plan.Held{{Op: state.Add, Kind: state.KindUp, Key: "eth0"}}
		}), true},
		{"adopting nothing", "adopts nothing", forged(t, func(s *plan.Saved) { s.Plan.Hosts[0].Adopt = []journal.Entry{{}} }), true},
		{"adopting one thing for another", "adopts nothing, or", forged(t, func(s *plan.Saved) {
			s.Plan.Hosts[0].Adopt = []journal.Entry{{Before: state.Tagged{Item: state.Up{Link: "eth0"}}, After: state.Tagged{Item: state.Up{Link: "eth1"}}}}
		}), true},
	} {
		refused(t, c.what, c.text, c.says)
		if got := plan.LooksSaved(c.text); got != c.looks {
			t.Errorf("%s: looks like a saved plan: %t", c.what, got)
		}
	}
}

// action is the first of a plan.
func action(s *plan.Saved) *plan.Action {
	at := slices.IndexFunc(s.Plan.Hosts, func(h plan.Host) bool { return len(h.Actions) != 0 })
	return &s.Plan.Hosts[at].Actions[0]
}

// What an editor does to the white space of a file is no edit.
func TestSavedPlanLaidOutAnew(t *testing.T) {
	text := savedText(t)
	want, _, err := plan.ParseSaved("plan.json", text)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{
		"in one line":               compact.Bytes(),
		"with the line ends of DOS": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
		"with a byte order mark":    append([]byte("\xef\xbb\xbf"), text...),
		"after empty lines":         append([]byte("\n\n\t"), text...),
	} {
		got, _, err := plan.ParseSaved("plan.json", text)
		if err != nil || !plan.LooksSaved(text) {
			t.Errorf("%s: %v, looks like a plan: %t", what, err, plan.LooksSaved(text))
			continue
		}
		if diff := cmp.Diff(want, got, values()...); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// What a journal says of the topology's hosts is written to all of them by a run:
// a plan that was made from another list would bring that back.
func TestSavedPlanAndMembers(t *testing.T) {
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		t.Fatal(err)
	}
	before := ready(inv)
	observed := carriedOut(plan.Make(inv, before), before)
	lb, web1, db9 := plan.Members(inv)[0], plan.Members(inv)[1], journal.Member{Name: "db9", Address: "192.0.2.9"}
	moved := web1
	moved.Port = 2222
	for _, c := range []struct {
		what    string
		members []journal.Member
		says    string // empty: nothing moved
	}{
		{"the same", []journal.Member{lb, web1}, ""},
		{"one more", []journal.Member{lb, web1, db9}, "+ db9"},
		{"one less", []journal.Member{lb}, "- web1"},
		{"one elsewhere", []journal.Member{lb, moved}, "~ web1"},
		{"one for another", []journal.Member{lb, db9}, "+ db9, - web1"},
		{"another order", []journal.Member{web1, lb}, "their order"},
		{"many more", []journal.Member{lb, web1, {Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}, {Name: "f"}}, "+ a, + b, + c, + d, and 2 more"},
	} {
		for _, make := range []func(*inventory.Inventory, map[string]plan.Observation) *plan.Plan{plan.Make, plan.Destroy} {
			saved, err := plan.Save(inv, make(inv, observed), observed)
			if err != nil {
				t.Fatal(err)
			}
			now := maps.Clone(observed)
			host := now["web1"]
			host.Journal.Members = c.members
			now["web1"] = host
			err = saved.Unchanged(inv, now)
			switch want := "\n  web1: what hosts topology small has, as is known there, has changed: " + c.says + "\n"; {
			case c.says == "" && err != nil:
				t.Errorf("%s: %v", c.what, err)
			case c.says != "" && (fault.Of(err) != fault.Stale || !strings.Contains(err.Error(), want)):
				t.Errorf("%s: %v\nwant it to say %q", c.what, err, want)
			}
		}
	}
}

// values compares saved plans by what they say.
func values() []cmp.Option {
	return []cmp.Option{
		cmp.Comparer(func(a, b state.Item) bool { return a == b }), // a Tagged is an Item, too
		cmpopts.IgnoreUnexported(fault.Error{}),
	}
}

// FuzzParseSaved: whatever the file holds, reading it ends in an input error of
// one line, or in a plan that is written and read again as the same. Most files
// fail at their digest: those that are sealed have the one they need.
func FuzzParseSaved(f *testing.F) {
	var small bytes.Buffer
	if err := json.Compact(&small, savedText(f)); err != nil {
		f.Fatal(err)
	}
	var file plan.SavedFile
	if err := json.Unmarshal(small.Bytes(), &file); err != nil {
		f.Fatal(err)
	}
	text := small.Bytes()
	f.Add(text, false)
	f.Add([]byte(file.Content), true)
	f.Add(text[:len(text)/2], false)
	f.Add(bytes.Replace(text, []byte(`"format_version":"2"`), []byte(`"format_version":"3"`), 1), false)
	f.Add([]byte(`{"format_version":"1.2","terraform_version":"1.9.0","resource_changes":[]}`), false)
	f.Add([]byte("PK\x03\x04\x14\x00\x08\x00tfplan"), false)
	inv, err := inventory.Parse("lvsform.yaml", []byte(smallInventory))
	if err != nil {
		f.Fatal(err)
	}
	before := ready(inv)
	after := carriedOut(plan.Make(inv, before), before)
	for _, c := range []struct {
		p        *plan.Plan
		observed map[string]plan.Observation
	}{{plan.Make(inv, before), before}, {plan.Destroy(inv, after), after}} {
		saved, err := plan.Save(inv, c.p, c.observed)
		if err != nil {
			f.Fatal(err)
		}
		content, err := json.Marshal(saved)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, true)
	}
	f.Fuzz(func(t *testing.T, text []byte, seal bool) {
		if seal {
			if !json.Valid(text) {
				return
			}
			text = sealed(t, text)
		}
		plan.LooksSaved(text)
		s, inv, err := plan.ParseSaved("plan.json", text)
		if err != nil {
			if fault.Of(err) != fault.Input || strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Fatalf("%s error %q, want an input error of one line", fault.Of(err), err)
			}
			return
		}
		if inv == nil || s.Plan == nil {
			t.Fatal("neither an error nor a plan")
		}
		again, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := plan.ParseSaved("plan.json", again)
		if err != nil {
			t.Fatalf("it is not read again: %v", err)
		}
		if diff := cmp.Diff(s, back, append(values(), cmpopts.EquateEmpty())...); diff != "" {
			t.Fatalf("read again it is another (-first +second):\n%s", diff)
		}
		last, err := back.Marshal()
		if err != nil || !bytes.Equal(again, last) {
			t.Fatalf("written again it is another file: %v", err)
		}
	})
}

// A route without words is part of what a plan was made from only where the
// inventory tells of one there, or the plan sets one.
func TestSavedPlanAndRoutesWithoutWords(t *testing.T) {
	inv := load(t, "../modes/testdata/desired/several-ways-back.yaml")
	observed := fresh(inv)
	saved, err := plan.Save(inv, &plan.Plan{}, observed)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to    string
		stale bool
	}{
		{"0.0.0.0/0", true},
		{"172.16.0.0/12", false},
	} {
		now := maps.Clone(observed)
		host := now["web1"]
		host.Missing = []state.Missing{{ID: state.IDOf(state.Route{To: netip.MustParsePrefix(c.to)}), Why: "the host has one with several next hops"}}
		now["web1"] = host
		if err := saved.Unchanged(inv, now); (fault.Of(err) == fault.Stale) != c.stale {
			t.Errorf("with one to %s: %v, want it to be stale: %t", c.to, err, c.stale)
		}
	}
}
