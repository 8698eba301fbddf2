package kernel

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
)

// foreignOf asks, and tells whether a program ran for the answer: the kernel
// counts the page faults of children that have ended.
func foreignOf(t *testing.T, k *Kernel, vips ...string) (signs []state.Foreign, ran bool) {
	t.Helper()
	faults := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
			t.Fatal(err)
		}
		return u.Minflt
	}
	before := faults()
	signs, err := k.Foreign(t.Context(), kerneltest.Addrs(vips...))
	if err != nil {
		t.Fatal(err)
	}
	return signs, faults() != before
}

// command runs a program of the host's in the test's namespace.
func command(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	path, err := toolPath(words[0])
	if err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command(path, words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}

func TestForeignRulesOfAHost(t *testing.T) {
	for _, tool := range []string{"iptables-legacy", "iptables-nft"} {
		t.Run(tool, func(t *testing.T) {
			k := newNamespace(t)
			if tool == "iptables-nft" {
				if out, err := exec.Command(tool, "-N", "try").CombinedOutput(); err != nil {
					t.Skipf("this kernel has no tables for it: %s", out)
				}
				command(t, tool+" -X try")
			}
			testForeignRules(t, k, tool)
		})
	}
}

func testForeignRules(t *testing.T, k *Kernel, tool string) {
	for _, step := range []struct {
		commands []string
		ran      bool
		want     []state.Foreign
	}{
		{},
		{commands: []string{"-N LVSFORM-INPUT", "-A LVSFORM-INPUT -d 192.0.2.30/32 -j ACCEPT", "-I INPUT -j LVSFORM-INPUT"}},
		{
			commands: []string{"-N DOCKER", "-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A FORWARD -o docker0 -j DOCKER", "-A INPUT -s 203.0.113.0/24 -j DROP"},
			want:     []state.Foreign{{Owner: "docker", What: "chains DOCKER, DOCKER-USER in iptables' filter"}},
		},
		{
			commands: []string{"-A DOCKER-USER -d 192.0.2.16/28 -p tcp -j DROP", "-A INPUT -d 192.0.2.30 -p tcp --dport 80 -j ACCEPT"},
			ran:      true,
			want: []state.Foreign{
				{Owner: "docker", What: "chains DOCKER, DOCKER-USER in iptables' filter"},
				{Owner: "docker", What: "rule iptables filter DOCKER-USER -d 192.0.2.16/28 -p tcp -j DROP"},
				{What: "rule iptables filter INPUT -d 192.0.2.30/32 -p tcp -m tcp --dport 80 -j ACCEPT"},
			},
		},
	} {
		for _, c := range step.commands {
			command(t, tool+" "+c)
		}
		got, ran := foreignOf(t, k, "192.0.2.30", "2001:db8::1e")
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %q (-want +got)\n%s", step.commands, diff)
		}
		if ran != step.ran {
			t.Errorf("after %q: a program ran: %v", step.commands, ran)
		}
	}
}

func TestForeignRuleOfIPVS(t *testing.T) {
	k := newNamespace(t)
	command(t, "iptables-legacy -t nat -A POSTROUTING -m ipvs --vaddr 192.0.2.99 -j MASQUERADE")
	got, _ := foreignOf(t, k)
	want := []state.Foreign{{What: "rule iptables nat POSTROUTING -m ipvs --vaddr 192.0.2.99 -j MASQUERADE"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestForeignDevicesAddressesAndRoutes(t *testing.T) {
	k := newNamespace(t)
	link, err := k.route.LinkByName(kerneltest.Device)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.route.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "docker0"}}); err != nil {
		t.Fatal(err)
	}
	index := link.Attrs().Index
	signAddress(t, index, "192.0.2.30/32", unix.RTPROT_KEEPALIVED)
	signAddress(t, index, "192.0.2.31/32", unix.RTPROT_KEEPALIVED)
	signAddress(t, index, "192.0.2.32/32", 0)
	signAddress(t, index, "2001:db8::1e/128", 200)
	for _, r := range []struct {
		to       string
		protocol netlink.RouteProtocol
	}{
		{"198.51.100.0/24", unix.RTPROT_BIRD},
		{"198.51.100.30/32", state.RouteProtocol},
		{"203.0.113.0/24", unix.RTPROT_BIRD},
		{"0.0.0.0/0", unix.RTPROT_ZEBRA},
	} {
		to := netip.MustParsePrefix(r.to)
		route := netlinkRoute(state.Route{To: to, Link: kerneltest.Device, Protocol: int(r.protocol)}, index)
		if err := k.route.RouteAdd(route); err != nil {
			t.Fatal(err)
		}
	}
	got, ran := foreignOf(t, k, "192.0.2.30", "192.0.2.32", "198.51.100.30", "2001:db8::1e")
	dev := " dev " + kerneltest.Device
	want := []state.Foreign{
		{Owner: "bird", What: "route 198.51.100.0/24" + dev + " proto bird"},
		{Owner: "docker", What: "device docker0"},
		{Owner: "keepalived", What: "address 192.0.2.30/32" + dev + " proto keepalived"},
		{What: "address 2001:db8::1e/128" + dev + " proto 200"},
	}
	if diff := cmp.Diff(want, got); diff != "" || ran {
		t.Errorf("a program ran: %v (-want +got)\n%s", ran, diff)
	}
}

// signAddress adds an address as `ip address add proto` does, which the
// library cannot.
func signAddress(t *testing.T, link int, prefix string, protocol byte) {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	head := nl.NewIfAddrmsg(unix.AF_INET6)
	if p.Addr().Is4() {
		head = nl.NewIfAddrmsg(unix.AF_INET)
	}
	head.Prefixlen, head.Index = uint8(p.Bits()), uint32(link)
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(head)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, p.Addr().AsSlice()))
	if protocol != 0 {
		req.AddData(nl.NewRtAttr(ifaProto, []byte{protocol}))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		t.Fatalf("%s: %v", prefix, err)
	}
}

// A real keepalived names itself by its processes.
func TestForeignKeepalived(t *testing.T) {
	k := newNamespace(t)
	path, err := toolPath("keepalived")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "keepalived.conf")
	const text = `
global_defs {
	script_user root
}
virtual_server 192.0.2.30 80 {
	lb_algo rr
	lb_kind DR
	protocol TCP
	real_server 192.0.2.4 80 {
		weight 1
	}
}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(path, "--dont-fork", "--log-console", "--use-file", config,
		"--pid", filepath.Join(dir, "pid"), "--checkers_pid", filepath.Join(dir, "checkers"), "--vrrp_pid", filepath.Join(dir, "vrrp"))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		<-stopped
		if t.Failed() {
			t.Log(log.String())
		}
	})
	service := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.30:80")}
	for {
		host, _, err := k.Observe(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(state.Of[state.Service](host), func(s state.Service) bool { return s.ServiceID == service }) {
			break
		}
		select {
		case err := <-stopped:
			stopped <- err
			t.Fatalf("keepalived has ended before its virtual service was there: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	signs, _ := foreignOf(t, k, "192.0.2.30")
	process := regexp.MustCompile(`^process [0-9]+( and [0-9]+ more)?$`)
	if !slices.ContainsFunc(signs, func(s state.Foreign) bool { return s.Owner == "keepalived" && process.MatchString(s.What) }) {
		t.Errorf("signs: %v", signs)
	}
	// The same host, seen from another network namespace.
	elsewhere, _ := foreignOf(t, newNamespace(t), "192.0.2.30")
	if len(elsewhere) != 0 {
		t.Errorf("elsewhere: %v", elsewhere)
	}
}
