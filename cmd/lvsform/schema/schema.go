// Package schema holds the JSON Schemas (draft 2020-12) of the documents that
// lvsform prints and saves, one file each. They are made from the documents' Go
// types and their comments by the tests of cmd/lvsform, which also hold them up
// to date. The inventory's is elsewhere: inventory.Schema.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed *.json
var files embed.FS

// Names lists the documents.
func Names() []string {
	return []string{"valid", "plan", "saved-plan", "drift", "list", "verdict", "explain", "failures", "outcome"}
}

// Of returns a document's schema; fs.ErrNotExist: there is no such document.
func Of(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrNotExist
	}
	return files.ReadFile(name + ".json")
}
