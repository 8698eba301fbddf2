package importer_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// labOf imports for a lab what a reader found, of which the hints tell nothing.
func labOf(t tb, found *read.Found, marks ...importer.Mark) *importer.Result {
	r, err := importer.Inventory(found, importer.Hints{Source: "source", File: "lab.yaml", NIC: "eth0", Lab: true, Marks: marks})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 0 {
		t.Fatalf("%v\n%s", r.Problems, r.Text)
	}
	for _, s := range r.Inventory.Services {
		for _, h := range r.Inventory.Hosts {
			if h.Has(inventory.RoleClient) && !modes.Entry(r.Inventory, s, h).IsValid() {
				t.Fatalf("%s does not reach service %s\n%s", h.Name, s.Name, r.Text)
			}
		}
		for _, server := range s.RealServers {
			ports := []uint16{server.Port}
			if modes.TraitsOf(server.Mode).KeepsDestination || server.Port == 0 {
				ports = append([]uint16{s.Port}, s.Ports...)
			}
			serve := server.Host.Serve
			answers := map[inventory.Protocol][]uint16{inventory.TCP: append(serve.HTTP, 22), inventory.UDP: serve.UDP}[s.Protocol]
			for _, port := range ports {
				if port != 0 && !slices.Contains(answers, port) && s.Protocol != inventory.SCTP || len(answers) == 0 && s.Protocol == inventory.UDP {
					t.Fatalf("nobody answers for %s on %s\n%s", s.Name, server.Host.Name, r.Text)
				}
			}
		}
	}
	if len(r.Inventory.Services) != 0 && !slices.ContainsFunc(r.Inventory.Hosts, func(h *inventory.Host) bool { return h.Has(inventory.RoleClient) }) {
		t.Fatalf("no client\n%s", r.Text)
	}
	return r
}

// Every text that can be read makes a lab, without a flag that tells more.
func TestLabOfEveryText(t *testing.T) {
	for kind, parse := range map[string]func(string, []byte) (*read.Found, error){
		"ipvsadm": read.IPVSAdm, "keepalived": func(file string, data []byte) (*read.Found, error) { return read.Keepalived(file, data, read.Around{}) }, "ldirectord": read.Ldirectord,
	} {
		files, err := filepath.Glob(filepath.Join("read", "testdata", kind, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files: %v", err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".golden") || strings.Contains(file, ".bad.") {
				continue
			}
			t.Run(filepath.Base(file), func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				found, err := parse(filepath.Base(file), data)
				if err != nil {
					t.Fatal(err)
				}
				if len(found.Services) != 0 {
					labOf(t, found)
				}
			})
		}
	}
}

// The real servers of a firewall mark answer on all of its ports.
func TestLabOfMark(t *testing.T) {
	for _, how := range []string{"-g", "-m", "-i"} {
		found, err := read.IPVSAdm("dump", []byte("-A -f 7 -s rr\n-a -f 7 -r 192.0.2.4:0 "+how+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		r := labOf(t, found, importer.Mark{Mark: 7, VIP: netip.MustParseAddr("192.0.2.30"), Ports: []uint16{80, 443}, Protocol: inventory.TCP})
		if n := len(r.Inventory.Services); n != 1 {
			t.Errorf("%d services\n%s", n, r.Text)
		}
	}
}

// What a lab has itself keeps its name.
func TestLabsOwnNames(t *testing.T) {
	found, err := read.Keepalived("keepalived.conf", []byte(`global_defs {
router_id workstation
lvs_sync_daemon mgmt0
}
vrrp_instance web {
interface mgmt0
virtual_ipaddress {
192.0.2.30/24
203.0.113.30
}
}
virtual_server 192.0.2.30 80 {
protocol TCP
lb_kind DR
real_server 192.0.2.4 80 {
}
}
virtual_server 203.0.113.30 80 {
protocol TCP
lb_kind DR
real_server 192.0.2.4 80 {
}
}
`), read.Around{})
	if err != nil {
		t.Fatal(err)
	}
	r := labOf(t, found)
	text := string(r.Text)
	if _, own, _ := strings.Cut(text, "\nhosts:\n"); strings.Contains(own, "workstation:") || strings.Contains(own, "mgmt0") {
		t.Error(text)
	}
}

// Of services that want different devices of one host, the first stays.
func TestLabOfConflictingServices(t *testing.T) {
	found, err := read.IPVSAdm("dump", []byte(`-A -t [2001:db8::30]:80 -s rr
-a -t [2001:db8::30]:80 -r [2001:db8::4]:80 -i -w 1 --tun-type gre
-A -t [2001:db8::30]:443 -s rr
-a -t [2001:db8::30]:443 -r [2001:db8::4]:443 -i -w 1 --tun-type gre --tun-csum
`))
	if err != nil {
		t.Fatal(err)
	}
	r := labOf(t, found)
	if n := len(r.Inventory.Services); n != 1 {
		t.Errorf("%d services\n%s", n, r.Text)
	}
	left := strings.Join(importer.ListLeft(r.Left), "\n")
	if !strings.Contains(left, "virtual service tcp-2001:db8::30-443") || !strings.Contains(left, "tcp-2001:db8::30-443: wants tunnel ") {
		t.Errorf("left: %s", left)
	}
}

// labOfKeepalived imports a keepalived.conf for a lab.
func labOfKeepalived(t *testing.T, text string, hints importer.Hints) *importer.Result {
	t.Helper()
	found, err := read.Keepalived("keepalived.conf", []byte(text), read.Around{})
	if err != nil {
		t.Fatal(err)
	}
	hints.Source, hints.File, hints.Lab = "source", "lab.yaml", true
	if hints.NIC == "" {
		hints.NIC = "eth0"
	}
	r, err := importer.Inventory(found, hints)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 0 {
		t.Fatalf("%v\n%s", r.Problems, r.Text)
	}
	return r
}

// Every address that the source does not tell is told as made up, whatever else
// is assumed in the same place, and nothing is said of an address that the
// source does not have.
func TestLabTellsWhatIsMadeUp(t *testing.T) {
	for name, text := range map[string]string{
		"IPv4": `virtual_server 192.0.2.30 80 {
lb_kind NAT
protocol TCP
real_server 10.0.0.4 8080 {
}
}
`,
		"IPv6 to IPv4": `vrrp_instance web {
virtual_ipaddress {
192.0.2.30/24
2001:db8::30/64
}
}
virtual_server 2001:db8::30 80 {
lb_kind TUN
protocol TCP
real_server 10.0.0.4 80 {
}
}
`,
		"both families": `vrrp_instance web {
interface ens33
virtual_ipaddress {
192.0.2.30/24
2001:db8::30/64
}
}
virtual_server 2001:db8::30 80 {
lb_kind TUN
protocol TCP
real_server 192.0.2.4 80 {
}
}
virtual_server 192.0.2.30 80 {
lb_kind TUN
protocol TCP
real_server 2001:db8::5 80 {
}
}
`,
	} {
		t.Run(name, func(t *testing.T) {
			r := labOfKeepalived(t, text, importer.Hints{})
			notes := map[importer.Note]bool{}
			for _, n := range r.Assumed {
				if notes[n] {
					t.Errorf("%v is told twice", n)
				}
				notes[n] = true
				for _, h := range r.Inventory.Hosts {
					for _, nic := range h.NICs {
						for _, a := range nic.Addresses {
							if strings.Contains(n.Why, "around "+a.Addr().String()+";") && !strings.Contains(text, a.Addr().String()) {
								t.Errorf("%v, and the source has no such address", n)
							}
						}
					}
				}
			}
			for _, h := range r.Inventory.Hosts {
				if h.Has(inventory.RoleRealServer) && !notes[importer.Note{What: h.Name + ": serve", Why: "made up for the lab"}] {
					t.Errorf("serve of %s is not told as made up", h.Name)
				}
			}
			for _, n := range r.Inventory.Networks {
				for _, p := range n.Prefixes {
					if strings.HasPrefix(p.String(), "fd") || strings.HasPrefix(p.String(), "198.1") {
						if !notes[importer.Note{What: "network " + n.Name, Why: "made up for the lab"}] && !notes[importer.Note{What: "network " + n.Name + ": prefix " + p.String(), Why: "made up for the lab"}] {
							t.Errorf("prefix %s of %s is not told as made up", p, n.Name)
						}
					}
				}
			}
			for _, h := range r.Inventory.Hosts {
				for _, nic := range h.NICs {
					for _, a := range nic.Addresses {
						if !strings.Contains(text, "server "+a.Addr().String()+" ") && !notes[importer.Note{What: h.Name + ": address " + a.Addr().String(), Why: "made up for the lab"}] {
							t.Errorf("address %s of %s is not told as made up", a, h.Name)
						}
					}
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", strings.Join(importer.ListNotes(r.Assumed, "there"), "\n"), r.Text)
			}
			for _, n := range r.Assumed {
				if !strings.Contains(string(r.Text), n.Why) {
					t.Errorf("%v is no comment\n%s", n, r.Text)
				}
			}
		})
	}
}

// A source may have the networks that a lab takes first.
func TestLabOfTakenNetworks(t *testing.T) {
	const service = `virtual_server 198.18.0.30 80 {
lb_kind DR
protocol TCP
real_server 198.18.0.4 80 {
}
}
`
	told := func(prefixes ...string) (out []importer.NamedPrefix) {
		for _, p := range prefixes {
			out = append(out, importer.NamedPrefix{Name: "told", Prefix: netip.MustParsePrefix(p)})
		}
		return out
	}
	for _, c := range []struct {
		text  string
		hints importer.Hints
		want  string // the client's network
	}{
		{service, importer.Hints{}, "198.19.0.0/24"},
		{service, importer.Hints{Networks: told("198.18.0.0/15")}, "100.64.0.0/24"},
		{"vrrp_instance web {\nvirtual_ipaddress {\n198.18.0.30/15\n}\n}\n" + service, importer.Hints{}, "100.64.0.0/24"},
		{strings.Replace(service, "real_server", "real_server 100.64.0.4 80 {\n}\nreal_server", 1), importer.Hints{Networks: told("198.18.0.0/15", "100.64.0.0/10")}, "10.0.0.0/24"},
	} {
		r := labOfKeepalived(t, c.text, c.hints)
		for _, n := range r.Inventory.Networks {
			if n.Name == "clients" && n.Prefixes[0].String() != c.want {
				t.Errorf("%v: the client is in %s, want %s", c.hints.Networks, n.Prefixes[0], c.want)
			}
		}
	}
	for _, none := range []struct {
		dump string
		told []importer.NamedPrefix
		want string
	}{
		{"-A -t 198.18.0.30:80 -s rr\n-a -t 198.18.0.30:80 -r 100.64.0.4:80 -g\n-a -t 198.18.0.30:80 -r 10.0.0.4:80 -g\n", told("198.18.0.0/15", "100.64.0.0/10", "10.0.0.0/8"),
			"no IPv4 network is left for the lab: networks of the source have all of 198.18.0.0/15, 100.64.0.0/10 and 10.0.0.0/8; say --network NAME=PREFIX with a longer prefix for one of them"},
		{"-A -t [fd00::30]:80 -s rr\n-a -t [fd00::30]:80 -r [fd00::4]:80 -g\n", told("fd00::/8"),
			"no IPv6 network is left for the lab: networks of the source have all of fd6c:7673:666d::/48; say --network NAME=PREFIX with a longer prefix for one of them"},
	} {
		found, err := read.IPVSAdm("dump", []byte(none.dump))
		if err != nil {
			t.Fatal(err)
		}
		_, err = importer.Inventory(found, importer.Hints{Source: "dump", File: "lab.yaml", NIC: "eth0", Lab: true, Networks: none.told})
		var unknown importer.Unknown
		if !errors.As(err, &unknown) || unknown.Error() != none.want {
			t.Errorf("%v: %v", none.told, err)
		}
	}
}

// A lab has a NIC of its own on every host, so no NIC gets that name.
func TestLabOfItsOwnNIC(t *testing.T) {
	found, err := read.IPVSAdm("dump", []byte("-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r 192.0.2.4:80 -g\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = importer.Inventory(found, importer.Hints{Source: "dump", File: "lab.yaml", NIC: "mgmt0", Lab: true})
	const want = "--nic mgmt0: a lab has a NIC of this name on every host; say another name"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Nothing is assumed of a NIC under a name that it does not keep.
func TestLabRenamesNIC(t *testing.T) {
	r := labOfKeepalived(t, `vrrp_instance web {
interface mgmt0
}
virtual_server 192.0.2.30 80 {
protocol TCP
lb_kind DR
real_server 192.0.2.4 80 {
}
}
`, importer.Hints{})
	for _, n := range r.Assumed {
		if strings.Contains(n.What, "mgmt0") || strings.Contains(n.Why, "VRRP's interface") {
			t.Errorf("%v, and it has another name\n%s", n, r.Text)
		}
	}
}

// A tunnel may lead to a real server of the other family than the VIP.
func TestLabOfTunnelsOfOtherFamily(t *testing.T) {
	for _, dump := range []string{
		"-A -t [2001:db8::30]:80 -s rr\n-a -t [2001:db8::30]:80 -r 10.0.0.4:80 -i\n",
		"-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r [2001:db8::4]:80 -i\n",
	} {
		found, err := read.IPVSAdm("dump", []byte(dump))
		if err != nil {
			t.Fatal(err)
		}
		if r := labOf(t, found); len(r.Left) != 0 || len(r.Inventory.Services) != 1 {
			t.Errorf("%v\n%s", r.Left, r.Text)
		}
	}
}

// A lab asks of its director what the dump tells.
func TestLawOfLabs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDump(t)
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		r := labOf(t, found)
		if len(r.Left) != 0 { // no client can use all of it
			return
		}
		var want []string
		for _, s := range found.Services {
			for _, server := range s.RealServers {
				want = append(want, s.String()+" -> "+server.Address.String()+" "+string(server.Mode))
			}
		}
		var got []string
		for _, s := range r.Inventory.Services {
			for _, w := range modes.Desire(r.Inventory, nil)[s.Directors[0].Name] {
				if d, ok := w.Item.(state.Destination); ok && d.Service.Address.Addr() == s.VIP && d.Service.Address.Port() == s.Port && string(d.Service.Protocol) == string(s.Protocol) {
					mode := map[state.Forward]inventory.Mode{state.ForwardNAT: inventory.ModeNAT, state.ForwardDR: inventory.ModeDR, state.ForwardTUN: inventory.ModeTUN}[d.Forward]
					got = append(got, string(s.Protocol)+" "+d.Service.Address.String()+" -> "+d.Address.Addr().String()+" "+string(mode))
				}
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-dumped +imported:\n%s\n%s\n%s", diff, text, r.Text)
		}
	})
}
