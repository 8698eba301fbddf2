package main

import (
	"io"
	"os"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
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
		return nil, fault.As(fault.Input, err)
	}
	if problems := modes.Check(inv); len(problems) > 0 {
		return nil, problems
	}
	return inv, nil
}

// loadPlan reads the saved plan that the FILE argument names; nil when it names
// an inventory.
func loadPlan(args []string) (*plan.Saved, *inventory.Inventory, error) {
	f, err := os.Open(fileName(args))
	if err != nil {
		return nil, nil, fault.As(fault.Input, err)
	}
	defer f.Close()                                             //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, plan.MaxSaved+1)) // one more, to see that it is too long
	if err != nil {
		return nil, nil, fault.As(fault.Input, err)
	}
	if !plan.LooksSaved(text) {
		return nil, nil, nil
	}
	return plan.ParseSaved(fileName(args), text)
}
