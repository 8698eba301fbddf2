package kernel

import (
	"testing"
	"time"

	"github.com/mdlayher/netlink"
)

// A request's deadline must not end the look-up of the next request's family.
func TestExecuteAfterDeadline(t *testing.T) {
	k := &Kernel{} // without its other sockets
	controller := genericFamily{name: "nlctrl", version: 1}
	const getFamily = 3 // CTRL_CMD_GETFAMILY of linux/genetlink.h
	if _, err := k.execute(controller, getFamily, netlink.Dump, nothing); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.generic.Close() })
	if err := k.generic.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	clear(k.families)
	answers, err := k.execute(controller, getFamily, netlink.Dump, nothing)
	if err != nil || len(answers) == 0 {
		t.Fatalf("a family looked up after the last deadline: %d answers, %v", len(answers), err)
	}
}
