package state

import "fmt"

// Link is a network device as it is: a fact that lvsform observes and never
// changes. Whether it is up is also an item of its own, Up, which it does change.
type Link struct {
	Name string `json:"name"`
	MAC  string `json:"mac,omitempty"` // lower case, colons; empty where the device has none
	MTU  int    `json:"mtu"`           // bytes
	Up   bool   `json:"up"`            // administratively up
}

// Kind implements Item.
func (Link) Kind() Kind { return KindLink }

// Key implements Item.
func (l Link) Key() string { return l.Name }

// Value implements Item.
func (l Link) Value() string {
	s := fmt.Sprintf("down mtu %d", l.MTU)
	if l.Up {
		s = fmt.Sprintf("up mtu %d", l.MTU)
	}
	if l.MAC != "" {
		s += " address " + l.MAC
	}
	return s
}
