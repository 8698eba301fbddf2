package kernel

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Connection is a row of IPVS' connection table.
type Connection struct {
	Client      netip.AddrPort
	Destination netip.AddrPort // the real server it was given to
	State       string         // as the kernel names it: ESTABLISHED, SYN_RECV, ...
}

// Connections is what the table has of one service.
type Connections struct {
	Found            []Connection // of the clients that were asked for
	Active, Inactive int          // other connections, as the schedulers count them
}

// The tables below belong to a network namespace. /proc/net is the one of the
// process' first thread, which is another than ours in the tests.
const procNet = "/proc/thread-self/net/"

// FindConnections looks clients up in the connection table. The table of a
// busy director has millions of rows: it is read once, a row at a time.
func FindConnections(ctx context.Context, service state.ServiceID, clients []netip.AddrPort) (Connections, error) {
	f, err := os.Open(procNet + "ip_vs_conn")
	if errors.Is(err, fs.ErrNotExist) {
		return Connections{}, errors.New("the module ip_vs is not loaded")
	}
	if err != nil {
		return Connections{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	return scanConnections(ctx, f, service, clients)
}

// scanConnections reads the table's text:
//
//	Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//	TCP C0A85B07 9CB0 C0A85B1E 0050 C0A85B04 0050 ESTABLISHED     899
//
// IPv4 addresses are hexadecimal numbers, IPv6 addresses have all their digits.
func scanConnections(ctx context.Context, r io.Reader, service state.ServiceID, clients []netip.AddrPort) (Connections, error) {
	var out Connections
	// All columns before DestIP have a fixed width for one family, so a row is
	// ours when it begins with the text expected of it.
	protocol := fmt.Sprintf("%-3s ", strings.ToUpper(string(service.Protocol)))
	to := " " + connectionText(service.Address) + " "
	wanted := make(map[string]netip.AddrPort, len(clients))
	from := 0
	for _, c := range clients {
		text := connectionText(c)
		if from != 0 && from != len(text) {
			return out, errors.New("clients of both address families")
		}
		from = len(text)
		wanted[text] = c
	}
	if from == 0 {
		from = len(connectionText(service.Address)) // of the same family
	}
	width := len(protocol) + from + len(to)

	rows := bufio.NewScanner(r)
	for n := 0; rows.Scan(); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return out, ctx.Err()
		}
		row := rows.Bytes()
		if len(row) < width || string(row[:len(protocol)]) != protocol || string(row[width-len(to):width]) != to {
			continue
		}
		rest := strings.Fields(string(row[width:]))
		if len(rest) < 3 {
			return out, fmt.Errorf("row %q of the IPVS connection table is cut short", row)
		}
		text := row[len(protocol) : len(protocol)+from]
		client, ok := wanted[string(text)]
		switch {
		case ok:
			dest, err := parseConnectionAddress(rest[0], rest[1])
			if err != nil {
				return out, fmt.Errorf("row %q of the IPVS connection table: %w", row, err)
			}
			out.Found = append(out.Found, Connection{client, dest, rest[2]})
		case strings.HasSuffix(string(text), " 0000"):
			// A persistence template, which is no connection.
		case activeState(rest[2]):
			out.Active++
		default:
			out.Inactive++
		}
	}
	return out, rows.Err()
}

// activeState reports what IPVS takes for an active TCP connection.
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
