package verify

import (
	"context"
	"net/netip"
	"strings"
	"sync"
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
		lost          int
	}{
		{wire.DataInOf{Received: wire.Received{Segments: 1, New: 10}}, false, false, 1},
		{wire.DataInOf{Received: wire.Received{Segments: 3, New: 20}}, false, true, 1},
		{wire.DataInOf{Received: wire.Received{Segments: 3, New: 20}}, false, false, 2},
		{wire.DataInOf{Received: wire.Received{Segments: 4, New: 20}}, true, false, 2},
	} {
		if r.take(step.now); r.arrived != step.arrived || r.busy != step.busy || r.lost != step.lost {
			t.Errorf("step %d: %+v", i, r)
		}
	}
}

// altered is a host whose answers are altered, one at a time.
type altered struct {
	wire.Caller
	mu    *sync.Mutex
	alter func(req, resp any)
}

func (a altered) Call(ctx context.Context, m wire.Method, req, resp any) error {
	err := a.Caller.Call(ctx, m, req, resp)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alter(req, resp)
	return err
}

// What was sent, and nobody could look for, was sent; and a connection that the
// client no longer has was not ended by the real server.
func TestReplyThatNobodyCouldLookFor(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"the client cannot be asked": func(w *world) { w.Traffic.Break("client", wire.MethodDataIn) },
		"the client has it no more": func(w *world) {
			w.hosts["client"] = altered{w.hosts["client"], new(sync.Mutex), func(_, resp any) {
				if in, ok := resp.(*wire.DataIn); ok {
					in.Now = nil
				}
			}}
		},
	} {
		inv := topology(t, rr)
		w := newWorld(t, inv)
		spoil(w)
		r, err := Run(t.Context(), inv, w.hosts, Options{Probes: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Services[0].Checks {
			const want = "had a reply of 1500 octets sent by web1, and whether it came to client is not known"
			if c.Name == checkFullReplies && (c.Outcome != Unknown || !strings.Contains(c.Evidence, want)) {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if r.Outcome != Unknown {
			t.Errorf("%s: %s", name, r.Outcome)
		}
	}
}

// Where the client remembers a path MTU, it does not show whether somebody lowers
// the MSS on the way to as much. Then larger packets than that prove nothing.
func TestReplyToAClientThatRemembersAPathMTU(t *testing.T) {
	const announced = 1360
	for name, test := range map[string]struct {
		mss      uint16 // as it came to the real server
		takes    int    // octets that the way takes
		outcome  Outcome
		evidence string
	}{
		"all come":              {announced, 1500, Passed, "packets of up to 1500 octets came back in 2 probes"},
		"as large as announced": {announced, 1400, Unknown, "1 probe got a packet of 1400 octets from web1, and none of 1500: client remembers a path MTU, so it is not known whether the MSS is lowered on the way"},
		"none comes":            {announced, 1300, Failed, "connected, but a packet of 1400 octets from web1 did not come to client"},
		"lowered further":       {1300, 1400, Passed, "packets of up to 1340 octets came back in 2 probes"},
	} {
		inv := topology(t, rr)
		w := newWorld(t, inv)
		var mu sync.Mutex
		sent := map[netip.AddrPort]int{}
		for _, h := range []string{"client", "remote", "web1", "web2"} {
			w.hosts[h] = altered{w.hosts[h], &mu, func(req, resp any) {
				switch resp := resp.(type) {
				case *wire.FullSizes:
					for i := range resp.Sent {
						resp.Sent[i].Announced = announced
					}
				case *wire.Watched:
					for i := range resp.Seen {
						resp.Seen[i].MSS = test.mss
					}
				case *wire.FullReplies:
					for _, r := range req.(wire.FullRepliesRequest).Replies {
						sent[r.To] = r.Octets
					}
				case *wire.DataIn:
					for i := range resp.Now {
						if sent[resp.Now[i].Local] > test.takes {
							resp.Now[i].Received = wire.Received{}
						}
					}
				}
			}}
		}
		r, err := Run(t.Context(), inv, w.hosts, Options{Probes: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Services[0].Checks {
			if c.Name == checkFullReplies && (c.Outcome != test.outcome || !strings.Contains(c.Evidence, test.evidence)) {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if r.Outcome != test.outcome {
			t.Errorf("%s: %s", name, r.Outcome)
		}
	}
}
