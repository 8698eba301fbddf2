package importer

import "github.com/lvsform/lvsform/inventory"

// Write is the text of an inventory without comments behind its values.
func Write(inv *inventory.Inventory, head []string) ([]byte, error) {
	text, _, err := writer{inv: inv, head: head}.text()
	return text, err
}

// LinesToVerify are what an inventory lacks before verify can prove it.
func LinesToVerify(inv *inventory.Inventory) []string { return ListAdditions(toVerify(inv)) }
