package state

// Up is a network device that is administratively up. The device itself is
// the host's, or comes with a kernel module, as tunl0 does with ipip.
type Up struct {
	Link string `json:"link"`
}

// Kind implements Item.
func (Up) Kind() Kind { return KindUp }

// Key implements Item.
func (u Up) Key() string { return u.Link }

// Value implements Item.
func (Up) Value() string { return "" }
