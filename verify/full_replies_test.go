package verify

import (
	"net/netip"
	"testing"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/flow"
)

// Who lowered the MSS on its way decides how large replies are. A path MTU that
// the client remembers, by which it announced less than its device takes, does not.
func TestReplyOctets(t *testing.T) {
	for name, test := range map[string]struct {
		local            string
		announced, reply int
		arrived          *flow.Sighting
		want             int
	}{
		"as announced":            {"192.0.2.7:1", 1460, 1500, &flow.Sighting{MSS: 1460}, 1500},
		"IPv6":                    {"[2001:db8::7]:1", 1440, 1500, &flow.Sighting{MSS: 1440}, 1500},
		"lowered on the way":      {"192.0.2.7:1", 1460, 1500, &flow.Sighting{MSS: 1360}, 1400},
		"lowered on the way, v6":  {"[2001:db8::7]:1", 1440, 1500, &flow.Sighting{MSS: 1340}, 1400},
		"a remembered path MTU":   {"192.0.2.7:1", 1360, 1500, &flow.Sighting{MSS: 1360}, 1500},
		"a narrow device":         {"192.0.2.7:1", 1360, 1400, &flow.Sighting{MSS: 1360}, 1400},
		"announced nothing":       {"192.0.2.7:1", 1460, 1500, &flow.Sighting{}, 576},
		"the request was unseen":  {"192.0.2.7:1", 1460, 1500, nil, 1500},
		"unseen, less than there": {"192.0.2.7:1", 1360, 1500, nil, 1400},
	} {
		p := &probe{local: netip.MustParseAddrPort(test.local), arrived: test.arrived, full: &wire.FullSize{Announced: test.announced, Reply: test.reply}}
		if got := p.replyOctets(); got != test.want {
			t.Errorf("%s: %d octets, want %d", name, got, test.want)
		}
	}
}

// Data that the real server's program sends proves nothing of the packet.
func TestReplyAmongOtherData(t *testing.T) {
	r := &fullReply{before: wire.Received{Segments: 1, New: 10}}
	for i, step := range []struct {
		now           wire.DataInOf
		arrived, busy bool
	}{
		{wire.DataInOf{Received: wire.Received{Segments: 1, New: 10}}, false, false},
		{wire.DataInOf{Received: wire.Received{Segments: 3, New: 20}}, false, true},
		{wire.DataInOf{Received: wire.Received{Segments: 3, New: 20}}, false, false},
		{wire.DataInOf{Received: wire.Received{Segments: 4, New: 20}}, true, false},
	} {
		if r.take(step.now); r.arrived != step.arrived || r.busy != step.busy {
			t.Errorf("step %d: %+v", i, r)
		}
	}
}
