package kernel

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/kernel/kerneltest"
)

// newNamespace moves the test to a network namespace of its own, with the
// device of the conformance table. The thread is never unlocked: it ends with
// the test, and the namespace with it.
func newNamespace(t *testing.T) *Kernel {
	t.Helper()
	if os.Getenv("LVSFORM_LAB") == "" {
		t.Skip("needs a kernel with IPVS that may be changed: run `make test-kernel`, which runs this test in the lab")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	peer := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: kerneltest.Device, MTU: 1500}, PeerName: kerneltest.Spare}
	if err := k.route.LinkAdd(peer); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lo", kerneltest.Spare, kerneltest.Device} {
		link, err := k.route.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.route.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestConformance(t *testing.T) {
	kerneltest.Run(t, newNamespace(t))
}
