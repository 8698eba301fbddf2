package importer

import "github.com/lvsform/lvsform/inventory"

// Write is the text of an inventory without comments behind its values.
func Write(inv *inventory.Inventory, head []string) ([]byte, error) {
	return writer{inv, nil, head}.text()
}
