package inventory

import (
	"bytes"
	"encoding/json"
)

// Schema returns the JSON Schema (draft 2020-12) of the inventory, for
// editors. It knows every key and the form of every value; what values have
// to do with each other only Parse knows.
func Schema() []byte {
	schema := document(&Inventory{}).schema()
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "lvsform inventory"
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		return nil // maps, slices, strings and numbers: there is no such error
	}
	return out.Bytes()
}
