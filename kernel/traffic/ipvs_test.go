package traffic_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/kernel"
	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

// A destination that is this host's own address takes connections from this
// host, so one host makes a row.
func TestFindConnectionsOfIPVS(t *testing.T) {
	kerneltest.Namespace(t)
	k, err := kernel.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	vip, rip := netip.MustParseAddrPort("192.0.2.30:80"), netip.MustParseAddrPort("192.0.2.4:80")
	id := state.ServiceID{Protocol: state.TCP, Address: vip}
	for _, item := range []state.Item{
		state.Module{Name: "ip_vs_rr"},
		state.Address{Link: kerneltest.Device, Prefix: netip.MustParsePrefix("192.0.2.30/32")},
		state.Address{Link: kerneltest.Device, Prefix: netip.MustParsePrefix("192.0.2.4/32")},
		state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32},
		state.Destination{Service: id, Address: rip, Forward: state.ForwardDR, Weight: 1},
	} {
		if err := k.Do(t.Context(), state.Change{After: item}); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // of a test
	conn, err := net.Dial("tcp", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // of a test
	client := netip.MustParseAddrPort(conn.LocalAddr().String())
	got, err := traffic.FindConnections(t.Context(), id, []netip.AddrPort{vip}, []netip.AddrPort{client})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(flow.Connections{Found: []flow.Connection{{Client: client, Destination: rip, State: "ESTABLISHED"}}}, got, cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	got, err = traffic.FindConnections(t.Context(), id, []netip.AddrPort{vip}, nil)
	if err != nil || got.Active != 1 {
		t.Errorf("of others: %+v, %v", got, err)
	}
}
