package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
)

// maxJournal is the longest journal file in bytes that is read.
const maxJournal = wire.MaxFrame

func journalFile(dir, topology string) (string, error) {
	name, ok := journal.FileName(topology)
	if !ok {
		return "", errNoTopology
	}
	return filepath.Join(dir, name), nil
}

// journal is one topology's journal in this boot of the host.
func (a *Agent) journal(topology string) (*journal.Draft, error) {
	j, err := readJournal(a.Dir, topology)
	if err == nil {
		j.At(a.Boot)
	}
	return j, err
}

// journals are those of readJournals in this boot of the host.
func (a *Agent) journals(except string) ([]*journal.Draft, error) {
	out, err := readJournals(a.Dir, except)
	for _, j := range out {
		j.At(a.Boot)
	}
	return out, err
}

// readJournal reads one topology's journal; an empty one where there is none.
func readJournal(dir, topology string) (*journal.Draft, error) {
	file, err := journalFile(dir, topology)
	if err != nil {
		return nil, err
	}
	kept, err := parseJournal(file)
	if errors.Is(err, fs.ErrNotExist) {
		return journal.New(topology), nil
	}
	if err == nil {
		err = kept.Check(topology)
	}
	if err != nil {
		return nil, fault.New(fault.Conflict, "journal %s: %w; nothing is changed on this host while it cannot be read. If there is no copy of it, move it out of %s, for example to /root: what topology %s has set here is then no longer known, and stays", file, err, dir, topology)
	}
	return kept.Draft(), nil
}

func parseJournal(file string) (j journal.Journal, err error) {
	info, err := os.Lstat(file)
	if err != nil {
		return j, err
	}
	if !info.Mode().IsRegular() {
		return j, fmt.Errorf("is %s, and no regular file", kindOf(info))
	}
	if why := notAlone(info); why != "" {
		return j, fmt.Errorf("%s, and what it says is carried out as root: if it is sound, chown root:root and chmod 600 it", why)
	}
	if info.Size() > maxJournal {
		return j, fmt.Errorf("%d bytes is over the limit of %d", info.Size(), maxJournal)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(text, &j)
}

// readJournals reads every topology's journal on this host, but for that of the
// one named; empty: all.
func readJournals(dir, except string) ([]*journal.Draft, error) {
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journals: %w", err)
	}
	var out []*journal.Draft
	for _, f := range files {
		topology, ok := journal.TopologyOf(f.Name())
		if !ok || except != "" && topology == except {
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
func (a *Agent) write(j *journal.Draft) error {
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
func writeJournal(dir string, j *journal.Draft) error {
	file, err := journalFile(dir, j.Topology)
	if err != nil {
		return err
	}
	if j.Empty() {
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
	text, err := json.Marshal(j.Journal())
	if err != nil {
		return err
	}
	if len(text) >= maxJournal {
		return fault.New(fault.Unsupported, "journal: %d bytes for %d items are over the limit of %d; make the topology smaller", len(text), len(j.Entries), maxJournal)
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
