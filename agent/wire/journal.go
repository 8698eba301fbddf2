package wire

import "github.com/lvsform/lvsform/state"

// JournalVersion is the format_version this lvsform writes and reads.
const JournalVersion = "1"

// Journal is what a host remembers of one topology: every item lvsform set or
// found in place, and what was there before. It is kept on the host, so that
// any workstation can put the host back as it was found.
type Journal struct {
	FormatVersion string  `json:"format_version"`
	Topology      string  `json:"topology"`
	Entries       []Entry `json:"entries"` // in the order of state.Compare
}

// Entry is one item of a journal.
type Entry struct {
	Before state.Tagged `json:"before"` // as found; null: it was not there
	After  state.Tagged `json:"after"`  // as lvsform set it
	Role   string       `json:"role"`
	Reason string       `json:"reason"`
}

// ID is the identity of the entry's item.
func (e Entry) ID() state.ID { return state.IDOf(e.After.Item) }
