package main

import (
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// defaultFile is the inventory when no FILE is given.
const defaultFile = "lvsform.yaml"

// fileName returns the FILE argument of a command that takes at most one.
func fileName(args []string) string {
	if len(args) == 0 {
		return defaultFile
	}
	return args[0]
}

// loadInventory reads the inventory that the FILE argument names and checks
// it, the rules of the forwarding modes included.
func loadInventory(args []string) (*inventory.Inventory, error) {
	inv, err := inventory.Load(fileName(args))
	if err != nil {
		return nil, err
	}
	if problems := modes.Check(inv); len(problems) > 0 {
		return nil, problems
	}
	return inv, nil
}
