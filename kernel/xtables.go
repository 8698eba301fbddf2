package kernel

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The legacy tables answer getsockopt on a raw socket (ip_tables.h,
// ip6_tables.h, arp_tables.h). Asking about a table makes it, so only those
// are asked about that /proc names.
type legacyTables struct {
	names   string // the file below /proc
	domain  int
	level   int
	getInfo int // and one more is getEntries
	hooks   int
	entry   legacyEntry
}

// inUse lists the tables there are in this network namespace.
func (l legacyTables) inUse() []string {
	names, err := os.ReadFile(l.names)
	if err != nil {
		return nil // the module is not loaded
	}
	return strings.Fields(string(names))
}

const (
	legacyNameLen = 32
	// legacyEntriesAt is where the rules begin in struct ipt_get_entries:
	// name, size, and padding to 8 bytes.
	legacyEntriesAt = legacyNameLen + 8
)

// mayHold reports whether a table may hold a chain with a name of that prefix.
// Where the kernel does not say, it may. It saves running iptables-save on
// every host that has a firewall of its own.
func (l legacyTables) mayHold(table, prefix string) bool {
	entries, err := l.entries(table)
	return err != nil || bytes.Contains(entries, []byte(prefix))
}

// entries reads the rules of a table, one behind the other.
func (l legacyTables) entries(table string) ([]byte, error) {
	fd, err := unix.Socket(l.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written

	// name, valid hooks, the hooks' entries and underflows, number, size
	info := make([]byte, legacyNameLen+4*(1+2*l.hooks+2))
	copy(info[:legacyNameLen-1], table)
	if err := getsockopt(fd, l.level, l.getInfo, info); err != nil {
		return nil, err
	}
	size := info[len(info)-4:]
	out := make([]byte, legacyEntriesAt+int(binary.NativeEndian.Uint32(size)))
	copy(out[:legacyNameLen-1], table)
	copy(out[legacyNameLen:], size)
	if err := getsockopt(fd, l.level, l.getInfo+1, out); err != nil {
		return nil, err
	}
	return out[legacyEntriesAt:], nil
}

// getsockopt is the system call for a structure that goes in and comes out,
// which package unix has no function for.
func getsockopt(fd, level, option int, b []byte) error {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
