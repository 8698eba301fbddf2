package importer_test

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/inventory/inventorytest"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

type tb interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func parse(t tb, text string) *inventory.Inventory {
	inv, err := inventory.Parse("lvsform.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if problems := modes.Check(inv); len(problems) != 0 {
		t.Fatal(problems)
	}
	return inv
}

// world is the hosts of an inventory as fakes, with what lvsform has noted of
// them.
type world struct {
	kernels  map[string]*fake.Kernel
	journals map[string]journal.Journal
	order    []string
}

// newWorld is the hosts as they come, put into the state the inventory asks
// for.
func newWorld(t tb, inv *inventory.Inventory) *world {
	w := &world{kernels: map[string]*fake.Kernel{}, journals: map[string]journal.Journal{}}
	for i, h := range inv.Hosts {
		w.kernels[h.Name] = newKernel(i, h)
		w.order = append(w.order, h.Name)
	}
	p := plan.Make(inv, w.observe(t, inv))
	if p.Failed() {
		t.Fatalf("the inventory cannot be planned for: %+v", p)
	}
	for wave := plan.Wave(0); wave < 100; wave++ {
		for _, h := range p.Hosts {
			for _, a := range h.Actions {
				if a.Wave == wave {
					w.do(t, inv.Name, h.Name, a)
				}
			}
		}
	}
	return w
}

func (w *world) do(t tb, topology, host string, a plan.Action) {
	c := a.Change()
	if is := w.kernels[host].State[c.ID()]; is != nil && c.Before == nil {
		c.Before = is // it has come with a module
	}
	if c.Before != c.After {
		if err := w.kernels[host].Do(context.Background(), c); err != nil {
			t.Fatalf("%s: %v", host, err)
		}
	}
	if a.Kind != state.KindModule {
		j := w.journals[host]
		j.FormatVersion, j.Topology = journal.Version, topology
		j.Entries = append(j.Entries, journal.Entry{Before: a.Before, After: a.After, Role: string(a.Role), Reason: a.Reason})
		w.journals[host] = j
	}
}

// observe is what plan asks agents for.
func (w *world) observe(t tb, inv *inventory.Inventory) map[string]plan.Observation {
	out := map[string]plan.Observation{}
	desired := modes.Desire(inv, nil)
	for _, name := range w.order {
		o := plan.Observation{}
		asked := plan.Asked(desired[name])
		if j := w.journals[name]; j.Topology == inv.Name {
			o.Journal = j
			for _, e := range j.Entries {
				asked = append(asked, e.ID())
			}
		}
		var err error
		if o.State, o.Missing, err = w.kernels[name].Observe(context.Background(), asked); err != nil {
			t.Fatal(err)
		}
		out[name] = o
	}
	return out
}

// look is what an import asks agents for.
func (w *world) look(t tb) []importer.LiveHost {
	var out []importer.LiveHost
	for _, name := range w.order {
		first, _, err := w.kernels[name].Observe(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		host, _, err := w.kernels[name].Observe(context.Background(), importer.Asked(first))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, importer.LiveHost{Name: name, SSH: inventory.SSH{Address: name + ".example.com", User: "root"}, State: host})
	}
	return out
}

func newKernel(number int, h *inventory.Host) *fake.Kernel {
	k := fake.Booted()
	put := func(items ...state.Item) {
		for _, i := range items {
			k.State.Put(i)
		}
	}
	put(state.Address{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8")})
	// By which the hosts are reached.
	k.Plug("mgmt0", fmt.Sprintf("02:00:00:01:%02x:00", number), netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(number + 1)}), 24))
	for i, n := range h.NICs {
		k.Plug(n.Name, fmt.Sprintf("02:00:00:00:%02x:%02x", number, i), n.Addresses...)
		if slices.ContainsFunc(n.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() }) {
			put(state.Address{Link: n.Name, Prefix: netip.MustParsePrefix("fe80::1/64")})
		}
	}
	via := func(to netip.Prefix, hop netip.Addr) {
		for _, n := range h.NICs {
			for _, a := range n.Addresses {
				if a.Contains(hop) {
					r := state.Route{To: to, Via: hop, Link: n.Name, Protocol: 3}
					if hop.Is6() {
						r.Metric = 1024
					}
					put(r)
				}
			}
		}
	}
	for _, g := range h.Gateways {
		to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if g.Is6() {
			to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		via(to, g)
	}
	for _, r := range h.Routes {
		via(r.To, r.Via)
	}
	return k
}

// roundTrip checks the law for a topology of the name: hosts that are as an
// inventory asks for, imported, leave nothing to do. Some need not be looked at.
func roundTrip(t tb, inv *inventory.Inventory, name string, without ...string) *importer.Result {
	w := newWorld(t, inv)
	w.order = slices.DeleteFunc(w.order, func(host string) bool { return slices.Contains(without, host) })
	r, err := importer.Live(w.look(t), importer.Hints{Topology: name, Source: "live hosts", File: "imported.yaml", NIC: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 0 {
		t.Fatalf("%v\n%s", r.Problems, r.Text)
	}
	p := plan.Make(r.Inventory, w.observe(t, r.Inventory))
	if !p.Empty() || p.Failed() {
		var changes []string
		for _, h := range p.Hosts {
			for _, e := range h.Errors {
				changes = append(changes, fmt.Sprintf("%s: %v", h.Name, e))
			}
			for _, a := range h.Actions {
				changes = append(changes, h.Name+": "+a.Change().String())
			}
		}
		t.Fatalf("the plan is not empty:\n%s\n%s", strings.Join(changes, "\n"), r.Text)
	}
	if len(r.Pending) != 0 {
		t.Fatalf("it says that a plan would change %q", r.Pending)
	}
	return r
}

func TestLawOfImport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, parse(t, modestest.Inventory().Draw(t, "inventory")), "another")
	})
}

// Directors and real servers are enough, but for the way of arp: static, which
// is on clients and gateways.
func TestLawOfImportWithoutClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := modestest.Inventory().Filter(func(text string) bool { return !strings.Contains(text, "arp: static") }).Draw(t, "inventory")
		roundTrip(t, parse(t, text), "another", "client", "router")
	})
}

func examples(t *testing.T) map[string]*inventory.Inventory {
	t.Helper()
	const root = "../examples"
	out := map[string]*inventory.Inventory{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "lvsform.yaml" {
			return err
		}
		inv, err := inventorytest.Load(path)
		out[strings.TrimPrefix(filepath.Dir(path), root+"/")] = inv
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return out
}

// Every example's hosts make an inventory that asks for just what the example
// asks for. Under the example's own name that is a law of its own: lvsform
// would undo what it has done for the topology and is no longer asked for.
func TestImportOfExamples(t *testing.T) {
	for name, inv := range examples(t) {
		t.Run(name, func(t *testing.T) {
			roundTrip(t, inv, "another")
			r := roundTrip(t, inv, inv.Name)
			if diff := cmp.Diff(asked(inv), asked(r.Inventory)); diff != "" {
				t.Errorf("what is asked of the hosts differs (-example +import):\n%s\n%s", diff, r.Text)
			}
		})
	}
}

// asked is what the hosts must have.
func asked(inv *inventory.Inventory) []string {
	var out []string
	for host, wants := range modes.Desire(inv, nil) {
		for _, w := range wants {
			out = append(out, host+": "+state.Text(w.Item))
		}
	}
	slices.Sort(out)
	return out
}
