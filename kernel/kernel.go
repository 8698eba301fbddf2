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
	"os"
	"strings"

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

// Boot is the boot_id of random(4), which tells one boot of the host from
// another; empty: the host does not say.
func Boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Observe reads the live state: the modules and settings that are asked for,
// and everything of all other kinds. What is asked for and cannot be had is
// returned as missing. It changes nothing and loads no module.
func (k *Kernel) Observe(ctx context.Context, asked []state.ID) (state.Host, []state.Missing, error) {
	host := state.Host{}
	var missing []state.Missing
	for _, id := range asked {
		observe := reader(id.Kind)
		if observe == nil {
			continue // read whole below
		}
		item, why, err := observe(id.Key)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("observe %s: %w", id, err)
		case why != "":
			missing = append(missing, state.Missing{ID: id, Why: why})
		case item != nil:
			host.Put(item)
		}
	}
	rules, err := rulesMissing(ctx, asked)
	if err != nil {
		return nil, nil, fmt.Errorf("observe firewall programs: %w", err)
	}
	missing = append(missing, rules...)
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
		{"routes", func(_ context.Context, h state.Host) error {
			left, err := k.observeRoutes(h, names)
			missing = append(missing, left...)
			return err
		}},
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

// reader returns what reads one item of a kind by its key; nil: items of that
// kind are read whole. The string says why an item cannot be had.
func reader(kind state.Kind) func(key string) (state.Item, string, error) {
	switch kind {
	case state.KindModule:
		return observeModule
	case state.KindSysctl:
		return observeSysctl
	default:
		return nil
	}
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
	do := k.doer(c.ID().Kind)
	if do == nil {
		return fmt.Errorf("%s: %w", c, errUnsupported)
	}
	if err := do(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// doer returns what carries out the changes of a kind; nil: nothing does.
func (k *Kernel) doer(kind state.Kind) func(context.Context, state.Change) error {
	quick := func(do func(state.Change) error) func(context.Context, state.Change) error {
		return func(_ context.Context, c state.Change) error { return do(c) }
	}
	switch kind {
	case state.KindModule:
		return doModule
	case state.KindSysctl:
		return quick(doSysctl)
	case state.KindFOUPort:
		return quick(k.doFOUPort)
	case state.KindTunnel:
		return k.doTunnel
	case state.KindUp:
		return quick(k.doUp)
	case state.KindAddress:
		return quick(k.doAddress)
	case state.KindRoute:
		return quick(k.doRoute)
	case state.KindNeighbour:
		return quick(k.doNeighbour)
	case state.KindFirewallRule:
		return doRule
	case state.KindTimeouts:
		return quick(k.doTimeouts)
	case state.KindService:
		return quick(k.doService)
	case state.KindDestination:
		return quick(k.doDestination)
	case state.KindSyncDaemon:
		return quick(k.doSyncDaemon)
	default:
		return nil
	}
}
