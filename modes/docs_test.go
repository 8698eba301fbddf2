package modes_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

const document = "../docs/modes.md"

// tableRows are the rows of the document that match, each cell a group.
func tableRows(t *testing.T, row string) [][]string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^"+row).FindAllStringSubmatch(string(text), -1)
	if len(rows) == 0 {
		t.Fatalf("%s has no row like %s: its tables are written differently", document, row)
	}
	return rows
}

// pattern matches a text of the document, in which <words> stand for anything.
func pattern(s string) *regexp.Regexp {
	s = regexp.QuoteMeta(s)
	return regexp.MustCompile("^" + regexp.MustCompile(`<[^<>]+>`).ReplaceAllString(s, ".+") + "$")
}

// setting is a row of the tables of settings.
type setting struct {
	modes        string
	role         string
	item, reason *regexp.Regexp
	line         string
	met          map[inventory.Mode]bool // by what an inventory wants in that mode
}

// knows reports whether the row tells of a want in a mode.
func (s *setting) knows(m inventory.Mode, w modes.Want) bool {
	role := string(w.Role)
	if role == "" {
		role = "host"
	}
	inMode := s.modes == "all" || strings.Contains(", "+s.modes+",", ", "+string(m)+",")
	return inMode && role == s.role && s.item.MatchString(state.Text(w.Item)) && s.reason.MatchString(w.Reason.Text)
}

func allModes() []inventory.Mode { return inventory.Modes() }

// The tables of settings in docs/modes.md hold what Desire yields and nothing
// else: every want of every inventory has a row with its mode, role, setting
// and reason, and every row is yielded in each mode it names.
func TestDocumentedSettings(t *testing.T) {
	var rows []*setting
	for _, r := range tableRows(t, "\\| ([a-z, ]+) \\| ([a-z-]+) \\| `([^`|]+)` \\| `([^`|]+)` \\|") {
		rows = append(rows, &setting{r[1], r[2], pattern(r[3]), pattern(r[4]), r[0], map[inventory.Mode]bool{}})
	}
	var all []string
	for _, p := range []string{"testdata/desired/*.yaml", "testdata/walk/*.yaml", "../examples/*/lvsform.yaml", "../examples/*/*/lvsform.yaml"} {
		all = append(all, files(t, p)...)
	}
	for _, file := range all {
		inv := load(t, file)
		for _, m := range allModes() {
			for host, wants := range modes.Desire(only(inv, m), cards(inv)) {
				for _, w := range wants {
					if w.Reason.ID == "" {
						t.Errorf("%s (%s): %s has a reason without an id: %s", file, m, state.Text(w.Item), w.Reason.Text)
					}
					known := false
					for _, r := range rows {
						if r.knows(m, w) {
							known, r.met[m] = true, true
						}
					}
					if !known {
						t.Errorf("%s has no row for %s of %s (%s): %s: %s (%s)", document, host, file, m, w.Role, state.Text(w.Item), w.Reason.Text)
					}
				}
			}
		}
	}
	for _, r := range rows {
		if len(r.met) == 0 {
			t.Errorf("%s: nothing yields %s", document, r.line)
		}
		for _, m := range allModes() {
			if r.modes != "all" && strings.Contains(", "+r.modes+",", ", "+string(m)+",") && !r.met[m] {
				t.Errorf("%s: nothing in mode %s yields %s", document, m, r.line)
			}
		}
	}
}

// only is the inventory with nothing but the real servers of one mode.
func only(inv *inventory.Inventory, m inventory.Mode) *inventory.Inventory {
	out := *inv
	out.Services = nil
	for _, s := range inv.Services {
		of := *s
		of.RealServers = nil
		for _, r := range s.RealServers {
			if r.Mode == m {
				of.RealServers = append(of.RealServers, r)
			}
		}
		if of.RealServers != nil {
			out.Services = append(out.Services, &of)
		}
	}
	return &out
}

// cards gives every NIC a MAC address, which static neighbours need.
func cards(inv *inventory.Inventory) modes.Facts {
	out := modes.Facts{}
	for _, h := range inv.Hosts {
		out[h.Name] = map[string]state.Link{}
		for _, n := range h.NICs {
			out[h.Name][n.Name] = state.Link{Name: n.Name, MAC: "02:00:00:00:00:01", MTU: 1500}
		}
	}
	return out
}

// The table of refusals in docs/modes.md holds what Check says of the
// inventories in testdata/refused and nothing else.
func TestDocumentedRefusals(t *testing.T) {
	type refusal struct {
		text *regexp.Regexp
		line string
		met  bool
	}
	var rows []*refusal
	for _, r := range tableRows(t, "\\| (?:all|nat|dr|tun|fullnat)[a-z, ]* \\| `([^`|]+)` \\| [^`|]") {
		rows = append(rows, &refusal{text: pattern("<place>: " + r[1] + "; <advice>"), line: r[0]})
	}
	for _, file := range files(t, "testdata/refused/*.yaml") {
		for _, p := range modes.Check(load(t, file)) {
			known := false
			for _, r := range rows {
				if r.text.MatchString(p.String()) {
					known, r.met = true, true
				}
			}
			if !known {
				t.Errorf("%s has no row for %v", document, p.String())
			}
		}
	}
	for _, r := range rows {
		if !r.met {
			t.Errorf("%s: no inventory in testdata/refused is told %s", document, r.line)
		}
	}
}
