package kernel

import (
	"fmt"

	"github.com/cloudflare/ipvs"

	"github.com/lvsform/lvsform/state"
)

func (k *Kernel) observeTimeouts(host state.Host) error {
	client, err := k.ipvsClient()
	if err != nil {
		return err
	}
	t, err := client.Config()
	if err != nil {
		return err
	}
	host.Put(state.Timeouts{TCP: t.TCPTimeout, TCPFin: t.TCPFinTimeout, UDP: t.UDPTimeout})
	return nil
}

// doTimeouts sets them, whatever they were: as with a setting of ip_vs, they
// may not have been there when the change was planned, and come with the module.
func (k *Kernel) doTimeouts(c state.Change) error {
	t, ok := c.After.(state.Timeouts)
	if !ok {
		return fmt.Errorf("timeouts cannot be removed: %w", errUnsupported)
	}
	client, err := k.ipvsClient()
	if err != nil {
		return err
	}
	return client.SetConfig(ipvs.Config{TCPTimeout: t.TCP, TCPFinTimeout: t.TCPFin, UDPTimeout: t.UDP})
}
