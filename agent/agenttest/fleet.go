// Package agenttest is a fleet of hosts for tests: each host is a kernel in
// memory, and the real agent answers for it on a stream in memory. What the
// hosts see of test traffic is made up, too.
package agenttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/lvsform/lvsform/agent"
	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/state"
)

// Fleet is the hosts of an inventory.
type Fleet struct {
	Dir     string                  // has a folder with the journals for each host that has some
	Kernels map[string]*fake.Kernel // by the host's name
	Traffic *Traffic
	// Prepare, where set, is called with each agent before it serves. A test of
	// package agent sets its hooks there.
	Prepare func(*agent.Agent)
}

// ErrKilled is what a hook panics with to kill the agent that runs it. The
// agent's connection ends without an answer. Any other panic ends the test.
var ErrKilled = errors.New("the agent is killed")

// New returns a fleet in which every host is as it comes: booted, with its
// devices, their addresses, and its default routes. The folder is for the
// journals.
func New(inv *inventory.Inventory, dir string) *Fleet {
	f := &Fleet{Dir: dir, Kernels: map[string]*fake.Kernel{}, Traffic: newTraffic(inv)}
	for i, h := range inv.Hosts {
		f.Kernels[h.Name] = booted(h, i)
	}
	return f
}

// booted is the kernel of the host with this index in the inventory.
func booted(h *inventory.Host, index int) *fake.Kernel {
	k := fake.Booted()
	for i, n := range h.NICs {
		k.Plug(n.Name, mac(index, i), n.Addresses...)
	}
	for _, g := range h.Gateways {
		r := state.Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: g, Link: h.NICs[0].Name, Protocol: 3}
		if g.Is6() {
			r.To, r.Metric = netip.PrefixFrom(netip.IPv6Unspecified(), 0), 1024
		}
		k.State.Put(r)
	}
	return k
}

// mac is the address of a host's NIC, both by their index. No two are the same.
func mac(host, nic int) string {
	return fmt.Sprintf("02:00:00:%02x:%02x:%02x", nic, host>>8, host&0xff)
}

// Folder makes a folder for journals and returns the function that removes it.
// The folder is in memory where the machine has such: elsewhere a test waits
// for the disk at every journal.
func Folder() (dir string, remove func(), err error) {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err = os.MkdirTemp(parent, "lvsform-fleet-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// Names are those of all hosts, in order.
func (f *Fleet) Names() []string { return slices.Sorted(maps.Keys(f.Kernels)) }

// Connect starts an agent on every host and returns their callers by the hosts'
// names. The function closes the connections, which ends the agents.
func (f *Fleet) Connect() (hosts map[string]wire.Caller, closeAll func()) {
	hosts = map[string]wire.Caller{}
	var clients []*wire.Client
	for name, k := range f.Kernels {
		a := &agent.Agent{Kernel: k, Traffic: f.Traffic.of(name), Dir: filepath.Join(f.Dir, name)}
		if f.Prepare != nil {
			f.Prepare(a)
		}
		c := start(a)
		hosts[name], clients = c, append(clients, c)
	}
	return hosts, func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
}

// start has an agent serve and returns the other end of its stream.
func start(a *agent.Agent) *wire.Client {
	near, far := net.Pipe()
	go func() {
		defer func() {
			_ = far.Close()
			if why := recover(); why != nil && why != any(ErrKilled) {
				panic(why)
			}
		}()
		_ = a.Serve(context.Background(), far)
	}()
	r := bufio.NewReader(near)
	_, _ = r.ReadString('\n') // the agent's hello
	return wire.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{r, near})
}
