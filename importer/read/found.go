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
	"slices"
	"sort"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// MaxSize is the longest source in bytes that is read.
const MaxSize = 16 << 20

// Found is what a source tells. Where it comes from text, things carry the
// line they begin on. Lines are counted as if included files stood in the
// source; Leave knows where they are.
type Found struct {
	Source   string // the file's name, or what else it was read from
	Director Director
	VIPs     []VIP
	Services []Service
	Left     []Left // what is not carried over, in the order of the source
	parts    []part // in order; none: all is in the source
}

// part is where lines from one on come from.
type part struct {
	from int
	at   place
}

// place is a line of a file; no file is the source itself.
type place struct {
	file string
	line int
}

// at is where a line comes from.
func (f *Found) at(line int) place {
	i := sort.Search(len(f.parts), func(i int) bool { return f.parts[i].from > line }) - 1
	if i < 0 {
		return place{"", line}
	}
	p := f.parts[i]
	return place{p.at.file, p.at.line + line - p.from}
}

// Leave is something that is not carried over, and the line it begins on; 0 is
// none.
func (f *Found) Leave(line int, text, why string) Left {
	at := f.at(line)
	return Left{File: at.file, Line: at.line, Text: text, Why: why, order: line}
}

// Director is what a source tells of the host it is for; all of it may be empty.
type Director struct {
	Name    string // keepalived's router_id
	NIC     string // where the VIPs go
	Address netip.Addr
	// AddressNIC is the NIC that has Address; empty: not told.
	AddressNIC string
	Sync       []inventory.Sync
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

// Service is a virtual service in the words of the inventory. One of a firewall
// mark has neither VIP nor port nor protocol: which packets have the mark, no
// source tells.
type Service struct {
	Line        int
	Name        string // empty: none in the source
	FWMark      uint32 // 0: none
	IPv6        bool   // of a FWMark: its family
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
	File  string // empty: the source itself
	Line  int    // 0: the source has no lines
	Text  string // as written, secrets masked
	Why   string
	order int // the line, counted through all files
}

// SortLeft puts what has lines into their order, and the rest behind it.
func SortLeft(left []Left) {
	slices.SortStableFunc(left, func(a, b Left) int {
		if a.order == 0 || b.order == 0 {
			return b.order - a.order
		}
		return a.order - b.order
	})
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
