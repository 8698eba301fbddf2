package apply_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/kernel/fake"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// The laws spend most of their time on JSON that lives for one message: there
// is memory to leave it lying about for longer than usual.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// law checks a property on random input, so many times as many checks as
// -rapid.checks says, on all processors.
func law(t *testing.T, times int, holds func(*rapid.T)) {
	t.Helper()
	for i := range times {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, holds)
		})
	}
}

// drawnWorld is a world of all hosts of an inventory, with a folder of its own
// for the journals.
func drawnWorld(t *rapid.T, inv *inventory.Inventory) *world {
	dir, remove, err := agenttest.Folder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	return newWorld(inv, dir)
}

// observe looks at the inventory's hosts and at those that have left it.
func (w *world) observe(inv *inventory.Inventory) map[string]plan.Observation {
	hosts, done := w.Connect()
	defer done()
	observed := apply.Observe(context.Background(), inv, hosts, apply.Options{})
	maps.Copy(observed, apply.ObserveLeft(context.Background(), inv, plan.Left(inv, observed), hosts, apply.Options{}))
	return observed
}

func (w *world) planOf(inv *inventory.Inventory) *plan.Plan { return plan.Make(inv, w.observe(inv)) }

func (w *world) destroyOf(inv *inventory.Inventory) *plan.Plan {
	return plan.Destroy(inv, w.observe(inv))
}

// mustRun carries out a plan that must not fail.
func (w *world) mustRun(t *rapid.T, what string, p *plan.Plan) {
	t.Helper()
	if p.Failed() {
		t.Fatalf("%s: cannot be planned: %v", what, p.Failure())
	}
	if err := w.run(p); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// nothingLeft fails unless the inventory is reached and recorded. It returns
// the plan, which changes nothing.
func (w *world) nothingLeft(t *rapid.T, what string, inv *inventory.Inventory) *plan.Plan {
	t.Helper()
	observed := w.observe(inv)
	p := plan.Make(inv, observed)
	if !p.Empty() || p.Failed() {
		t.Fatalf("%s: the plan is not empty:\n%s", what, planString(t, p))
	}
	for _, h := range p.Hosts {
		if len(h.Adopt)+len(h.Forget)+len(h.HandOver) != 0 || h.Remember || h.Left {
			t.Fatalf("%s: %s: adopts %v, forgets %v, remembers %t, left %t", what, h.Name, h.Adopt, slices.Concat(h.Forget, h.HandOver), h.Remember, h.Left)
		}
	}
	if d := plan.Deviations(inv, observed); !d.Clean() {
		t.Fatalf("%s: drifted: %+v", what, d)
	}
	return p
}

// unhook takes off what a test has hung on the kernels.
func (w *world) unhook() {
	for _, k := range w.Kernels {
		k.BeforeDo = nil
	}
}

// said is a change in words. Settings come with modules and devices that the
// same plan brings: then they are there before they are set.
func said(c state.Change) string {
	if _, setting := c.After.(state.Sysctl); setting {
		return "= " + state.Text(c.After)
	}
	return c.String()
}

// record lists the changes made on each host from now on, in their order.
func (w *world) record() map[string]*[]string {
	out := map[string]*[]string{}
	for name, k := range w.Kernels {
		list := new([]string)
		out[name] = list
		k.BeforeDo = func(c state.Change) error { // a host makes one change at a time
			*list = append(*list, said(c))
			return nil
		}
	}
	return out
}

// files are the journals' texts by name.
func (w *world) files() map[string]string {
	out := map[string]string{}
	for _, file := range w.journals() {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		out[strings.TrimPrefix(file, w.Dir)] = string(text)
	}
	return out
}

// whole is the state of all hosts, with the modules, and the journals.
func (w *world) whole() string {
	var b strings.Builder
	for _, name := range w.Names() {
		b.WriteString(name + ":\n")
		for _, i := range w.Kernels[name].State.Items() {
			b.WriteString("  " + state.Text(i) + "\n")
		}
	}
	files := w.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.WriteString(name + ": " + files[name] + "\n")
	}
	return b.String()
}

func planString(t *rapid.T, p *plan.Plan) string {
	var b strings.Builder
	if err := p.WriteText(&b, plan.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// strangers are what other people's work on a host may be: none of it is
// anything an inventory of modestest names.
func strangers(h *inventory.Host) []state.Item {
	nic := h.NICs[0]
	theirs := state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("198.51.100.1:53")}
	onVIP := state.ServiceID{Protocol: state.TCP, Address: netip.MustParseAddrPort("192.0.2.100:443")}
	return []state.Item{
		state.Service{ServiceID: theirs, Scheduler: "wlc", PersistenceBits: 32},
		state.Destination{Service: theirs, Address: netip.MustParseAddrPort("198.51.100.77:53"), Forward: state.ForwardNAT, Weight: 1},
		state.Service{ServiceID: onVIP, Scheduler: "rr", PersistenceBits: 32},
		state.Destination{Service: onVIP, Address: netip.MustParseAddrPort("192.0.2.11:443"), Forward: state.ForwardDR, Weight: 3},
		state.Address{Link: nic.Name, Prefix: netip.MustParsePrefix("192.0.2.240/24")},
		state.Address{Link: "lo", Prefix: netip.MustParsePrefix("10.9.9.9/32")},
		state.Link{Name: "docker0", MAC: "02:42:00:00:00:01", MTU: 1500, Up: true},
		state.Address{Link: "docker0", Prefix: netip.MustParsePrefix("172.17.0.1/16")},
		state.FirewallRule{Family: state.FirewallIPv4, Table: "mangle", Chain: "PREROUTING", Spec: "-d 198.51.100.9/32 -j ACCEPT"},
		state.Route{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("192.0.2.9"), Link: nic.Name, Protocol: 4},
		state.Neighbour{Link: nic.Name, Address: netip.MustParseAddr("192.0.2.99"), MAC: "02:00:00:00:00:99"},
		state.Sysctl{Name: "net.ipv4.tcp_syncookies", Setting: "2"},
	}
}

// settle in some of what other people may have on the hosts. It returns what
// it was, by host.
func (w *world) visit(t *rapid.T) map[string]state.Host {
	out := map[string]state.Host{}
	for _, h := range w.inv.Hosts {
		out[h.Name] = state.Host{}
		all := strangers(h)
		mask := rapid.Uint64Range(0, 1<<len(all)-1).Draw(t, "strangers on "+h.Name)
		for i, item := range all {
			if d, ok := item.(state.Destination); ok && out[h.Name][state.IDOf(state.Service{ServiceID: d.Service})] == nil {
				continue
			}
			if a, ok := item.(state.Address); ok && w.Kernels[h.Name].State[state.IDOf(state.Link{Name: a.Link})] == nil {
				continue
			}
			if mask>>i&1 != 0 {
				out[h.Name].Put(item)
				w.Kernels[h.Name].State.Put(item)
			}
		}
	}
	return out
}

// guard fails the test when somebody touches what strangers have.
func (w *world) guard(t *rapid.T, theirs map[string]state.Host) (check func()) {
	var (
		mu      sync.Mutex
		touched []string
	)
	for name, k := range w.Kernels {
		next := k.BeforeDo
		k.BeforeDo = func(c state.Change) error {
			if _, foreign := theirs[name][c.ID()]; foreign {
				mu.Lock()
				touched = append(touched, name+": "+c.String())
				mu.Unlock()
			}
			if next != nil {
				return next(c)
			}
			return nil
		}
	}
	return func() {
		t.Helper()
		if len(touched) != 0 {
			t.Fatalf("strangers' things were touched: %v", touched)
		}
		for name, items := range theirs {
			for _, i := range items {
				if !w.Kernels[name].State.Has(i) {
					t.Fatalf("%s: %s was a stranger's and is %v now", name, state.Text(i), w.Kernels[name].State[state.IDOf(i)])
				}
			}
		}
	}
}

// has reports whether a want is met on a host.
func (w *world) has(host string, want modes.Want) bool {
	return want.Met(w.Kernels[host].State)
}

// drawnFor draws an inventory for one of two topologies on the same hosts.
func drawnFor(t *rapid.T, topology string) *inventory.Inventory {
	document := modestest.Inventory().Draw(t, topology)
	if topology == "other" {
		document = modestest.Other(document, rapid.IntRange(0, 3).Draw(t, "VIPs of its own") != 0)
	}
	return parse(t, document)
}

// without takes hosts out of a document. What they serve is of no matter on
// fakes, and goes as well: it is an alias.
func without(document string, hosts ...string) string {
	document = regexp.MustCompile(`(?m)^    serve:.*\n`).ReplaceAllString(document, "")
	for _, h := range hosts {
		document = regexp.MustCompile(`(?m)^  `+h+`:\n(    .*\n)+`).ReplaceAllString(document, "")
	}
	return document
}

// try parses a document that may not pass: nil then.
func try(document string) *inventory.Inventory {
	inv, err := inventory.Parse("lvsform.yaml", []byte(document))
	if err != nil || len(modes.Check(inv)) != 0 {
		return nil
	}
	return inv
}

// allHosts is an inventory of every host there is, for the fakes.
func allHosts(t *rapid.T) *inventory.Inventory {
	return parse(t, modestest.Hosts+"services: [{name: s, vip: 192.0.2.100, port: 80, mode: dr, directors: [lb], real_servers: [near1]}]\n")
}

// served is how a run in which somebody dies is made: at most so many changes
// are carried out on all hosts, and then none.
type served struct {
	mu   sync.Mutex
	left int
}

func (s *served) hang(kernels map[string]*fake.Kernel, died error) {
	for _, k := range kernels {
		k.BeforeDo = func(state.Change) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.left--; s.left < 0 {
				return died
			}
			return nil
		}
	}
}

// quick are options for worlds in which nobody has a connection open.
func quick() apply.Options { return apply.Options{Drain: time.Second, Parallel: 4} }

func (w *world) journal(host, topology string) string {
	return filepath.Join(w.Dir, host, topology+".json")
}
