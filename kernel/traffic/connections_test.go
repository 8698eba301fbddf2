package traffic

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

var byText = cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})

const connectionTable = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP C0000207 9CB0 C000021E 0050 C0000204 0050 ESTABLISHED     899
TCP C0000207 9CB1 C000021E 0050 C0000205 1F90 SYN_RECV         57
TCP C0000207 9CB2 C000021E 0051 C0000205 0051 ESTABLISHED     899
UDP C0000207 9CB0 C000021E 0050 C0000206 0050 UDP             299
TCP C0000208 9CB0 C000021E 0050 C0000204 0050 ESTABLISHED     899
TCP C0000208 9CB1 C000021E 0050 C0000204 0050 FIN_WAIT        101
TCP C0000208 0000 C000021E 0050 C0000204 0050 NONE            101
IP  C0000208 0000 00000007 0000 C0000204 0000 NONE            101
TCP 2001:0db8:0000:0000:0000:0000:0000:0007 9CB0 2001:0db8:0000:0000:0000:0000:0000:001e 0050 2001:0db8:0000:0000:0000:0000:0000:0004 0050 ESTABLISHED     899
TCP 2001:0db8:0000:0000:0000:0000:0000:0007 9CB1 2001:0db8:0000:0000:0000:0000:0000:001e 0050 C0000204 0050 TIME_WAIT       119 sip call-1
`

func TestScanConnections(t *testing.T) {
	for name, test := range map[string]struct {
		service string
		clients []string
		want    flow.Connections
	}{
		"IPv4": {
			service: "192.0.2.30:80",
			clients: []string{"192.0.2.7:40112", "192.0.2.7:40113", "192.0.2.7:40114"},
			want: flow.Connections{Active: 1, Inactive: 1, Templates: 1, Found: []flow.Connection{
				{Client: netip.MustParseAddrPort("192.0.2.7:40112"), Destination: netip.MustParseAddrPort("192.0.2.4:80"), State: "ESTABLISHED"},
				{Client: netip.MustParseAddrPort("192.0.2.7:40113"), Destination: netip.MustParseAddrPort("192.0.2.5:8080"), State: "SYN_RECV"},
			}},
		},
		"IPv6, and a destination of the other family": {
			service: "[2001:db8::1e]:80",
			clients: []string{"[2001:db8::7]:40113", "[2001:db8::7]:40112"},
			want: flow.Connections{Found: []flow.Connection{
				{Client: netip.MustParseAddrPort("[2001:db8::7]:40112"), Destination: netip.MustParseAddrPort("[2001:db8::4]:80"), State: "ESTABLISHED"},
				{Client: netip.MustParseAddrPort("[2001:db8::7]:40113"), Destination: netip.MustParseAddrPort("192.0.2.4:80"), State: "TIME_WAIT"},
			}},
		},
		"another service": {
			service: "192.0.2.31:80",
			clients: []string{"192.0.2.7:40112"},
		},
		"no clients": {
			service: "192.0.2.30:80",
			want:    flow.Connections{Active: 3, Inactive: 1, Templates: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var clients []netip.AddrPort
			for _, c := range test.clients {
				clients = append(clients, netip.MustParseAddrPort(c))
			}
			service := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort(test.service)}
			got, err := scanConnections(context.Background(), strings.NewReader(connectionTable), service, []netip.AddrPort{service.Address}, clients)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, byText); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A firewall mark's connections are known by the addresses its clients used,
// and its templates by the mark.
func TestScanConnectionsOfAMark(t *testing.T) {
	service := state.ServiceID{Protocol: state.TCP, FWMark: 7}
	got, err := scanConnections(context.Background(), strings.NewReader(connectionTable), service,
		[]netip.AddrPort{netip.MustParseAddrPort("192.0.2.30:80"), netip.MustParseAddrPort("192.0.2.30:81")},
		[]netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:40114")})
	if err != nil {
		t.Fatal(err)
	}
	want := flow.Connections{Active: 3, Inactive: 1, Templates: 1, Found: []flow.Connection{
		{Client: netip.MustParseAddrPort("192.0.2.7:40114"), Destination: netip.MustParseAddrPort("192.0.2.5:81"), State: "ESTABLISHED"},
	}}
	if diff := cmp.Diff(want, got, byText); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestScanConnectionsRefuses(t *testing.T) {
	service := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}
	client := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:40112")}
	for _, row := range []string{
		"TCP C0000207 9CB0 C000021E 0050 C0000204 0050\n",
		"TCP C0000207 9CB0 C000021E 0050 C00002 0050 ESTABLISHED 899\n",
		"TCP C0000207 9CB0 C000021E 0050 C0000204 XX50 ESTABLISHED 899\n",
	} {
		if got, err := scanConnections(context.Background(), strings.NewReader(row), service, []netip.AddrPort{service.Address}, client); err == nil {
			t.Errorf("%q was read as %v", row, got)
		}
	}
}

func TestScanConnectionsEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	service := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}
	if _, err := scanConnections(ctx, strings.NewReader(connectionTable), service, nil, nil); err == nil {
		t.Error("no error with a context that has ended")
	}
}
