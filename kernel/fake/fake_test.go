package fake_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

func TestConformance(t *testing.T) {
	k := &fake.Kernel{
		State: statetest.Host(
			state.Link{Name: kerneltest.Device, MTU: 1500, Up: true},
			state.Up{Link: kerneltest.Device},
			state.Link{Name: kerneltest.Spare, MTU: 1500, Up: true},
			state.Up{Link: kerneltest.Spare},
			state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"},
			state.Sysctl{Name: state.ConfSysctl("ipv4", kerneltest.Device, "arp_ignore"), Setting: "0"},
		),
		Modules: []string{kerneltest.Module, "ipip", "ip_gre", "sit", "ip6_tunnel", "ip6_gre", "fou"},
		Appears: map[string][]state.Item{
			kerneltest.Module: {state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300}},
			"ipip": {
				state.Link{Name: "tunl0", MTU: 1480},
				state.Sysctl{Name: state.ConfSysctl("ipv4", "tunl0", "rp_filter"), Setting: "0"},
			},
			"ip_gre":     {state.Link{Name: "gre0", MTU: 1476}, state.Link{Name: "gretap0", MTU: 1462}, state.Link{Name: "erspan0", MTU: 1450}},
			"sit":        {state.Link{Name: "sit0", MTU: 1480}},
			"ip6_tunnel": {state.Link{Name: "ip6tnl0", MTU: 1452}},
			"ip6_gre":    {state.Link{Name: "ip6gre0", MTU: 1448}},
		},
	}
	kerneltest.Run(t, k)
}

// A tunnel begins with the settings of "default" and takes all it has along.
func TestTunnelsOwn(t *testing.T) {
	fallback := state.Sysctl{Name: state.ConfSysctl("ipv4", "default", "rp_filter"), Setting: "1"}
	k := &fake.Kernel{State: statetest.Host(fallback)}
	tunnel := state.TunnelLink{Name: "tun1.5", Type: state.TunnelGRE}
	own := state.Sysctl{Name: state.ConfSysctl("ipv4", "tun1.5", "rp_filter"), Setting: "1"}
	if _, missing, _ := k.Observe(context.Background(), []state.ID{state.IDOf(own)}); len(missing) != 0 {
		t.Errorf("missing before the tunnel is there: %v", missing)
	}
	for _, c := range []state.Change{{After: tunnel}, {After: state.Up{Link: tunnel.Name}}} {
		if err := k.Do(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	same := cmp.Comparer(func(a, b state.Item) bool { return a == b })
	want := statetest.Host(fallback, tunnel, state.Link{Name: tunnel.Name, MTU: 1476, Up: true}, state.Up{Link: tunnel.Name}, own)
	if diff := cmp.Diff(want, k.State, same); diff != "" {
		t.Error(diff)
	}
	if err := k.Do(context.Background(), state.Change{Before: tunnel}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(statetest.Host(fallback), k.State, same); diff != "" {
		t.Error(diff)
	}
}

// Signs come in order and once, as the real kernel's do; what a test has put
// there stays as it is.
func TestForeign(t *testing.T) {
	dockers, keepaliveds, nobodys := state.Foreign{Owner: "docker", What: "device docker0"}, state.Foreign{Owner: "keepalived", What: "process 812"},
		state.Foreign{What: "rule iptables filter INPUT -d 192.0.2.30/32 -j ACCEPT"}
	k := &fake.Kernel{ForeignSigns: []state.Foreign{nobodys, keepaliveds, dockers, keepaliveds}}
	for range 2 {
		got, err := k.Foreign(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]state.Foreign{dockers, keepaliveds, nobodys}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}
