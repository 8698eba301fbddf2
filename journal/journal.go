// Package journal is what a host remembers of a topology: the types of the file
// that it keeps, and what becomes of them as a plan is carried out. It is pure;
// package agent reads and writes the files.
package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Version is the format_version this lvsform writes and reads.
const Version = "1"

// Journal is what a host remembers of one topology: every item lvsform set or
// found in place, and what was there before. It is kept on the host, so that
// any workstation can put the host back as it was found.
type Journal struct {
	FormatVersion string `json:"format_version"`
	Topology      string `json:"topology"`
	// Boot is the kernel's boot_id (random(4)) of when it was written. Nothing of
	// what was set in an earlier boot is left. Empty: it is not known.
	Boot    string  `json:"boot,omitempty"`
	Entries []Entry `json:"entries"` // by kind, in the order in which one may need the other, and then by key
	// Members are the hosts of the topology as the inventory had them when it
	// was last applied: whoever reads one host's journal finds the others, also
	// those that have left the inventory since.
	Members []Member `json:"members,omitempty"`
}

// Check is an error for a journal that this lvsform cannot have written for the
// topology: of another format, or with entries that name no item, or two.
func (j Journal) Check(topology string) error {
	if j.FormatVersion != Version {
		return fmt.Errorf("format_version %q was written by another lvsform; this one knows %q", j.FormatVersion, Version)
	}
	for _, e := range j.Entries {
		if !e.Sound() {
			return errors.New("an entry names no item, or two")
		}
	}
	if j.Topology != topology {
		return fmt.Errorf("is of topology %q", j.Topology)
	}
	return nil
}

// Dir is where a host keeps its journals, and in AgentDir the agent itself. It is
// root's alone.
const Dir = "/var/lib/lvsform"

// AgentDir is the folder of the agent itself, in Dir.
const AgentDir = "agent"

const suffix = ".json"

// FileName is the name of a topology's journal in the agent's folder. It is
// false for a name that no topology has: it could lead out of the folder.
func FileName(topology string) (name string, ok bool) {
	if topology == "" || topology[0] == '.' || strings.ContainsAny(topology, "/\x00") {
		return "", false
	}
	return topology + suffix, true
}

// TopologyOf is the topology whose journal has a file name; false: none.
func TopologyOf(name string) (topology string, ok bool) {
	topology, ok = strings.CutSuffix(name, suffix)
	if _, valid := FileName(topology); !valid {
		return "", false
	}
	return topology, ok
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
	// Was is what lvsform had set before After, in an item of somebody else's or
	// in a place for one: when a run was cut short, After may not be set yet.
	Was state.Tagged `json:"was,omitzero"`
	// EarlierBoot says that the host has rebooted since. Nothing of the entry is
	// set any more, and Before is no longer what to put back.
	EarlierBoot bool `json:"earlier_boot,omitempty"`
}

// ID is the identity of the entry's item.
func (e Entry) ID() state.ID { return state.IDOf(e.After.Item) }

// Sound reports whether the entry names one item, as every journal's must.
func (e Entry) Sound() bool {
	return e.After.Item != nil && (e.Before.Item == nil || state.IDOf(e.Before.Item) == e.ID())
}

// AsFound reports whether the entry's item was adopted, and is somebody else's.
func (e Entry) AsFound() bool { return e.Before.Item == e.After.Item }

// TakenOver reports whether a live value is somebody else's, set since the entry
// was written: what was found before is not to be put in its place. nil: the item
// is gone. One that is not there where lvsform had set it takes no place, and
// what was found there is put back.
func (e Entry) TakenOver(live state.Item) bool {
	switch live {
	case e.Before.Item, e.After.Item:
		return false
	case nil:
		return e.AsFound()
	case e.Was.Item:
		return false
	default:
		return e.yields()
	}
}

// yields reports whether another value than lvsform's makes the item another's:
// one that was there before, or a place for one. Whatever else lvsform has made
// stays its own, as a destination of which somebody has changed the weight.
func (e Entry) yields() bool {
	return e.Before.Item != nil || e.ID().Kind.Traits().Replaced
}

// Rebooted reports whether the journal has an entry of an earlier boot.
func (j Journal) Rebooted() bool {
	return slices.ContainsFunc(j.Entries, func(e Entry) bool { return e.EarlierBoot })
}

// Step is one change with what the journal keeps of it.
type Step struct {
	Change state.Change `json:"change"`
	Role   string       `json:"role"`          // for which role of the host it is made
	Reason string       `json:"reason"`        // why, in a few words
	For    []string     `json:"for,omitempty"` // as in Entry
	// Restore says that the change puts back what was there before lvsform
	// came: the journal lets go of the item.
	Restore bool `json:"restore,omitempty"`
}

// Sound reports whether the step changes one thing, and removes it only to put
// back that it was not there.
func (s Step) Sound() bool {
	before, after := s.Change.Before, s.Change.After
	switch {
	case before == nil && after == nil:
		return false
	case after == nil:
		return s.Restore
	default:
		return before == nil || state.IDOf(before) == state.IDOf(after)
	}
}
