// Package read reads the files of other programs: a keepalived.conf, an
// ldirectord.cf, or a dump of ipvsadm. It tells what is in them in the words of
// an inventory, and makes none. A source's own defaults are honoured, what an
// inventory cannot say is listed with its line, and what is nonsense is reported
// and not guessed at.
//
// Each source has files of its own that read it into a Found.
package read

import (
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// MaxSize is the longest source in bytes that is read.
const MaxSize = 16 << 20

// Found is what a source tells. Where it comes from text, things carry the
// line they begin on.
type Found struct {
	Source   string // the file's name, or what else it was read from
	Director Director
	VIPs     []VIP
	Services []Service
	Left     []Left // what is not carried over, in the order of the source
}

// Director is what a source tells of the host it is for; all of it may be empty.
type Director struct {
	Name    string // keepalived's router_id
	NIC     string // where the VIPs go
	Address netip.Addr
	Sync    []inventory.Sync
	// Timeouts of IPVS, nil where the source does not set them.
	Timeouts *inventory.Timeouts
}

// VIP is an address that moves with VRRP.
type VIP struct {
	Line   int
	Prefix netip.Prefix // as written; a bare address has its full length
	Device string
	// Rest is the line of an address that says more than an inventory has of
	// one; empty where it does not.
	Rest string
}

// Service is a virtual service in the words of the inventory.
type Service struct {
	Line        int
	Name        string // empty: none in the source
	VIP         netip.Addr
	Port        uint16
	Protocol    inventory.Protocol
	Scheduler   string
	Flags       []string
	Persistence inventory.Persistence
	OnePacket   bool
	RealServers []RealServer
}

// RealServer is a destination of a Service.
type RealServer struct {
	Line           int
	Address        netip.Addr
	Port           uint16
	Weight         uint32
	UpperThreshold uint32
	LowerThreshold uint32
	Mode           inventory.Mode
	Encapsulation  inventory.Encapsulation // of a mode that tunnels
}

// Left is something of the source that the inventory does not have.
type Left struct {
	Line int    // 0: the source has no lines
	Text string // as written, secrets masked
	Why  string
}

// What is the text on one line.
func (l Left) What() string { return oneLine(l.Text) }

// Routine reports whether no inventory has the like, whatever it says: people
// who know what an inventory is for learn nothing from it.
func (l Left) Routine() bool {
	switch l.Why {
	case noChecks, noVRRP, aboutKeepalived, aboutLdirectord:
		return true
	}
	return false
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
