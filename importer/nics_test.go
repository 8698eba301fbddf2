package importer_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
)

// hint reads an address of director lb, as --director takes it.
func hint(text string) importer.DirectorHint {
	address, nic, _ := strings.Cut(text, "%")
	a := netip.MustParseAddr(address)
	return importer.DirectorHint{Name: "lb", Address: netip.PrefixFrom(a, a.BitLen()), NIC: nic}
}

// A NIC has the name that is told of it, whatever the order of the addresses.
// Every other name is marked as assumed.
func TestDirectorNICs(t *testing.T) {
	const servers = `
virtual_server 198.51.100.30 80 {
	protocol TCP
	real_server 10.0.0.11 80 { }
}
`
	const outside = "interface ens33\nvirtual_ipaddress { 198.51.100.30/24 }\n"
	const told = "# assumed: nothing tells the NIC's name; --director NAME=ADDRESS%NIC does"
	const vips = "# assumed: nothing tells that the address is on VRRP's interface; --director NAME=ADDRESS%NIC does"
	for _, c := range []struct {
		name, instance string
		directors      []string
		want           string
	}{
		{"inside last", outside, []string{"198.51.100.3", "10.0.0.1"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told},
		{"inside first", outside, []string{"10.0.0.1", "198.51.100.3"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told},
		{"a VIP without a length", "interface ens33\nvirtual_ipaddress { 198.51.100.30 }\n", []string{"10.0.0.1", "198.51.100.3"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told},
		{"a VIP on each", "interface ens33\nvirtual_ipaddress { 198.51.100.30/24\n 10.0.0.254/24 dev ens34 }\n", []string{"10.0.0.1", "198.51.100.3"}, `
ens34: {network: net-10-0-0-0, address: 10.0.0.1}
ens33: {network: net-198-51-100-0, address: 198.51.100.3}`},
		{"said", outside, []string{"198.51.100.3", "10.0.0.1%ens34"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
ens34: {network: net-10-0-0-0, address: 10.0.0.1}`},
		{"said what would be assumed", "", []string{"198.51.100.3", "10.0.0.1%eth0"}, `
eth0: {network: net-10-0-0-0, address: 10.0.0.1}
eth1: {network: net-198-51-100-0, address: 198.51.100.3} ` + told},
		{"two networks on one", "interface ens33\nvirtual_ipaddress { 198.51.100.30/24\n 10.0.0.254/24 }\n", []string{"198.51.100.3", "10.0.0.1"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told},
		{"a routed VIP", "interface ens33\nvirtual_ipaddress { 198.51.100.30 }\n", []string{"10.0.0.1"}, `
ens33: {network: net-10-0-0-0, address: 10.0.0.1} ` + vips + `
vip_device: ens33`},
		{"a line of its own", "interface ens33\nunicast_src_ip 10.0.0.1\nvirtual_ipaddress { 198.51.100.30 }\n", nil, `
ens33: {network: net-10-0-0-0, address: 10.0.0.1}
vip_device: ens33`},
		{"on a tunnel device", "interface ens33\nvirtual_ipaddress { 198.51.100.30/24 dev tunl0 }\n", []string{"198.51.100.3", "10.0.0.1%ens34"}, `
ens34: {network: net-10-0-0-0, address: 10.0.0.1}
ens33: {network: net-198-51-100-0, address: 198.51.100.3} ` + vips + `
vip_device: tunl0`},
		{"on lo", "interface ens33\nvirtual_ipaddress { 198.51.100.30/32 dev lo }\n", []string{"198.51.100.3%ens33", "10.0.0.1"}, `
ens33: {network: net-198-51-100-0, address: 198.51.100.3}
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told + `
vip_device: lo`},
		{"routed, on lo", "interface lo\nvirtual_ipaddress { 198.51.100.30/32 }\n", []string{"10.0.0.1"}, `
eth0: {network: net-10-0-0-0, address: 10.0.0.1} ` + told},
		{"both families", "interface ens33\nvirtual_ipaddress { 198.51.100.30/24 }\nvirtual_ipaddress_excluded { 2001:db8:1::30/64 dev ens34 }\n",
			[]string{"2001:db8:1::3", "198.51.100.3", "10.0.0.1%ens34"}, `
ens34: {network: net-2001-db8-1--0, addresses: ['2001:db8:1::3', 10.0.0.1]}
ens33: {network: net-198-51-100-0, address: 198.51.100.3}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := servers
			if c.instance != "" {
				text = "vrrp_instance VI {\n" + c.instance + "}\n" + servers
			}
			found, err := read.Keepalived("keepalived.conf", []byte(text), read.Around{})
			if err != nil {
				t.Fatal(err)
			}
			hints := importer.Hints{Topology: "nics", Source: "text", File: "nics.yaml", NIC: "eth0"}
			for _, d := range c.directors {
				hints.Directors = append(hints.Directors, hint(d))
			}
			r, err := importer.Inventory(found, hints)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := inventory.Parse("nics.yaml", r.Text); err != nil {
				t.Error(err)
			}
			_, text, _ = strings.Cut(string(r.Text), "role: director")
			director, rest, _ := strings.Cut(text, "\n  rs-")
			lines := regexp.MustCompile(`(?m)^ +(\w+: \{.*|vip_device: \w+)`).FindAllStringSubmatch(director+rest[strings.Index(rest, "\nservices:"):], -1)
			got := ""
			for _, l := range lines {
				got += "\n" + l[1]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, r.Text)
			}
		})
	}
}

// What is said twice and cannot be is asked again.
func TestNICOfTwoNetworks(t *testing.T) {
	found, err := read.Keepalived("keepalived.conf", []byte("virtual_server 198.51.100.30 80 {\nprotocol TCP\nreal_server 10.0.0.11 80 { }\n}\n"), read.Around{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = importer.Inventory(found, importer.Hints{NIC: "eth0", Directors: []importer.DirectorHint{hint("198.51.100.3%ens33"), hint("10.0.0.1%ens33")}})
	const want = "NIC ens33 of director lb has two networks, and an inventory has one for each NIC; say another NIC in --director lb=10.0.0.1%NIC, or --network NAME=PREFIX for the prefix that holds both"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
