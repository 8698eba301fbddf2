package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

const journalSuffix = ".json"

// maxJournal is the longest journal file in bytes that is read.
const maxJournal = wire.MaxFrame

// journal is a topology's journal while it is worked on.
type journal struct {
	topology string
	members  []wire.Member
	entries  map[state.ID]wire.Entry
}

// know notes the topology's hosts.
func (j *journal) know(members []wire.Member) (changed bool) {
	changed = !slices.Equal(j.members, members)
	j.members = members
	return changed
}

// hold notes what steps are about to set. What was there when an item was
// first touched stays, however often the item changes after. Part: see
// wire.ApplyRequest.
func (j *journal) hold(steps []wire.Step, part bool) (changed bool) {
	for _, s := range steps {
		if s.Restore || !s.Change.ID().Kind.Traits().Journalled {
			continue
		}
		e := wire.Entry{Before: state.Tagged{Item: s.Change.Before}, After: state.Tagged{Item: s.Change.After}, Role: s.Role, Reason: s.Reason, For: s.For}
		if old, ok := j.entries[e.ID()]; ok {
			e.Before = old.Before
			e.For = serves(old.For, e.For, part)
		}
		j.entries[e.ID()] = e
		changed = true
	}
	return changed
}

// change notes another value of items that the journal holds, whatever they are
// for.
func (j *journal) change(changes []state.Change) (changed bool) {
	for _, c := range changes {
		if e, held := j.entries[c.ID()]; held && e.After.Item != c.After {
			e.After = state.Tagged{Item: c.After}
			j.entries[c.ID()] = e
			changed = true
		}
	}
	return changed
}

// release forgets what steps have put back.
func (j *journal) release(done []wire.Step) (changed bool) {
	for _, s := range done {
		if s.Restore {
			changed = j.forget(s.Change.ID()) || changed
		}
	}
	return changed
}

// adopt notes an item that was found exactly as wanted: putting it back means
// leaving it. One that is held already may be for other services now.
func (j *journal) adopt(e wire.Entry, part bool) (changed bool) {
	if old, ok := j.entries[e.ID()]; ok {
		e.For = serves(old.For, e.For, part)
		if old.After == e.After && slices.Equal(old.For, e.For) {
			return false
		}
		e.Before = old.Before // set by hand to what the inventory now says
	}
	j.entries[e.ID()] = e
	return true
}

// serves is what an item is for from now on: after a plan for a part it may still
// be in use for what it was for before, which was not looked at.
func serves(before, now []string, part bool) []string {
	if !part {
		return now
	}
	both := slices.Concat(before, now)
	slices.Sort(both)
	return slices.Compact(both)
}

func (j *journal) forget(id state.ID) (changed bool) {
	_, ok := j.entries[id]
	delete(j.entries, id)
	return ok
}

// inherit takes over what was there before another topology, which lets go of
// its entry, set the item: this one found it so set.
func (j *journal) inherit(e wire.Entry) (changed bool) {
	own, held := j.entries[e.ID()]
	if !held || own.Before != e.After || own.Before == e.Before {
		return false
	}
	own.Before = e.Before
	j.entries[e.ID()] = own
	return true
}

// file is the journal as it is kept.
func (j *journal) file() wire.Journal {
	out := wire.Journal{FormatVersion: wire.JournalVersion, Topology: j.topology, Members: j.members}
	for _, id := range slices.SortedFunc(maps.Keys(j.entries), state.Compare) {
		out.Entries = append(out.Entries, j.entries[id])
	}
	return out
}

func journalFile(dir, topology string) (string, error) {
	if topology == "" || topology[0] == '.' || strings.ContainsAny(topology, "/\x00") {
		return "", errNoTopology
	}
	return filepath.Join(dir, topology+journalSuffix), nil
}

// readJournal reads one topology's journal; an empty one where there is none.
func readJournal(dir, topology string) (*journal, error) {
	file, err := journalFile(dir, topology)
	if err != nil {
		return nil, err
	}
	j := &journal{topology: topology, entries: map[state.ID]wire.Entry{}}
	kept, err := parseJournal(file)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil && kept.Topology != topology {
		err = fmt.Errorf("is of topology %q", kept.Topology)
	}
	if err != nil {
		return nil, fault.New(fault.Conflict, "journal %s: %w; nothing is changed on this host while it cannot be read. If there is no copy of it, move it away: what lvsform set here is then no longer known, and stays", file, err)
	}
	j.members = kept.Members
	for _, e := range kept.Entries {
		j.entries[e.ID()] = e
	}
	return j, nil
}

func parseJournal(file string) (j wire.Journal, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return j, err
	}
	if info.Size() > maxJournal {
		return j, fmt.Errorf("%d bytes is over the limit of %d", info.Size(), maxJournal)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return j, err
	}
	if j.FormatVersion != wire.JournalVersion {
		return j, fmt.Errorf("format_version %q was written by another lvsform; this one knows %q", j.FormatVersion, wire.JournalVersion)
	}
	for _, e := range j.Entries {
		if !e.Sound() {
			return j, errors.New("an entry names no item, or two")
		}
	}
	return j, nil
}

// readJournals reads every topology's journal on this host, but for that of the
// one named; empty: all.
func readJournals(dir, except string) ([]*journal, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journals: %w", err)
	}
	var out []*journal
	for _, f := range files {
		topology, ok := strings.CutSuffix(f.Name(), journalSuffix)
		if !ok || !f.Type().IsRegular() || strings.HasPrefix(topology, ".") || except != "" && topology == except {
			continue
		}
		j, err := readJournal(dir, topology)
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// write replaces a journal, and is where tests let an agent die.
func (a *Agent) write(j *journal) error {
	if a.beforeWrite != nil {
		if err := a.beforeWrite(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return writeJournal(a.Dir, j)
}

// writeJournal replaces a journal: after a crash there is the old one or the
// new one, whole. One that says nothing any more is removed; while the others
// of its topology may still hold something it names them.
func writeJournal(dir string, j *journal) error {
	file, err := journalFile(dir, j.topology)
	if err != nil {
		return err
	}
	if len(j.entries)+len(j.members) == 0 {
		err := os.Remove(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = syncDir(dir)
		}
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		return nil
	}
	text, err := json.Marshal(j.file())
	if err != nil {
		return err
	}
	if len(text) >= maxJournal {
		return fault.New(fault.Unsupported, "journal: %d bytes for %d items are over the limit of %d; make the topology smaller", len(text), len(j.entries), maxJournal)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := replaceFile(file, append(text, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// replaceFile writes beside the file first, not in /tmp: what a death leaves
// half written is in the folder that leave removes.
func replaceFile(file string, text []byte) error {
	dir := filepath.Dir(file)
	if err := renameio.WriteFile(file, text, 0o600, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename or removal in the folder outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// leave removes everything lvsform keeps on the host, the agent included, once
// no topology holds anything: the host is as it was before lvsform came.
func (a *Agent) leave() error {
	left, err := readJournals(a.Dir, "")
	if err == nil && a.beforeWrite != nil {
		err = a.beforeWrite()
	}
	if err != nil || len(left) != 0 {
		return err
	}
	return os.RemoveAll(a.Dir)
}
