package plan

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// BenchmarkReach plans for a director with many destinations, a tenth of which
// have another weight than wanted. Ten times the destinations take about ten
// times as long.
func BenchmarkReach(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"10000", 10_000}, {"100000", 100_000}} {
		b.Run(size.name, func(b *testing.B) {
			service := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.10:80")}
			wants := []modes.Want{{Item: state.Service{ServiceID: service, Scheduler: "rr", PersistenceBits: 32}, Role: inventory.RoleDirector}}
			live := statetest.Host(wants[0].Item)
			addr := netip.MustParseAddr("10.0.0.1")
			for i := range size.n {
				d := state.Destination{Service: service, Address: netip.AddrPortFrom(addr, 80), Forward: state.ForwardDR, Weight: 1}
				wants = append(wants, modes.Want{Item: d, Role: inventory.RoleDirector})
				if i%10 == 0 {
					d.Weight = 2
				}
				live.Put(d)
				addr = addr.Next()
			}
			b.ReportAllocs()
			for b.Loop() {
				var h Host
				h.diff(wants, Observation{Observed: wire.Observed{State: live}})
				if len(h.Actions) != size.n/10 {
					b.Fatalf("%d actions", len(h.Actions))
				}
			}
		})
	}
}
