package importer_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
)

// imported is what an import of a text for the director at 192.0.2.3 gives.
func imported(t *testing.T, parse func(string, []byte) (*read.Found, error), text string) *importer.Result {
	t.Helper()
	found, err := parse("source", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := importer.Inventory(found, importer.Hints{
		Source: "source", File: "imported.yaml", NIC: "eth0",
		Directors: []importer.DirectorHint{{Name: "lb", Address: netip.MustParsePrefix("192.0.2.3/24")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keepalived reads a file of which nothing is told beside it.
func keepalived(file string, data []byte) (*read.Found, error) {
	return read.Keepalived(file, data, read.Around{})
}

// Lines are told with the file that they are in; of many files, a few.
func TestReasonsOfManyFiles(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 17 {
		files[fmt.Sprintf("conf.d/%02d.conf", i)] = &fstest.MapFile{
			Data: fmt.Appendf(nil, "virtual_server 192.0.2.30 %d {\nprotocol TCP\nlb_kind DR\ndelay_loop %d\nalpha\nreal_server 192.0.2.4 {\nalpha\n}\n}\n", 80+i, i),
		}
	}
	r := imported(t, func(file string, data []byte) (*read.Found, error) {
		return read.Keepalived(file, data, read.Around{Dir: "/etc/keepalived", Folders: []read.Folder{{Path: "/etc/keepalived", Files: files}}})
	}, "include conf.d/*\nomega\n")
	got := importer.ListLeft(r.Left)
	want := []string{"no health checks in an inventory: real servers stay until it says otherwise"}
	for i := range 5 {
		want = append(want,
			fmt.Sprintf("  line 4 of conf.d/%02d.conf: delay_loop %d", i, i),
			fmt.Sprintf("  lines 5, 7 of conf.d/%02d.conf: alpha", i))
	}
	for i := range 10 {
		want = append(want, fmt.Sprintf("  lines 4, 5, 7 of conf.d/%02d.conf: 2 more", i+5))
	}
	want = append(want, "  5 more in 3 other files")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A line that makes several services is told once.
func TestReasonOfAGroup(t *testing.T) {
	r := imported(t, keepalived, `virtual_server_group g {
192.0.2.30-40 80
}
virtual_server group g {
protocol TCP
real_server 192.0.2.30 80 {
}
real_server 192.0.2.4 80 {
}
}
`)
	want := []string{"line 6: real server 192.0.2.30:80: a real server of an inventory cannot have this address"}
	if diff := cmp.Diff(want, importer.ListLeft(r.Left)); diff != "" {
		t.Error(diff)
	}
}

// A reason is told once, however many lines it is for; what every such file has
// comes last; and of many texts, the lines are enough.
func TestReasonsAreToldOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("vrrp_instance web {\nvirtual_router_id 51\npriority 100\n}\n")
	for i := range 40 {
		fmt.Fprintf(&b, "virtual_server 192.0.2.30 %d {\nlb_kind DR\nprotocol TCP\ndelay_loop 6\nreal_server 192.0.2.%d %d {\nTCP_CHECK {\n connect_port %d\n}\n}\n}\n", 1000+i, 40+i, 2000+i, i)
	}
	r := imported(t, keepalived, b.String())
	got := importer.ListLeft(r.Left)
	want := []string{
		"packets keep their port in mode dr",
		"  line 9: port 2000 of real server 192.0.2.40 of tcp 192.0.2.30:1000",
		"  line 19: port 2001 of real server 192.0.2.41 of tcp 192.0.2.30:1001",
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Error(diff)
	}
	got = got[slices.Index(got, "no VRRP in an inventory: every director has the VIPs"):]
	want = []string{
		"no VRRP in an inventory: every director has the VIPs",
		"  line 2: virtual_router_id 51",
		"  line 3: priority 100",
		"no health checks in an inventory: real servers stay until it says otherwise",
		"  lines 8, 18, 28, 38, 48, 58, 68, 78, 88, 98, 108, 118, 128, 138, 148, 158, 168, 178, 188, 198,",
		"    208, 218, 228, 238, 248, 258, 268, 278, 288, 298, 308, 318, 328, 338, 348, 358, 368, 378,",
		"    388, 398: delay_loop 6",
		"  line 10: TCP_CHECK { connect_port 0 }",
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Error(diff)
	}
	if last := got[len(got)-1]; !strings.HasSuffix(last, "380, 390, 400: 31 more") {
		t.Errorf("the rest is %q", last)
	}
	assumed := importer.ListNotes(r.Assumed, "with a comment in the inventory")
	if len(assumed) != 13 || assumed[1] != "nothing tells the NIC's name; --nic does" || assumed[12] != "  30 more with a comment in the inventory" {
		t.Errorf("assumed: %q", assumed)
	}
	for _, l := range got {
		if !strings.Contains(string(r.Text), "\n#   "+l+"\n") {
			t.Errorf("%q is no comment of the inventory", l)
		}
	}
}

// What is said of one VIP does not contradict itself.
func TestOneLineOfAVIP(t *testing.T) {
	r := imported(t, keepalived, `vrrp_instance web {
virtual_ipaddress {
192.0.2.30/24 label eth0:1
192.0.2.31/24 label eth0:2
192.0.2.32/24
}
}
virtual_server 192.0.2.30 80 {
protocol TCP
real_server 192.0.2.4 80 {
}
}
virtual_server 192.0.2.32 80 {
protocol TCP
}
`)
	lines := importer.ListLeft(r.Left)
	want := []string{
		"line 3: 192.0.2.30/24 label eth0:1: an inventory has an address's length and device only; the address itself is carried over",
		"no virtual service that is carried over has it",
		"  line 4: virtual address 192.0.2.31/24",
		"  line 5: virtual address 192.0.2.32/24",
		"line 13: virtual service tcp 192.0.2.32:80: it has no real servers",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// No advice is to do what an inventory refuses.
func TestDirectorAsItsRealServer(t *testing.T) {
	for _, own := range []string{"127.0.0.1", "192.0.2.3"} {
		r := imported(t, read.IPVSAdm, "-A -t 192.0.2.30:80 -s rr\n-a -t 192.0.2.30:80 -r "+own+":80 -g\n-a -t 192.0.2.30:80 -r 192.0.2.4:80 -g\n")
		lines := importer.ListLeft(r.Left)
		if len(lines) != 1 || !strings.HasSuffix(lines[0], "the director itself; where that is the only director, write it as a real server by hand") {
			t.Errorf("%s: %q", own, lines)
		}
		if slices.ContainsFunc(r.Inventory.Services[0].RealServers, func(s *inventory.RealServer) bool { return s.Host.Name == "lb" }) {
			t.Errorf("%s is carried over", own)
		}
	}
}
