// Package kernel is the one place that talks to this host's kernel about the
// items of package state: it observes them, normalised so that equal means the
// same, and carries out changes. Each kind of item has a file of the name it
// has in package state.
//
// Everything happens in the network namespace of the calling process.
package kernel

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudflare/ipvs"
	"github.com/mdlayher/genetlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

// Kernel is this host's kernel. It is not safe for concurrent use.
type Kernel struct {
	route *netlink.Handle
	// Opened when first needed.
	ipvs     ipvs.Client // asking for its family loads the module
	generic  *genetlink.Conn
	families map[string]uint16 // of generic netlink, by name
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
	if c, ok := k.ipvs.(io.Closer); ok {
		_ = c.Close()
	}
	if k.generic != nil {
		_ = k.generic.Close()
	}
}

// Observe reads the live state: the modules and settings that are asked for,
// and everything of all other kinds. What is asked for and cannot be had is
// returned as missing. It changes nothing and loads no module.
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
	links, err := dump(k.route.LinkList)
	if err != nil {
		return nil, nil, fmt.Errorf("observe links: %w", err)
	}
	observeLinks(host, links)
	observeTunnels(host, links)
	names := linkNames(links)
	for _, whole := range []struct {
		what    string
		observe func(context.Context, state.Host) error
	}{
		{"fou ports", k.observeFOUPorts},
		{"addresses", func(_ context.Context, h state.Host) error { return k.observeAddresses(h, names) }},
		{"routes", func(_ context.Context, h state.Host) error { return k.observeRoutes(h, names) }},
		{"neighbours", func(_ context.Context, h state.Host) error { return k.observeNeighbours(h, names) }},
		{"firewall rules", observeRules},
		{"IPVS", k.observeIPVS},
	} {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if err := whole.observe(ctx, host); err != nil {
			return nil, nil, fmt.Errorf("observe %s: %w", whole.what, err)
		}
	}
	return host, missing, nil
}

// errUnsupported is for changes the vocabulary can say and lvsform never makes.
var errUnsupported = fault.New(fault.Unsupported, "lvsform does not make this change")

// Do carries out one change. The item must be there for a modification or a
// removal and must not be there for an addition; the error unwraps to the
// kernel's errno where there is one.
func (k *Kernel) Do(ctx context.Context, c state.Change) error {
	if c.After != nil {
		if err := Check(c.After); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	var err error
	switch c.ID().Kind {
	case state.KindModule:
		err = doModule(ctx, c)
	case state.KindSysctl:
		err = doSysctl(c)
	case state.KindFOUPort:
		err = k.doFOUPort(c)
	case state.KindTunnel:
		err = k.doTunnel(c)
	case state.KindUp:
		err = k.doUp(c)
	case state.KindAddress:
		err = k.doAddress(c)
	case state.KindRoute:
		err = k.doRoute(c)
	case state.KindNeighbour:
		err = k.doNeighbour(c)
	case state.KindFirewallRule:
		err = doRule(ctx, c)
	case state.KindTimeouts:
		err = k.doTimeouts(c)
	case state.KindService:
		err = k.doService(c)
	case state.KindDestination:
		err = k.doDestination(c)
	case state.KindSyncDaemon:
		err = k.doSyncDaemon(c)
	default:
		err = errUnsupported
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}
