package kerneltest

import (
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace moves the test to a network namespace of its own, with the devices
// of the table. The thread is never unlocked: it ends with the test, and the
// namespace with it. Outside of the lab the test is skipped.
func Namespace(t *testing.T) {
	t.Helper()
	if os.Getenv("LVSFORM_LAB") == "" {
		t.Skip("needs a kernel with IPVS that may be changed: run `make test-kernel`, which runs this test in the lab")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer route.Close()
	peer := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: Device, MTU: 1500}, PeerName: Spare}
	if err := route.LinkAdd(peer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", Spare, Device} {
		link, err := route.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := route.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
}

// Addrs are the addresses of a list; one that is none panics.
func Addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}
