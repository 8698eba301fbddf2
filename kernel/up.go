package kernel

import (
	"github.com/lvsform/lvsform/state"
)

// doUp brings a device up or takes it down. Devices that are up are observed
// together with the links.
func (k *Kernel) doUp(c state.Change) error {
	name := c.ID().Key
	link, err := k.route.LinkByName(name)
	if err != nil {
		return err
	}
	if c.Op() == state.Remove {
		return k.route.LinkSetDown(link)
	}
	return k.route.LinkSetUp(link)
}
