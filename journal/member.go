package journal

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

// Member is a host of a topology and how to reach it, in the words of the
// inventory. It holds no secret: a key is the path of its file.
type Member struct {
	Name     string `json:"name"`
	Address  string `json:"address,omitempty"`  // to connect to; empty: left to ssh_config(5)
	Fallback string `json:"fallback,omitempty"` // where ssh_config does not know the name either
	Port     uint16 `json:"port,omitempty"`
	User     string `json:"user,omitempty"`
	Key      string `json:"key,omitempty"`
	Jump     string `json:"jump,omitempty"`
	Sudo     bool   `json:"sudo,omitempty"`
}

// Endpoint tells machines apart by where SSH finds them.
func (m Member) Endpoint() string { return fmt.Sprintf("%s port %d", m.At(), m.Port) }

// At is where the member is reached, as far as the inventory said.
func (m Member) At() string { return cmp.Or(m.Address, m.Fallback, m.Name) }

// Sane guards against what a host's journal may say: it decides where the
// workstation connects to.
func (m Member) Sane() bool {
	for _, s := range []string{m.Name, m.Address, m.Fallback, m.User, m.Key, m.Jump} {
		if len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == unicode.ReplacementChar || unicode.IsControl(r) }) {
			return false
		}
	}
	return m.Name != ""
}
