package verify

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/inventory"
)

// Each case is a text in testdata, as in TestJudge.
func TestJudgeTunnel(t *testing.T) {
	for name, spoil := range map[string]func(*tunnelEvidence){
		"tunnel good":    func(*tunnelEvidence) {},
		"tunnel one way": func(ev *tunnelEvidence) { ev.crossings[1].echo.Answered = false },
		"tunnel not sent": func(ev *tunnelEvidence) {
			ev.crossings[0] = crossing{from: ev.crossings[0].from, to: ev.crossings[0].to, echo: wire.Echo{Failed: "network is unreachable"}}
		},
		"tunnel no answer":  func(ev *tunnelEvidence) { ev.crossings[0].echo.Answered, ev.crossings[0].outer = false, nil },
		"tunnel around":     func(ev *tunnelEvidence) { ev.crossings[0].outer, ev.crossings[1].outer = nil, nil },
		"tunnel wrong type": func(ev *tunnelEvidence) { ev.crossings[0].outer.Tunnel = "ipip" },
		"tunnel wrong end":  func(ev *tunnelEvidence) { ev.crossings[0].outer.OuterFrom = netip.MustParseAddr("203.0.113.9") },
		"tunnel not asked": func(ev *tunnelEvidence) {
			*ev = tunnelEvidence{missing: []*fault.Error{fault.New(fault.Connection, "node1: ask for an echo: not connected")}}
		},
		"tunnel nothing": func(ev *tunnelEvidence) { *ev = tunnelEvidence{} },
	} {
		t.Run(name, func(t *testing.T) {
			tunnel := &inventory.Tunnel{Name: "tun0", Type: "gre"}
			for i, a := range []string{"192.0.2.101", "192.0.2.103"} {
				tunnel.Ends[i] = &inventory.TunnelEnd{
					Host: &inventory.Host{Name: []string{"node1", "node2"}[i], NICs: []*inventory.NIC{
						{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix(a + "/24")}},
					}},
					Address: netip.MustParseAddr([]string{"198.51.100.1", "203.0.113.1"}[i]),
				}
			}
			ev := &tunnelEvidence{}
			for i, from := range tunnel.Ends {
				to := tunnel.Ends[1-i]
				ev.crossings = append(ev.crossings, crossing{from: from, to: to, echo: wire.Echo{Asked: 1, Answered: true}, outer: &flow.Sighting{
					Tunnel: "gre", OuterFrom: addressesOf(from.Host)[0], OuterTo: addressesOf(to.Host)[0], Count: 1,
				}})
			}
			spoil(ev)
			r := newReport(nil, []Tunnel{judgeTunnel(tunnel, ev)})
			if (r.Outcome == Passed) != strings.HasSuffix(name, "good") {
				t.Errorf("outcome: %v", r.Outcome)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b, 0); err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, b.String(), strings.NewReplacer(" ", "-", ",", "").Replace(name)+".golden")
		})
	}
}
