// Package verify proves with test traffic that virtual services and tunnels
// work as the inventory says. It gathers evidence from the hosts' agents, and
// from the evidence alone it judges.
package verify

import (
	"context"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
)

// DefaultTimeout is how long a probe may take to connect. The first repeat of
// a lost request comes after one second, the second after three.
const DefaultTimeout = 3 * time.Second

// MaxProbes is the most probes a client may be asked to hold open at a time.
const MaxProbes = wire.MaxProbes

// Options are the choices of one run. The zero value is a good one.
type Options struct {
	Probes   int               // of each client to each port of each service; 0 chooses by scheduler and weights
	Timeout  time.Duration     // of each probe; 0 is DefaultTimeout
	StandIn  bool              // listen on real servers on which nothing listens
	Progress func(line string) // may be nil
}

// Run sends test traffic through every tunnel and to every service, one after
// the other, and judges what it finds. Hosts are asked through their callers,
// by name; a host that does not answer makes checks fail and is no error. The
// error is that the context was cancelled.
func Run(ctx context.Context, inv *inventory.Inventory, hosts map[string]wire.Caller, opts Options) (*Report, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	g := &gatherer{inv: inv, hosts: hosts, opts: opts}
	var tunnels []Tunnel
	for _, t := range inv.Tunnels {
		tunnels = append(tunnels, judgeTunnel(t, g.tunnel(ctx, t)))
	}
	found := make([]*evidence, len(inv.Services))
	for i, s := range inv.Services {
		found[i] = &evidence{}
		if cannotVerify(s) == "" {
			g.traffic(ctx, s, found[i])
		}
	}
	g.owners(ctx, found)
	if ctx.Err() != nil {
		return nil, fault.Interruption("there is no verdict")
	}
	var services []Service
	for i, s := range inv.Services {
		services = append(services, judge(s, found[i]))
	}
	return newReport(services, tunnels), nil
}
