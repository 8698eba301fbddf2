// Package inventorytest reads inventories for tests.
package inventorytest

import (
	"os"

	"github.com/lvsform/lvsform/inventory"
)

// Load reads the inventory in a file. The error is inventory.Problems when the
// file is there and has mistakes.
func Load(path string) (*inventory.Inventory, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return inventory.Parse(path, data)
}
