package state

import (
	"fmt"
	"net/netip"
)

// The roles of a connection synchronisation daemon.
const (
	SyncMaster = "master" // sends the connections it has
	SyncBackup = "backup" // takes them in
)

// SyncDaemon is IPVS' connection synchronisation daemon; a director runs at
// most one of each role.
type SyncDaemon struct {
	Role      string `json:"role"`
	Interface string `json:"interface"` // multicast interface
	ID        uint8  `json:"id"`        // syncid; a backup with 0 takes all
	// MaxLen is the largest message in bytes. Always set, as in the kernel, whose
	// own choice for a master is 1472, or 1452 to an IPv6 group.
	MaxLen uint16     `json:"max_len,omitempty"`
	Group  netip.Addr `json:"group"` // multicast group; the kernel's default is 224.0.0.81
	Port   uint16     `json:"port"`  // UDP; the kernel's default is 8848
	TTL    uint8      `json:"ttl"`   // of the multicast; the kernel's default is 1
}

// Kind implements Item.
func (SyncDaemon) Kind() Kind { return KindSyncDaemon }

// Key implements Item.
func (s SyncDaemon) Key() string { return s.Role }

// Value implements Item.
func (s SyncDaemon) Value() string {
	v := fmt.Sprintf("mcast-interface %s syncid %d", s.Interface, s.ID)
	if s.MaxLen != 0 {
		v += fmt.Sprintf(" sync-maxlen %d", s.MaxLen)
	}
	return v + fmt.Sprintf(" mcast-group %s mcast-port %d mcast-ttl %d", s.Group, s.Port, s.TTL)
}
