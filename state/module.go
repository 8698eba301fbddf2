package state

// Module is a kernel module that is loaded, or built in. lvsform loads
// modules and never unloads them: nothing tells who else has come to use one.
type Module struct {
	Name string `json:"name"` // as modprobe takes it, with underscores: ip_vs_rr
}

// Kind implements Item.
func (Module) Kind() Kind { return KindModule }

// Key implements Item.
func (m Module) Key() string { return m.Name }

// Value implements Item.
func (Module) Value() string { return "" }
