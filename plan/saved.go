package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// SavedFormat begins every saved plan.
const SavedFormat = "lvsform plan"

// MaxSaved is the longest saved plan in bytes that is read.
const MaxSaved = 512 << 20

// Saved is a plan with all that carrying it out takes: the inventory, and what
// it was made from on each host, so that it is applied exactly or not at all.
type Saved struct {
	Inventory SavedInventory `json:"inventory"`
	Plan      *Plan          `json:"plan"`
	Basis     []Basis        `json:"basis"` // in the order of the plan's hosts before any choice among them
}

// SavedInventory is the inventory a plan was made from.
type SavedInventory struct {
	File   string `json:"file"`   // as it was named
	SHA256 string `json:"sha256"` // of the file, in hexadecimal
	Text   string `json:"text"`   // without its comments
}

// Basis is what a plan took from one host's live state.
type Basis struct {
	Host        string          `json:"host"`
	Member      *journal.Member `json:"member,omitempty"` // of a host that has left the inventory
	Fingerprint string          `json:"fingerprint"`      // SHA-256 of Observed, in hexadecimal
	// Observed holds what the plan depends on and nothing else of the host.
	Observed wire.Observed `json:"observed"`
}

// SavedFile is the file of a saved plan: what it is, and the rest, which is a
// Saved, with its digest.
type SavedFile struct {
	Format        string          `json:"format"`
	FormatVersion string          `json:"format_version"`
	SHA256        string          `json:"sha256"` // of content without white space, in hexadecimal
	Content       json.RawMessage `json:"content"`
}

// Save puts a plan together with what it was made from. Hosts that could not be
// observed have no basis: nothing of theirs is in the plan.
func Save(inv *inventory.Inventory, p *Plan, observed map[string]Observation) (*Saved, error) {
	text, err := inventory.WithoutComments(inv.Source)
	if err != nil {
		return nil, err
	}
	basis, err := bases(inv, p.Destroy, observed)
	if err != nil {
		return nil, err
	}
	return &Saved{
		Inventory: SavedInventory{File: inv.File, SHA256: digest(inv.Source), Text: string(text)},
		Plan:      p,
		Basis:     basis,
	}, nil
}

// Marshal returns the file's text.
func (s *Saved) Marshal() ([]byte, error) {
	content, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(SavedFile{SavedFormat, FormatVersion, digest(content), content}, "", "  ")
	return append(text, '\n'), err
}

// byteOrderMark is what some editors put before a text.
const byteOrderMark = "\uFEFF"

// LooksSaved tells a saved plan, or what else is JSON and no inventory, from
// an inventory.
func LooksSaved(text []byte) bool {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte(byteOrderMark)))
	if rest, ok := bytes.CutPrefix(text, []byte("{")); ok {
		// Cut short within its first key, as by a disk that was full.
		rest = bytes.TrimSpace(rest)
		if len(rest) > 1 && strings.HasPrefix(`"format"`, string(rest)) {
			return true
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	key, err := d.Token()
	name, _ := key.(string)
	return err == nil && name != "" && !slices.Contains(inventory.Keys(), name)
}

// ParseSaved reads a saved plan; file is its name in messages.
func ParseSaved(file string, text []byte) (*Saved, *inventory.Inventory, error) {
	s, inv, err := parseSaved(text)
	if err != nil {
		return nil, nil, fault.New(fault.Input, "%s: %w", file, err)
	}
	return s, inv, nil
}

func parseSaved(text []byte) (*Saved, *inventory.Inventory, error) {
	if len(text) > MaxSaved {
		return nil, nil, fmt.Errorf("%d bytes are over the limit of %d for a plan", len(text), MaxSaved)
	}
	var f SavedFile
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte(byteOrderMark)), &f); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, nil, fmt.Errorf("is cut short or damaged: at byte %d: %w; make the plan again", syntax.Offset, err)
		}
		return nil, nil, fmt.Errorf("is no plan of lvsform: %w", err)
	}
	switch {
	case f.Format != SavedFormat:
		return nil, nil, fmt.Errorf("is no plan of lvsform: its format is %.40q, not %q; lvsform plan --out makes one", f.Format, SavedFormat)
	case f.FormatVersion != FormatVersion:
		return nil, nil, fmt.Errorf("was written by another lvsform: its format_version is %.40q, and this one knows %q; make the plan again, or use that lvsform", f.FormatVersion, FormatVersion)
	}
	var content bytes.Buffer
	if err := json.Compact(&content, f.Content); err != nil {
		return nil, nil, fmt.Errorf("is cut short or damaged: it has no content: %w; make the plan again", err)
	}
	if digest(content.Bytes()) != f.SHA256 {
		return nil, nil, errors.New("was changed after it was written: its content does not have the digest it says; make the plan again")
	}
	var s Saved
	d := json.NewDecoder(&content)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, nil, fmt.Errorf("is damaged: %w; make the plan again", err)
	}
	inv, err := s.check()
	if err != nil {
		return nil, nil, fmt.Errorf("is damaged: %w; make the plan again", err)
	}
	return &s, inv, nil
}

// check refuses what Save never writes.
func (s *Saved) check() (*inventory.Inventory, error) {
	inv, err := inventory.Parse(s.Inventory.File, []byte(s.Inventory.Text))
	if err != nil {
		return nil, fmt.Errorf("its inventory: %s", firstLine(err))
	}
	if problems := modes.Check(inv); len(problems) != 0 {
		return nil, fmt.Errorf("its inventory: %s", firstLine(problems))
	}
	if s.Plan == nil || s.Plan.FormatVersion != FormatVersion || s.Plan.Topology != inv.Name {
		return nil, fmt.Errorf("it has no plan for topology %s", inv.Name)
	}
	known := map[string]bool{}
	for _, b := range s.Basis {
		known[b.Host] = true
	}
	for _, m := range s.Plan.Members[min(len(inv.Hosts), len(s.Plan.Members)):] {
		if !slices.ContainsFunc(s.Plan.Hosts, func(h Host) bool { return h.Name == m.Name }) {
			s.Plan.LeftOut = append(s.Plan.LeftOut, m.Name)
		}
	}
	for _, h := range s.Plan.Hosts {
		if !known[h.Name] || len(h.Errors) != 0 {
			return nil, fmt.Errorf("host %q: the plan does not say what it was made from", h.Name)
		}
		known[h.Name] = false // once
		wave := LoadModules
		for _, a := range h.Actions {
			c := a.Change()
			if c.Before == nil && c.After == nil || c.Before != nil && c.After != nil && state.IDOf(c.Before) != state.IDOf(c.After) {
				return nil, fmt.Errorf("host %q: an action changes nothing, or one thing into another", h.Name)
			}
			if a.Op != c.Op() || a.Kind != c.ID().Kind || a.Key != c.ID().Key || a.Wave < wave || a.Wave > RestoreHosts {
				return nil, fmt.Errorf("host %q: action %q does not fit its change or its place", h.Name, fmt.Sprint(a.Op, " ", a.Kind, " ", a.Key))
			}
			if c.After == nil && !a.Restore {
				return nil, fmt.Errorf("host %q: action %q removes what it does not put back as found", h.Name, fmt.Sprint(a.Op, " ", a.Kind, " ", a.Key))
			}
			wave = a.Wave
		}
		for _, x := range h.Held {
			if len(x.Needs) == 0 {
				return nil, fmt.Errorf("host %q: holds %q back for nothing", h.Name, fmt.Sprint(x.Op, " ", x.Kind, " ", x.Key))
			}
		}
		for _, e := range h.Adopt {
			if !e.Sound() {
				return nil, fmt.Errorf("host %q: adopts nothing, or one thing for another", h.Name)
			}
		}
	}
	return inv, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// MadeFrom reports whether the plan was made from an inventory of that text.
func (s *Saved) MadeFrom(text []byte) bool { return digest(text) == s.Inventory.SHA256 }

// Left lists the hosts beyond the inventory that the plan was made from.
func (s *Saved) Left() []journal.Member {
	var out []journal.Member
	for _, b := range s.Basis {
		if b.Member != nil {
			out = append(out, *b.Member)
		}
	}
	return out
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// bases is what a plan takes from each host that was observed, in the order of
// the plan.
func bases(inv *inventory.Inventory, destroy bool, observed map[string]Observation) ([]Basis, error) {
	var desired modes.Desired
	if !destroy {
		desired = modes.Desire(inv, facts(observed))
	}
	out := []Basis{}
	add := func(name string, h *inventory.Host) error {
		obs := observed[name]
		if obs.Err != nil {
			return nil
		}
		b := Basis{Host: name, Member: obs.Member, Observed: basisOf(inv, h, desired[name], obs.Observed)}
		text, err := json.Marshal(b.Observed)
		b.Fingerprint = digest(text)
		out = append(out, b)
		return err
	}
	for _, h := range inv.Hosts {
		if err := add(h.Name, h); err != nil {
			return nil, err
		}
	}
	for _, name := range left(observed) {
		if err := add(name, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// basisOf keeps of an observation what the plan for a host depends on: what is
// wanted or held, the facts the inventory states, and all of IPVS. The host is
// nil when it has left the inventory.
func basisOf(inv *inventory.Inventory, h *inventory.Host, wants []modes.Want, obs wire.Observed) wire.Observed {
	ids := map[state.ID]bool{}
	for _, w := range wants {
		ids[state.IDOf(w.Item)] = true
		for _, i := range slices.Concat(w.MetBy...) {
			ids[state.IDOf(i)] = true
		}
	}
	for _, e := range obs.Journal.Entries {
		ids[e.ID()] = true
	}
	nics := map[string]bool{}
	if h != nil {
		for _, n := range h.NICs {
			nics[n.Name] = true
		}
	}
	matters := func(i state.Item) bool {
		switch i := i.(type) {
		case state.Link:
			return nics[i.Name]
		case state.Address:
			return nics[i.Link] || concerns(inv, i.Prefix.Addr())
		case state.Route:
			return h != nil && statesRoute(h, i)
		default:
			return i.Kind().Traits().Balancer
		}
	}
	held := append([]journal.Entry{}, obs.Journal.Entries...) // an array in JSON, not null
	out := wire.Observed{State: state.Host{}, Journal: journal.Journal{Topology: inv.Name, Entries: held, Members: obs.Journal.Members}}
	for id, i := range obs.State {
		if ids[id] || matters(i) {
			out.State[id] = i
		}
	}
	for _, m := range obs.Missing {
		if r, route := state.RouteOf(m.ID); !route || ids[m.ID] || matters(r) {
			out.Missing = append(out.Missing, m)
		}
	}
	for _, j := range obs.Others {
		var entries []journal.Entry
		for _, e := range j.Entries {
			if ids[e.ID()] {
				entries = append(entries, e)
			}
		}
		if entries != nil {
			out.Others = append(out.Others, journal.Journal{Topology: j.Topology, Entries: entries})
		}
	}
	return out
}
