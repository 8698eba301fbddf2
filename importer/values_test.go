package importer

import (
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
)

// pathsOf is what an inventory can do without, by the paths at which Parse has
// read it.
func pathsOf(inv *inventory.Inventory) map[string]any {
	out := map[string]any{}
	for _, h := range inv.Hosts {
		if len(h.Gateways) != 0 {
			out[h.Path+".gateway"] = &h.Gateways
		}
		for _, r := range h.Routes {
			out[r.Path] = r
		}
		for _, f := range h.Forwards {
			out[f.Path] = f
		}
		if h.IPVS.Timeouts != nil {
			out[h.Path+".ipvs.timeouts"] = &h.IPVS.Timeouts
		}
		if len(h.IPVS.Sysctls) != 0 {
			out[h.Path+".ipvs.sysctls"] = &h.IPVS.Sysctls
		}
		for _, s := range h.IPVS.Sync {
			out[s.Path] = s
		}
	}
	for _, t := range inv.Tunnels {
		out[t.Path] = t
	}
	for _, s := range inv.Services {
		out[s.Path] = s
		for _, r := range s.RealServers {
			out[r.Path] = r
		}
	}
	return out
}

// The writer knows a value by the path at which Parse reads it.
func TestValuesAreKnownByTheirPaths(t *testing.T) {
	files, err := filepath.Glob("../inventory/testdata/valid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inventories: %v", err)
	}
	for _, file := range files {
		inv, err := inventorytest.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		_, written, err := writer{inv: inv}.text()
		if err != nil {
			t.Fatal(err)
		}
		want := pathsOf(inv)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(written))); diff != "" {
			t.Errorf("%s: paths (-read +written):\n%s", file, diff)
		}
		for path, value := range want {
			for _, inside := range []string{"", ".key", ".list[7]", ".key.of.it[0].again"} {
				if got := written.around(path + inside); got != value {
					t.Errorf("%s: %s leads to %v, want %v", file, path+inside, got, value)
				}
			}
		}
		for _, path := range []string{"", "name", "hosts", "hosts.lb1", "hosts.lb1.nics.eth0", "hosts.lb1.ipvs", "hosts.lb1.ipvs.sync", "services", "services[99].vip", "tunnels", "networks.lan[0]"} {
			if got := written.around(path); got != nil {
				t.Errorf("%s: %s leads to %v, want nothing", file, path, got)
			}
		}
	}
}

// What Parse refuses is left out, and nothing else is.
func TestRefusedValuesAreLeft(t *testing.T) {
	host := func(inv *inventory.Inventory, name string) *inventory.Host {
		for _, h := range inv.Hosts {
			if h.Name == name {
				return h
			}
		}
		t.Fatalf("no host %s", name)
		return nil
	}
	for _, c := range []struct {
		name  string
		spoil func(inv *inventory.Inventory)
		want  string // what is left
		gone  int    // values that the inventory has no longer
	}{
		{"gateway", func(inv *inventory.Inventory) {
			host(inv, "lb1").Gateways = []netip.Addr{netip.MustParseAddr("224.0.0.1")}
		}, "lb1: default routes", 1},
		{"route", func(inv *inventory.Inventory) { host(inv, "client").Routes[1].Via = netip.MustParseAddr("10.9.9.9") }, "route 2001:db8:3::/48 via 10.9.9.9", 1},
		{"forward", func(inv *inventory.Inventory) { host(inv, "gw").Forwards[2].Protocol = "x" }, "port forward [2001:db8:1::1]:53 to [2001:db8:2::30]:5353", 1},
		{"timeouts", func(inv *inventory.Inventory) { host(inv, "lb1").IPVS.Timeouts.UDP = 0 }, "lb1: timeouts of IPVS", 1},
		{"sysctls", func(inv *inventory.Inventory) { host(inv, "lb1").IPVS.Sysctls["sync_ports"] = "3" }, "lb1: settings of IPVS", 1},
		{"sync daemon", func(inv *inventory.Inventory) { host(inv, "lb1").IPVS.Sync[1].MaxLen = 1 }, "sync daemon backup", 1},
		{"tunnel", func(inv *inventory.Inventory) { inv.Tunnels[1].Ends[1].Address = netip.MustParseAddr("127.0.0.1") }, "tunnel tun1", 1},
		{"service", func(inv *inventory.Inventory) { inv.Services[3].Scheduler = "x" }, "virtual service tcp-192.0.2.31-80", 3},
		{"real server", func(inv *inventory.Inventory) { inv.Services[1].RealServers[2].Weight = 70000 }, "real server web2", 1},
		{"only real server", func(inv *inventory.Inventory) { inv.Services[5].RealServers[0].Weight = 70000 }, "real server web2", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv, err := inventorytest.Load("../inventory/testdata/valid/modes.yaml")
			if err != nil {
				t.Fatal(err)
			}
			before := len(pathsOf(inv))
			c.spoil(inv)
			d := newSketch(inv.Name)
			d.inv = inv
			r, err := d.finish(Hints{Source: "test", File: "test.yaml"})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Left) == 0 || r.Left[0].Text != c.want {
				t.Errorf("left %v, want %s", r.Left, c.want)
			}
			if gone := before - len(pathsOf(r.Inventory)); gone != c.gone {
				t.Errorf("%d values are gone, want %d: %v", gone, c.gone, r.Left)
			}
		})
	}
}
