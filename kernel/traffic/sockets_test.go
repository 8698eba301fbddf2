package traffic

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

func TestScanSockets(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the tables below are from a little-endian machine")
	}
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for name, test := range map[string]struct {
		table string
		want  []flow.Socket
	}{
		"IPv4": {
			table: heading +
				"   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   1: 1E0200C0:0050 070200C0:9CB0 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   2: 1E0200C0:0050 070200C0:9CB1 03 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   3: 1E0200C0:0050 070200C0:9CB2 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   4: 1E0200C0:0051 070200C0:9CB0 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n",
			want: []flow.Socket{
				{Local: netip.MustParseAddrPort("192.0.2.30:80"), Remote: netip.MustParseAddrPort("192.0.2.7:40112"), State: "ESTABLISHED"},
				{Local: netip.MustParseAddrPort("192.0.2.30:80"), Remote: netip.MustParseAddrPort("192.0.2.7:40113"), State: "SYN_RECV"},
			},
		},
		"IPv6, and IPv4 at a listener on [::]": {
			table: heading +
				"   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   1: 0000000000000000FFFF00001E0200C0:0050 0000000000000000FFFF0000070200C0:9CB0 08 00000000:00000000 00:00000000 00000000     0        0 1 1\n" +
				"   2: B80D012000000000000000001E000000:0050 B80D0120000000000000000007000000:9CB1 06 00000000:00000000 00:00000000 00000000     0        0 1 1\n",
			want: []flow.Socket{
				{Local: netip.MustParseAddrPort("192.0.2.30:80"), Remote: netip.MustParseAddrPort("192.0.2.7:40112"), State: "CLOSE_WAIT"},
				{Local: netip.MustParseAddrPort("[2001:db8::1e]:80"), Remote: netip.MustParseAddrPort("[2001:db8::7]:40113"), State: "TIME_WAIT"},
			},
		},
		"empty": {table: heading},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := scanSockets(context.Background(), strings.NewReader(test.table), onlyPeers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, byText); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// onlyPeers wants the connections of port 80 with two peers.
func onlyPeers(local, remote, _ string) bool {
	return local == "0050" && (remote == "9CB0" || remote == "9CB1")
}

func TestScanSocketsRefuses(t *testing.T) {
	for _, row := range []string{
		"   0: 1E0200C0:0050\n",
		"   0: 1E0200C0:0050 070200:9CB0 01 x\n",
		"   0: 1E0200C0:0050 070200XX:9CB0 01 x\n",
	} {
		if got, err := scanSockets(context.Background(), strings.NewReader("heading\n"+row), onlyPeers); err == nil {
			t.Errorf("%q was read as %v", row, got)
		}
	}
}

// A socket at [::] takes IPv4 requests, too, unless it was told not to.
func TestFindListeners(t *testing.T) {
	for network, both := range map[string]bool{"tcp": true, "tcp6": false, "udp": true, "udp6": false} {
		protocol := state.TCP
		var at netip.AddrPort
		if strings.HasPrefix(network, "udp") {
			protocol = state.UDP
			c, err := new(net.ListenConfig).ListenPacket(t.Context(), network, "[::]:0")
			if err != nil {
				t.Skip(err)
			}
			defer c.Close() //nolint:errcheck // of a test
			at = netip.MustParseAddrPort(c.LocalAddr().String())
		} else {
			l, err := new(net.ListenConfig).Listen(t.Context(), network, "[::]:0")
			if err != nil {
				t.Skip(err)
			}
			defer l.Close() //nolint:errcheck // of a test
			at = netip.MustParseAddrPort(l.Addr().String())
		}
		found, err := FindListeners(t.Context(), protocol)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(found, at) {
			t.Errorf("%s: %s is not among %v", network, at, found)
		}
		if got := slices.Contains(found, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())); got != both {
			t.Errorf("%s: takes IPv4: %v", network, got)
		}
	}
}
