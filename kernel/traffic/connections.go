package traffic

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

// ProcNet is where the kernel has the tables of a network namespace. /proc/net
// is the one of the process' first thread, which is another than ours in the tests.
const ProcNet = "/proc/thread-self/net/"

// FindConnections looks clients up in the connection table, among those to the
// given addresses of the service. The table of a busy director has millions of
// rows: it is read once, a row at a time.
func FindConnections(ctx context.Context, service state.ServiceID, addresses, clients []netip.AddrPort) (flow.Connections, error) {
	f, err := os.Open(ProcNet + "ip_vs_conn")
	if errors.Is(err, fs.ErrNotExist) {
		return flow.Connections{}, errors.New("the module ip_vs is not loaded")
	}
	if err != nil {
		return flow.Connections{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	return scanConnections(ctx, f, service, addresses, clients)
}

// scanConnections reads the table's text:
//
//	Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//	TCP C0A85B07 9CB0 C0A85B1E 0050 C0A85B04 0050 ESTABLISHED     899
//
// IPv4 addresses are hexadecimal numbers, IPv6 addresses have all their digits.
func scanConnections(ctx context.Context, r io.Reader, service state.ServiceID, addresses, clients []netip.AddrPort) (flow.Connections, error) {
	var out flow.Connections
	// All columns before DestIP have a fixed width for one family. Of a row
	// the protocol and what is beyond the client's column are "to".
	width := connectionWidth(service.Is6())
	toColumns := func(protocol string, a netip.AddrPort) string {
		return fmt.Sprintf("%-3s ", strings.ToUpper(protocol)) + connectionText(a)
	}
	protocol := string(service.Protocol)
	ours := map[string]bool{}
	for _, a := range addresses {
		ours[toColumns(protocol, a)] = true
	}
	template := toColumns(protocol, service.Address)
	if service.FWMark != 0 {
		template = toColumns("ip", markAddress(service))
	}
	wanted := make(map[string]netip.AddrPort, len(clients))
	for _, c := range clients {
		if c.Addr().Is6() != service.Is6() {
			return out, fmt.Errorf("client %s is of another address family than the service", c)
		}
		wanted[connectionText(c)] = c
	}

	const proto = len("TCP ")
	var to []byte
	rows := bufio.NewScanner(r)
	for n := 0; rows.Scan(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return out, ctx.Err()
		}
		row := rows.Bytes()
		if len(row) < proto+2*width+2 || row[proto+width] != ' ' {
			continue
		}
		from := string(row[proto : proto+width])
		to = append(append(to[:0], row[:proto]...), row[proto+width+1:proto+2*width+1]...)
		if strings.HasSuffix(from, " 0000") {
			if string(to) == template {
				out.Templates++
			}
			continue
		}
		if !ours[string(to)] {
			continue
		}
		rest := strings.Fields(string(row[proto+2*width+1:]))
		if len(rest) < 3 {
			return out, fmt.Errorf("row %q of the IPVS connection table is cut short", row)
		}
		client, ok := wanted[from]
		switch {
		case ok:
			dest, err := parseConnectionAddress(rest[0], rest[1])
			if err != nil {
				return out, fmt.Errorf("row %q of the IPVS connection table: %w", row, err)
			}
			out.Found = append(out.Found, flow.Connection{Client: client, Destination: dest, State: rest[2]})
		case activeState(rest[2]):
			out.Active++
		default:
			out.Inactive++
		}
	}
	return out, rows.Err()
}

// connectionWidth is that of an address and port in the table.
func connectionWidth(is6 bool) int {
	if is6 {
		return len("2001:0db8:0000:0000:0000:0000:0000:001e 0050")
	}
	return len("C000021E 0050")
}

// markAddress is what the templates of a fwmark service have for its address:
// the mark in its first four octets (ip_vs_sched_persist in ip_vs_core.c).
func markAddress(service state.ServiceID) netip.AddrPort {
	var a [16]byte
	binary.BigEndian.PutUint32(a[:], service.FWMark)
	if service.IPv6 {
		return netip.AddrPortFrom(netip.AddrFrom16(a), 0)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), 0)
}

// activeState reports what IPVS takes for an active connection. Those of UDP
// all count as inactive.
func activeState(name string) bool {
	switch name {
	case "ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK":
		return true
	}
	return false
}

// connectionText is an address and port in the table's own format.
func connectionText(a netip.AddrPort) string {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return fmt.Sprintf("%X %04X", ip.AsSlice(), a.Port())
	}
	return fmt.Sprintf("%s %04X", ip.StringExpanded(), a.Port())
}

func parseConnectionAddress(ip, port string) (netip.AddrPort, error) {
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	// A service of one family can have destinations of the other.
	if strings.Contains(ip, ":") {
		a, err := netip.ParseAddr(ip)
		return netip.AddrPortFrom(a, uint16(p)), err
	}
	b, err := hex.DecodeString(ip)
	if err != nil {
		return netip.AddrPort{}, err
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is not an address", ip)
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}
