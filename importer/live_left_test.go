package importer_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func service(vip string) state.ServiceID {
	return state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort(vip)}
}

// What an import of the tutorial's hosts says when there is more on them than
// the tutorial asks for, or less.
func TestLiveReport(t *testing.T) {
	type report struct{ left, assumed, pending []string }
	for _, c := range []struct {
		name string
		put  func(w *world)
		only []string // hosts that are looked at; all of them when empty
		want report
	}{
		{name: "as it is"},
		{
			name: "bridges of containers and a destination of a method that is no mode",
			put: func(w *world) {
				for _, host := range []string{"lb", "web1"} {
					w.kernels[host].State.Put(state.Link{Name: "docker0", MTU: 1500, Up: true})
					w.kernels[host].State.Put(state.Address{Link: "docker0", Prefix: prefix("172.17.0.1/16")})
				}
				id := service("192.168.91.31:80")
				w.kernels["lb"].State.Put(state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32})
				w.kernels["lb"].State.Put(state.Destination{Service: id, Address: netip.MustParseAddrPort("192.168.91.3:80"), Forward: state.ForwardLocal, Weight: 1})
			},
			want: report{left: []string{
				"more than one host has it",
				"  lb: address 172.17.0.1/16 on docker0",
				"  web1: address 172.17.0.1/16 on docker0",
				"lb: destination tcp 192.168.91.31:80 -> 192.168.91.3:80 local weight 1: an inventory has no such forwarding method",
				"lb: service tcp 192.168.91.31:80 rr: none of its destinations is carried over",
			}},
		},
		{
			name: "a mark that others set, and a daemon on no NIC of an inventory",
			put: func(w *world) {
				id := state.ServiceID{FWMark: 9}
				lb := w.kernels["lb"].State
				lb.Put(state.Service{ServiceID: id, Scheduler: "rr", PersistenceBits: 32})
				lb.Put(state.Destination{Service: id, Address: netip.MustParseAddrPort("192.168.91.4:0"), Forward: state.ForwardDR, Weight: 1})
				lb.Put(state.SyncDaemon{Role: "backup", Interface: "mgmt0", MaxLen: 1472, Group: netip.MustParseAddr("224.0.0.81"), Port: 8848, TTL: 1})
			},
			want: report{left: []string{
				"lb: service fwmark 9 rr: no rule of lvsform's sets the mark, and other rules are not read",
				"lb: sync-daemon backup mcast-interface mgmt0 syncid 0 sync-maxlen 1472 mcast-group 224.0.0.81 mcast-port 8848 mcast-ttl 1: mgmt0 is no NIC of the inventory",
				"lb: destination fwmark 9 -> 192.168.91.4:0 dr weight 1: nothing in the inventory asks for it",
			}},
		},
		{
			name: "a real server that is not looked at, and one that answers ARP",
			put: func(w *world) {
				w.kernels["web1"].State.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "ens33", "arp_ignore"), Setting: "0"})
			},
			only: []string{"lb", "web1"},
			want: report{
				assumed: []string{"rs-192-168-91-5: NIC eth0: nothing tells the NIC's name; --nic does"},
				pending: []string{"web1: sysctl net.ipv4.conf.ens33.arp_ignore 1: keeps it from answering ARP for the VIP"},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, examples(t)["tutorials/dr-one-subnet"])
			if c.put != nil {
				c.put(w)
			}
			if c.only != nil {
				w.order = c.only
			}
			hosts := w.look(t)
			for _, h := range hosts { // every case has it
				for _, a := range state.Of[state.Address](h.State) {
					if a.Link == "mgmt0" {
						delete(h.State, state.IDOf(a))
					}
				}
			}
			r, err := importer.Live(hosts, importer.Hints{Source: "live hosts", File: "imported.yaml", NIC: "eth0"})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Problems) != 0 {
				t.Error(r.Problems)
			}
			got := report{importer.ListLeft(r.Left), importer.ListNotes(r.Assumed, ""), importer.ListNotes(r.Pending, "")}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(report{})); diff != "" {
				t.Errorf("%s\n%s", diff, r.Text)
			}
		})
	}
}

// A router that passes on one family only keeps the addresses of that: the
// role would turn the other on.
func TestRouterOfOneFamily(t *testing.T) {
	w := newWorld(t, examples(t)["tutorials/tun-across-subnets"])
	for device, a := range map[string]string{"eth0": "2001:db8:1::1/64", "eth1": "2001:db8:2::1/64"} {
		w.kernels["router"].State.Put(state.Address{Link: device, Prefix: prefix(a)})
	}
	r, err := importer.Live(w.look(t), importer.Hints{Source: "live hosts", File: "imported.yaml", NIC: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems)+len(r.Pending) != 0 {
		t.Errorf("%v\n%q", r.Problems, r.Pending)
	}
	for _, h := range r.Inventory.Hosts {
		if h.Name != "router" {
			continue
		}
		if diff := cmp.Diff([]inventory.Role{inventory.RoleGateway}, h.Roles); diff != "" {
			t.Error(diff)
		}
		for _, n := range h.NICs {
			for _, a := range n.Addresses {
				if a.Addr().Is6() {
					t.Errorf("the router has %s", a)
				}
			}
		}
	}
}

// Two directors that have a service alike are its directors, the one with the
// VIP first; one that has it otherwise is left.
func TestTwoDirectors(t *testing.T) {
	w := newWorld(t, examples(t)["tutorials/dr-one-subnet"])
	for _, i := range state.Of[state.Service](w.kernels["lb"].State) {
		w.kernels["client"].State.Put(i)
	}
	for _, i := range state.Of[state.Destination](w.kernels["lb"].State) {
		w.kernels["client"].State.Put(i)
	}
	w.kernels["client"].State.Put(state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300})
	directors := func() []string {
		r, err := importer.Live(w.look(t), importer.Hints{Source: "live hosts", File: "imported.yaml", NIC: "eth0"})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Problems)+len(r.Pending) != 0 {
			t.Errorf("%v\n%q", r.Problems, r.Pending)
		}
		var out []string
		for _, h := range r.Inventory.Services[0].Directors {
			out = append(out, h.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"lb", "client"}, directors()); diff != "" {
		t.Error(diff)
	}
	for _, i := range state.Of[state.Destination](w.kernels["client"].State) {
		i.Weight = 7
		w.kernels["client"].State.Put(i)
	}
	if diff := cmp.Diff([]string{"lb"}, directors()); diff != "" {
		t.Error(diff)
	}
}

// The inventory that docs/import.md shows.
func TestLiveExample(t *testing.T) {
	r := roundTrip(t, examples(t)["tutorials/dr-one-subnet"], "web")
	golden.Assert(t, string(r.Text), "live/dr-one-subnet.yaml")
}
