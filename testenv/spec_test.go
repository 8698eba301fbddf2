package testenv

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
)

func TestManagement(t *testing.T) {
	network := func(s string) *inventory.Network {
		return &inventory.Network{Name: s, Prefixes: []netip.Prefix{netip.MustParsePrefix(s)}}
	}
	many := make([]*inventory.Host, 300)
	for i := range many {
		many[i] = &inventory.Host{Name: fmt.Sprintf("h%d", i)}
	}
	for _, test := range []struct {
		name string
		inv  *inventory.Inventory
		want string
	}{
		{"nothing in the way", &inventory.Inventory{Networks: []*inventory.Network{network("192.0.2.0/24")}}, "198.18.0.0/24"},
		{"a network", &inventory.Inventory{Networks: []*inventory.Network{network("198.18.0.0/23")}}, "198.18.2.0/24"},
		{"a VIP", &inventory.Inventory{Services: []*inventory.Service{{VIP: netip.MustParseAddr("198.18.0.80")}}}, "198.18.1.0/24"},
		{"a gateway", &inventory.Inventory{Hosts: []*inventory.Host{{Gateways: []netip.Addr{netip.MustParseAddr("198.18.0.1")}}}}, "198.18.1.0/24"},
		{"an SSH address", &inventory.Inventory{Hosts: []*inventory.Host{{SSH: inventory.SSH{Address: "198.18.0.1"}}}}, "198.18.1.0/24"},
		{"the whole range", &inventory.Inventory{Networks: []*inventory.Network{network("198.0.0.0/8")}}, "100.64.0.0/24"},
		{"many hosts", &inventory.Inventory{Hosts: many}, "198.18.0.0/23"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := newManagement(test.inv)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.prefix.String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if next := m.next("a"); !m.prefix.Contains(next.Addr()) || next.Addr() == m.prefix.Addr() {
				t.Errorf("first address %s", next)
			}
		})
	}
	if _, err := newManagement(&inventory.Inventory{Networks: []*inventory.Network{network("0.0.0.0/0")}}); err == nil {
		t.Error("a prefix outside everything")
	}
}

func TestSpecRefuses(t *testing.T) {
	for _, test := range []struct {
		host *inventory.Host
		want string
	}{
		{&inventory.Host{Name: "workstation"}, "workstation"},
		{&inventory.Host{Name: "a", NICs: []*inventory.NIC{{Name: "mgmt0"}}}, "mgmt0"},
	} {
		_, _, err := newSpec(&inventory.Inventory{Hosts: []*inventory.Host{test.host}}, KernelUML, Options{})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.host.Name, err)
		}
	}
}

// TestWorkstationFiles: what the inventory says about SSH leads into the lab.
func TestWorkstationFiles(t *testing.T) {
	inv := &inventory.Inventory{Hosts: []*inventory.Host{
		{Name: "a", SSH: inventory.SSH{Address: "a.example.com", Port: 2222, Key: "~/.ssh/ops"}},
		{Name: "b", SSH: inventory.SSH{Key: "/etc/keys/b"}},
	}}
	s, access, err := newSpec(inv, KernelUML, Options{File: []byte("version: 1\n"), Path: "/opt/bin"})
	if err != nil {
		t.Fatal(err)
	}
	w := s.Hosts[2].Workstation
	var names []string
	for name := range w.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"/etc/keys/b", Home + "/.ssh/config", Home + "/.ssh/id_ed25519",
		Home + "/.ssh/known_hosts", Home + "/.ssh/ops", Work + "/lvsform.yaml"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	config := string(w.Files[Home+"/.ssh/config"])
	for _, line := range []string{"Host a a.example.com\n    HostName 198.18.0.1\n", "Host b\n    HostName 198.18.0.2\n"} {
		if !strings.Contains(config, line) {
			t.Errorf("no %q in\n%s", line, config)
		}
	}
	known := string(w.Files[Home+"/.ssh/known_hosts"])
	for _, name := range []string{"a,[a]:2222,a.example.com,[a.example.com]:2222,198.18.0.1,[198.18.0.1]:2222 ssh-ed25519 ", "b,198.18.0.2 ssh-ed25519 "} {
		if !strings.Contains(known, name) {
			t.Errorf("no %q in\n%s", name, known)
		}
	}
	if access.hostKeys["a"] == nil || string(s.Hosts[0].HostKey) == string(s.Hosts[1].HostKey) {
		t.Error("every host needs a key of its own")
	}
	if diff := cmp.Diff([]uint16{22, 2222}, s.Hosts[0].SSHPorts); diff != "" {
		t.Errorf("SSH ports (-want +got):\n%s", diff)
	}
}
