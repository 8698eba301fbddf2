package state

import "fmt"

// FOUPort is a UDP port on which the kernel takes off a generic UDP
// encapsulation (gue), in the words of ip-fou(8).
type FOUPort struct {
	Port uint16 `json:"port"`
	IPv6 bool   `json:"ipv6,omitempty"` // the port of IPv6; otherwise of IPv4
}

// Kind implements Item.
func (FOUPort) Kind() Kind { return KindFOUPort }

// Key implements Item.
func (f FOUPort) Key() string {
	if f.IPv6 {
		return fmt.Sprintf("%d gue -6", f.Port)
	}
	return fmt.Sprintf("%d gue", f.Port)
}

// Value implements Item.
func (FOUPort) Value() string { return "" }
