package plan

import (
	"slices"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// class is what a plan does about an item that a host must have.
type class int

const (
	classKeep          class = iota // nothing: it is as lvsform left it, or something else serves as well
	classAdopt                      // the journal takes it as it is
	classForget                     // the journal lets go of it: it is gone, and something else serves as well
	classAct                        // it is set
	classTaken                      // somebody made it for a purpose of his own, and it has another value
	classOtherTopology              // another topology on the host holds it with another value
)

// found is what is known of an item on a host.
type found struct {
	is    state.Item    // as it is; nil: it is not there
	entry journal.Entry // of the journal
	ours  bool          // the journal has an entry
	other claim         // of another topology; zero: none holds it
	met   bool          // the host has another item that serves as well
}

// classify decides what a plan does about a want.
func classify(w modes.Want, f found) class {
	sameFor := slices.Equal(f.entry.For, w.For)
	switch {
	case f.other.topology != "" && f.other.item != w.Item && !f.met:
		return classOtherTopology
	case f.is == w.Item && f.ours && !f.entry.EarlierBoot && f.entry.After.Item == w.Item && sameFor:
		return classKeep
	case f.is == w.Item:
		return classAdopt
	case f.met && f.ours && f.is == nil:
		return classForget // somebody took it away and put another in its place
	case f.met && f.ours && (f.entry.After.Item != f.is || f.entry.EarlierBoot || !sameFor):
		return classAdopt // somebody set it to what serves as well
	case f.met:
		return classKeep
	case w.Item.Kind().Traits().Whole && f.is != nil && (!f.ours || f.entry.EarlierBoot):
		return classTaken
	default:
		return classAct
	}
}
