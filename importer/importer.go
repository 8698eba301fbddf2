// Package importer writes inventories from what exists: what package read has
// found in the files of other programs, or live hosts. It builds a topology
// around that and writes it. What an inventory cannot say is listed, and what no
// source tells is assumed in a comment, or asked for.
package importer

import (
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
)

// Result is an inventory made of what exists, and what there is to say of it.
type Result struct {
	Text      []byte // the file; it can be parsed; nil where a text has no service that can be carried over
	Inventory *inventory.Inventory
	Left      []read.Left // what is not carried over
	Assumed   []Note      // what no source tells; each stands as a comment in Text, too
	// Pending is what a plan would change on the hosts that were looked at.
	Pending []Note
	// ToVerify is what the inventory lacks before verify can prove it.
	ToVerify []Addition
	// Problems are the static rules of the modes that the inventory breaks:
	// what exists cannot work, or not all of it is told.
	Problems inventory.Problems
}
