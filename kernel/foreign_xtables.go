package kernel

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// legacyEntry is how a family's rules lie in memory (struct ipt_entry,
// ip6t_entry, arpt_entry). All begin with source, destination and the masks of
// both, and continue with their matches and the target.
type legacyEntry struct {
	addr    int // octets of an address
	targets int // where the offset of the target is; behind it that of the next entry
	size    int // where the matches begin
}

func ipv4Entry() legacyEntry { return legacyEntry{addr: 4, targets: 88, size: 112} }
func ipv6Entry() legacyEntry { return legacyEntry{addr: 16, targets: 140, size: 168} }
func arpEntry() legacyEntry  { return legacyEntry{addr: 4, targets: 164, size: 192} }

// Of struct xt_entry_match and xt_entry_target, which begin alike: their size,
// the name, and their own data.
const (
	extensionName = 2
	extensionData = 32
)

// tableSigns is what one table has of others than lvsform.
type tableSigns struct {
	chains []string
	// names says that a rule may name one of the addresses, or IPVS.
	names bool
}

// scan reads a table's entries. A chain begins with an entry whose target is
// ERROR, with the chain's name as its data; so does the table's end.
func (l legacyEntry) scan(entries []byte, vips []netip.Addr) tableSigns {
	var out tableSigns
	ours := false
	for len(entries) >= l.size {
		target := int(binary.NativeEndian.Uint16(entries[l.targets:]))
		next := int(binary.NativeEndian.Uint16(entries[l.targets+2:]))
		if target < l.size || target+extensionData > next || next > len(entries) {
			break // not as we know it
		}
		e := entries[:next]
		entries = entries[next:]
		if extensionIs(e[target:], "ERROR") {
			name := unix.ByteSliceToString(e[target+extensionData:])
			ours = strings.HasPrefix(name, chainPrefix)
			if !ours && len(entries) != 0 {
				out.chains = append(out.chains, name)
			}
			continue
		}
		out.names = out.names || !ours && l.mayName(e, target, vips)
	}
	return out
}

func extensionIs(b []byte, name string) bool {
	return unix.ByteSliceToString(b[extensionName:extensionData-1]) == name
}

// mayName looks for the addresses in an entry: as its source or destination,
// or anywhere in a match or the target (DNAT, iprange). The latter may be
// chance; iptables-save tells.
func (l legacyEntry) mayName(e []byte, target int, vips []netip.Addr) bool {
	for at := l.size; at+extensionData <= target; {
		if extensionIs(e[at:], "ipvs") {
			return true
		}
		size := int(binary.NativeEndian.Uint16(e[at:]))
		if size < extensionData {
			break
		}
		at += size
	}
	source, destination := e[:l.addr], e[l.addr:2*l.addr]
	sourceMask, destinationMask := e[2*l.addr:3*l.addr], e[3*l.addr:4*l.addr]
	return slices.ContainsFunc(vips, func(vip netip.Addr) bool {
		ip := vip.AsSlice()
		return len(ip) == l.addr &&
			(masked(ip, source, sourceMask) || masked(ip, destination, destinationMask) || bytes.Contains(e[l.size:], ip))
	})
}

// masked reports whether an address is within a network that is not all there
// is.
func masked(ip, network, mask []byte) bool {
	any := true
	for i := range ip {
		if (ip[i]^network[i])&mask[i] != 0 {
			return false
		}
		any = any && mask[i] == 0
	}
	return !any
}
