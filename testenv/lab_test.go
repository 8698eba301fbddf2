package testenv_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/testenv"
)

// topology is a client behind a gateway and two servers with IPv4 and IPv6.
func topology() *inventory.Inventory {
	outside := &inventory.Network{Name: "outside", Prefixes: prefixes("198.51.100.0/24", "2001:db8:51::/64")}
	inside := &inventory.Network{Name: "inside", Prefixes: prefixes("192.0.2.0/24", "2001:db8:2::/64")}
	nic := func(name string, network *inventory.Network, addresses ...string) *inventory.NIC {
		return &inventory.NIC{Name: name, Network: network, Addresses: prefixes(addresses...)}
	}
	return &inventory.Inventory{
		Version:  1,
		Name:     "lab",
		Networks: []*inventory.Network{outside, inside},
		Hosts: []*inventory.Host{
			{
				Name: "client", Roles: []inventory.Role{inventory.RoleClient},
				NICs:     []*inventory.NIC{nic("eth0", outside, "198.51.100.7/24", "2001:db8:51::7/64")},
				Gateways: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:51::1")},
			},
			{
				Name: "gw", Roles: []inventory.Role{inventory.RoleGateway},
				NICs: []*inventory.NIC{
					nic("outer0", outside, "198.51.100.1/24", "2001:db8:51::1/64"),
					nic("inner.100", inside, "192.0.2.1/24", "2001:db8:2::1/64"),
				},
			},
			{
				Name: "web1", Roles: []inventory.Role{inventory.RoleRealServer},
				NICs:     []*inventory.NIC{nic("ens33", inside, "192.0.2.11/24", "2001:db8:2::11/64")},
				Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:2::1")},
				Serve:    inventory.Serve{HTTP: []uint16{80, 8080}},
				SSH:      inventory.SSH{Port: 2222, Address: "203.0.113.11"},
			},
		},
	}
}

func prefixes(all ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range all {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// kernels runs a test on both kernels, each where this machine has it.
func kernels(t *testing.T, test func(t *testing.T, o testenv.Options)) {
	for _, kernel := range []testenv.Kernel{testenv.KernelNative, testenv.KernelUML} {
		t.Run(string(kernel), func(t *testing.T) {
			o := testenv.Options{Kernel: kernel, WithoutIPVS: true, File: []byte("version: 1\n")}
			if err := testenv.Available(o); err != nil {
				t.Skip(err)
			}
			test(t, o)
		})
	}
}

// A lab does not run out of open files, whatever is looked at in it: hostfs holds
// one for every folder that anybody has opened.
func TestManyFolders(t *testing.T) {
	o := testenv.Options{Kernel: testenv.KernelUML, WithoutIPVS: true, File: []byte("version: 1\n")}
	if err := testenv.Available(o); err != nil {
		t.Skip(err)
	}
	const few = "LVSFORM_FEW_FILES"
	if os.Getenv(few) == "" { // in a process of its own: a limit that was lowered stays
		c := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -Sn 1024; ulimit -Hn 1500; exec "$0" -test.run '^TestManyFolders$'`, os.Args[0])
		c.Env = append(os.Environ(), few+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	lab := start(t, o)
	out, errs, _ := sh(t, lab, "find /usr /var -xdev -type d | head -n 4000 | wc -l")
	if strings.HasPrefix(out, "0") || strings.Contains(errs, "Too many open files") {
		t.Errorf("find: %s folders, %.300s", strings.TrimSpace(out), errs)
	}
}

func start(t *testing.T, o testenv.Options) *testenv.Lab {
	t.Helper()
	lab, err := testenv.Start(t.Context(), topology(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// sh runs a shell script at the workstation and returns its output and status.
func sh(t *testing.T, lab *testenv.Lab, script string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	status, err := lab.Run(ctx, testenv.Command{Args: []string{"sh", "-c", script}, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out.String(), errs.String(), status
}

// on runs a command on a host and returns its output.
func on(t *testing.T, lab *testenv.Lab, host, command string) string {
	t.Helper()
	client, err := lab.Dial(host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.CombinedOutput(command)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", host, command, err, out)
	}
	return string(out)
}

func TestLab(t *testing.T) {
	kernels(t, func(t *testing.T, o testenv.Options) {
		lab := start(t, o)
		t.Run("network", func(t *testing.T) { testNetwork(t, lab) })
		t.Run("host", func(t *testing.T) { testHost(t, lab) })
		t.Run("serve", func(t *testing.T) { testServe(t, lab) })
		t.Run("workstation", func(t *testing.T) { testWorkstation(t, lab) })
		t.Run("openssh", func(t *testing.T) { testOpenSSH(t, lab) })
		t.Run("hang-up", func(t *testing.T) { testHangUp(t, lab) })
		t.Run("load", func(t *testing.T) { testLoad(t, lab) })
		if lab.Kernel == testenv.KernelUML {
			t.Run("ipvs", func(t *testing.T) { testIPVS(t, lab) })
		}
	})
}

func testNetwork(t *testing.T, lab *testenv.Lab) {
	const links = `ip -br link | awk '{sub("@.*", "", $1); print $1, $2}'`
	const addresses = `ip -o addr | awk '$4 !~ /^fe80/ {print $2, $4}'`
	const routes = `ip route; ip -6 route show default`
	for _, test := range []struct{ host, command, want string }{
		{"gw", links, "lo UNKNOWN\nouter0 UP\ninner.100 UP\nmgmt0 UP\n"},
		{"gw", addresses, "lo 127.0.0.1/8\nlo ::1/128\nouter0 198.51.100.1/24\nouter0 2001:db8:51::1/64\n" +
			"inner.100 192.0.2.1/24\ninner.100 2001:db8:2::1/64\nmgmt0 198.18.0.2/24\n"},
		{"web1", routes, "default via 192.0.2.1 dev ens33 \n192.0.2.0/24 dev ens33 proto kernel scope link src 192.0.2.11 \n" +
			"198.18.0.0/24 dev mgmt0 proto kernel scope link src 198.18.0.3 \ndefault via 2001:db8:2::1 dev ens33 metric 1024 pref medium\n"},
		{"gw", "cat /proc/sys/net/ipv4/ip_forward", "0\n"},
	} {
		if diff := cmp.Diff(test.want, on(t, lab, test.host, test.command)); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", test.host, test.command, diff)
		}
	}
	if out, _, status := sh(t, lab, "ip route show default; ip -6 route show default"); out != "" || status != 0 {
		t.Errorf("the workstation has a default route: %s", out)
	}
}

func testHost(t *testing.T, lab *testenv.Lab) {
	for _, test := range []struct{ command, want string }{
		{"hostname; cat /etc/hostname", "web1\nweb1\n"},
		{"getent ahostsv4 client | awk '{print $1}' | sort -u; getent ahostsv6 client | awk '{print $1}' | sort -u", "198.51.100.7\n2001:db8:51::7\n"},
		{"ls -A /tmp /root /run", "/root:\n\n/run:\n\n/tmp:\n"},
		{"cat /proc/1/comm; ls /proc | grep -c '^[0-9]'", "lab-host\n4\n"},
		{"echo mine > /etc/motd; cat /etc/motd; echo more >> /etc/passwd; tail -n1 /etc/passwd", "mine\nmore\n"},
		{"test -c /dev/null && test -c /dev/ptmx && head -c1 /dev/urandom | wc -c", "1\n"},
		{"pwd; echo $HOME $USER", "/root\n/root root\n"},
		{"sudo -n id -u", "0\n"},
		{"test ! -e /var/lib/lvsform && echo none", "none\n"},
		// an orphan is not left to be a zombie
		{"(sleep 0.01 &) ; sleep 0.2; ps -eo stat= | grep -c Z || true", "0\n"},
	} {
		if diff := cmp.Diff(test.want, on(t, lab, "web1", test.command)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.command, diff)
		}
	}
	if out := on(t, lab, "gw", "cat /etc/motd 2>/dev/null || true"); strings.Contains(out, "mine") {
		t.Error("what one host writes, another reads")
	}
}

func testServe(t *testing.T, lab *testenv.Lab) {
	on(t, lab, "gw", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	for _, test := range []struct{ url, source, destination string }{
		{"192.0.2.11", "198.51.100.7:", "192.0.2.11:80"},
		{"192.0.2.11:8080", "198.51.100.7:", "192.0.2.11:8080"},
		{"[2001:db8:2::11]", "[2001:db8:51::7]:", "[2001:db8:2::11]:80"},
	} {
		out := on(t, lab, "client", "curl -sS --max-time 10 http://"+test.url)
		if !strings.HasPrefix(out, "web1 source "+test.source) || !strings.HasSuffix(out, " destination "+test.destination+"\n") {
			t.Errorf("GET %s: %q", test.url, out)
		}
	}
}

func testWorkstation(t *testing.T, lab *testenv.Lab) {
	out, errs, status := sh(t, lab, `pwd; cat lvsform.yaml; echo $HOME $LVSFORM_LAB; hostname; stat -c %a ~/.ssh/id_ed25519; echo oops >&2; exit 7`)
	want := testenv.Work + "\nversion: 1\n" + testenv.Home + " 1\nworkstation\n600\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if errs != "oops\n" || status != 7 {
		t.Errorf("stderr %q, status %d", errs, status)
	}
	if _, _, status := sh(t, lab, "kill -TERM $$"); status != 128+15 {
		t.Errorf("status of a command ended by SIGTERM: %d", status)
	}
	// the first directory in PATH is the running program's
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ = sh(t, lab, `ls "${PATH%%:*}"`)
	if !strings.Contains(out, exe[strings.LastIndex(exe, "/")+1:]) {
		t.Errorf("PATH begins with %q", out)
	}
	// a command's arguments arrive as they are
	var got bytes.Buffer
	args := []string{"", "a b", `'"$HOME\`, "*", "\n", "ä"}
	_, err = lab.Run(t.Context(), testenv.Command{Args: append([]string{"printf", "[%s]"}, args...), Dir: "/", Stdout: &got})
	if want := "[" + strings.Join(args, "][") + "]"; err != nil || got.String() != want {
		t.Errorf("got %q, want %q (%v)", got.String(), want, err)
	}
}

func testOpenSSH(t *testing.T, lab *testenv.Lab) {
	for _, tool := range []string{"ssh", "scp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	out, errs, status := sh(t, lab, `
		ssh web1 'hostname; exit 3'; echo $?
		ssh -p 2222 someone@203.0.113.11 id -un
		ssh -J gw client hostname
		scp -q lvsform.yaml web1:/tmp/copy && ssh web1 cat /tmp/copy
		ssh -tt gw tty </dev/null | tr -d '\r'
		ssh -o UserKnownHostsFile=/dev/null web1 true; echo $?
		mv ~/.ssh/id_ed25519 ~/key; ssh web1 true; echo $?; mv ~/key ~/.ssh/id_ed25519`)
	want := "web1\n3\nroot\nclient\nversion: 1\n/dev/pts/0\n255\n255\n"
	if diff := cmp.Diff(want, out); diff != "" || status != 0 {
		t.Errorf("status %d, stdout (-want +got):\n%s\nstderr:\n%s", status, diff, errs)
	}
}

// testHangUp loses a connection and looks at what ran in its terminal.
func testHangUp(t *testing.T, lab *testenv.Lab) {
	client, err := lab.Dial("gw")
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("vt100", 24, 80, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Start("exec sleep 1000"); err != nil {
		t.Fatal(err)
	}
	const count = "pgrep -c sleep || true"
	within(t, "the command does not run", func() bool { return on(t, lab, "gw", count) == "1\n" })
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "the command still runs", func() bool { return on(t, lab, "gw", count) == "0\n" })
}

// testLoad sends so much through the stream, in both directions at once, that
// every buffer on the way is full.
func testLoad(t *testing.T, lab *testenv.Lab) {
	sent := make([]byte, 8<<20)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := sha256.New()
	status, err := lab.Run(ctx, testenv.Command{Args: []string{"cat"}, Stdin: bytes.NewReader(sent), Stdout: got})
	if err != nil || status != 0 {
		t.Fatalf("status %d, %v", status, err)
	}
	if want := sha256.Sum256(sent); !bytes.Equal(want[:], got.Sum(nil)) {
		t.Error("other bytes came back")
	}
}

// testIPVS makes a director of the gateway, with modules that load by
// themselves.
func testIPVS(t *testing.T, lab *testenv.Lab) {
	if _, err := exec.LookPath("ipvsadm"); err != nil {
		t.Skip(err)
	}
	if out := on(t, lab, "gw", "lsmod"); strings.Contains(out, "ip_vs") {
		t.Error("ip_vs is loaded before anybody asks for it")
	}
	on(t, lab, "gw", `ip addr add 192.0.2.80/32 dev inner.100
		ipvsadm -A -t 192.0.2.80:80 -s rr
		ipvsadm -a -t 192.0.2.80:80 -r 192.0.2.11 -m
		iptables -t nat -A POSTROUTING -j MASQUERADE
		modprobe ipip`)
	out := on(t, lab, "client", "curl -sS --max-time 10 http://192.0.2.80")
	if !strings.HasPrefix(out, "web1 source 198.51.100.7:") {
		t.Errorf("through the director: %q", out)
	}
	if out := on(t, lab, "web1", "ls /proc/net/ip_vs >/dev/null; cat /proc/net/ip_vs"); strings.Contains(out, "rr") {
		t.Errorf("the director's services show up elsewhere: %s", out)
	}
}

func TestTwoLabs(t *testing.T) {
	kernels(t, func(t *testing.T, o testenv.Options) {
		for i := range 2 {
			lab := start(t, o)
			on(t, lab, "web1", fmt.Sprintf("test ! -e /etc/mark && echo %d > /etc/mark", i))
			t.Cleanup(func() {
				if out := on(t, lab, "web1", "cat /etc/mark"); out != fmt.Sprintln(i) {
					t.Errorf("lab %d reads %q", i, out)
				}
			})
		}
	})
}
