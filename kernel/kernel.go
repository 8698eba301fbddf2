// Package kernel is the one place that talks to this host's kernel about the
// items of package state: it observes them, normalised so that equal means the
// same, and carries out changes. Each kind of item has a file of the name it
// has in package state.
//
// Everything happens in the network namespace of the calling process.
package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudflare/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// Kernel is this host's kernel. It is not safe for concurrent use.
type Kernel struct {
	route *netlink.Handle
	ipvs  ipvs.Client // dialled when first needed: dialling loads the module
}

// Open prepares for talking to the kernel. It needs no privilege; nearly
// everything done with the result needs CAP_NET_ADMIN.
func Open() (*Kernel, error) {
	// Only the family that is used: a kernel without the others (User-Mode
	// Linux has no xfrm) refuses the whole handle otherwise.
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Kernel{route: h}, nil
}

// Close lets go of the kernel's sockets.
func (k *Kernel) Close() {
	k.route.Close()
}

// Observe reads the live state: all devices, addresses, virtual services and
// destinations, and the modules and settings that are asked for. What is asked
// for and cannot be had is returned as missing. It changes nothing and loads
// no module.
func (k *Kernel) Observe(ctx context.Context, asked []state.ID) (state.Host, []state.Missing, error) {
	host := state.Host{}
	var missing []state.Missing
	for _, id := range asked {
		var (
			item state.Item
			why  string
			err  error
		)
		switch id.Kind {
		case state.KindModule:
			item, why, err = observeModule(id.Key)
		case state.KindSysctl:
			item, why, err = observeSysctl(id.Key)
		default: // read whole below
		}
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("observe %s: %w", id, err)
		case why != "":
			missing = append(missing, state.Missing{ID: id, Why: why})
		case item != nil:
			host.Put(item)
		}
	}
	for _, whole := range []struct {
		what    string
		observe func(state.Host) error
	}{
		{"links", k.observeLinks},
		{"addresses", k.observeAddresses},
		{"virtual services", k.observeServices},
	} {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if err := whole.observe(host); err != nil {
			return nil, nil, fmt.Errorf("observe %s: %w", whole.what, err)
		}
	}
	return host, missing, nil
}

// errUnsupported is for changes the vocabulary can say and lvsform never makes.
var errUnsupported = errors.New("lvsform does not make this change")

// Do carries out one change. The item must be there for a modification or a
// removal and must not be there for an addition; the error unwraps to the
// kernel's errno where there is one.
func (k *Kernel) Do(ctx context.Context, c state.Change) error {
	var err error
	switch c.ID().Kind {
	case state.KindModule:
		err = doModule(ctx, c)
	case state.KindSysctl:
		err = doSysctl(c)
	case state.KindUp:
		err = k.doUp(c)
	case state.KindAddress:
		err = k.doAddress(c)
	case state.KindService:
		err = k.doService(c)
	case state.KindDestination:
		err = k.doDestination(c)
	default:
		err = errUnsupported
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}
