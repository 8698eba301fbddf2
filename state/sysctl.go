package state

import "strings"

// Sysctl is a kernel setting below /proc/sys.
type Sysctl struct {
	// Name as sysctl(8) writes it: net.ipv4.conf.ens33.arp_ignore. A dot
	// inside a device name is written as a slash: net.ipv4.conf.eth0/100.arp_ignore.
	Name string `json:"name"`
	// Setting is the file's text without the final newline, tabs as single spaces.
	Setting string `json:"setting"`
}

// Kind implements Item.
func (Sysctl) Kind() Kind { return KindSysctl }

// Key implements Item.
func (s Sysctl) Key() string { return s.Name }

// Value implements Item.
func (s Sysctl) Value() string { return s.Setting }

// ConfSysctl names a per-device setting of one address family ("ipv4" or
// "ipv6"), with the device's dots written as slashes, as sysctl(8) does.
func ConfSysctl(family, device, setting string) string {
	return "net." + family + ".conf." + strings.ReplaceAll(device, ".", "/") + "." + setting
}

// stopsForwarding: the host is no router afterwards.
func stopsForwarding(c Change) bool {
	before, was := c.Before.(Sysctl)
	after, is := c.After.(Sysctl)
	return was && is && after.Setting == "0" && (before.Name == "net.ipv4.ip_forward" || strings.HasSuffix(before.Name, ".forwarding"))
}
