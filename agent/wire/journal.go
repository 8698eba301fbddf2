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
	Entries       []Entry `json:"entries"` // by kind, in the order in which one may need the other, and then by key
	// Members are the hosts of the topology as the inventory had them when it
	// was last applied: whoever reads one host's journal finds the others, also
	// those that have left the inventory since.
	Members []Member `json:"members,omitempty"`
}

// Member is a host of a topology and how to reach it, in the words of the
// inventory. It holds no secret: a key is the path of its file.
type Member struct {
	Name     string `json:"name"`
	Address  string `json:"address,omitempty"`  // to connect to; empty: left to ssh_config(5)
	Fallback string `json:"fallback,omitempty"` // where ssh_config does not know the name either
	Port     uint16 `json:"port,omitempty"`
	User     string `json:"user,omitempty"`
	Key      string `json:"key,omitempty"`
	Jump     string `json:"jump,omitempty"`
	Sudo     bool   `json:"sudo,omitempty"`
}

// Entry is one item of a journal.
type Entry struct {
	Before state.Tagged `json:"before"` // as found; null: it was not there
	After  state.Tagged `json:"after"`  // as lvsform set it
	Role   string       `json:"role"`   // of the host; "" where it is for all
	Reason string       `json:"reason"` // why it was set
	// For names the services the item is for, or, as service/host, the
	// destinations; empty: the host itself.
	For []string `json:"for,omitempty"`
}

// ID is the identity of the entry's item.
func (e Entry) ID() state.ID { return state.IDOf(e.After.Item) }

// Sound reports whether the entry names one item, as every journal's must.
func (e Entry) Sound() bool {
	return e.After.Item != nil && (e.Before.Item == nil || state.IDOf(e.Before.Item) == e.ID())
}
