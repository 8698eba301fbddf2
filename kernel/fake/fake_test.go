package fake_test

import (
	"testing"

	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/kernel/kerneltest"
	"github.com/lvsform/lvsform/state"
)

func TestConformance(t *testing.T) {
	k := &fake.Kernel{
		State: state.NewHost(
			state.Link{Name: kerneltest.Device, MTU: 1500, Up: true},
			state.Up{Link: kerneltest.Device},
			state.Link{Name: kerneltest.Spare, MTU: 1500, Up: true},
			state.Up{Link: kerneltest.Spare},
			state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"},
			state.Sysctl{Name: state.ConfSysctl("ipv4", kerneltest.Device, "arp_ignore"), Setting: "0"},
		),
		Modules: []string{kerneltest.Module},
	}
	kerneltest.Run(t, k)
}
