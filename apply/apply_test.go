package apply_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/agenttest"
	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// world is a topology and its hosts.
type world struct {
	*agenttest.Fleet
	inv *inventory.Inventory
}

func parse(tb interface{ Fatal(...any) }, text string) *inventory.Inventory {
	inv, err := inventory.Parse("lvsform.yaml", []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	if problems := modes.Check(inv); len(problems) != 0 {
		tb.Fatal(problems)
	}
	return inv
}

const tutorial = "../examples/tutorials/dr-one-subnet/lvsform.yaml"

func tutorialText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func newWorld(inv *inventory.Inventory, dir string) *world {
	return &world{agenttest.New(inv, dir), inv}
}

func (w *world) plan() *plan.Plan {
	hosts, done := w.Connect()
	defer done()
	return plan.Make(w.inv, apply.Observe(context.Background(), w.inv, hosts, apply.Options{}))
}

func (w *world) run(p *plan.Plan) error {
	hosts, done := w.Connect()
	defer done()
	return apply.Run(context.Background(), p, hosts, apply.Options{Drain: time.Second})
}

func (w *world) destroy() error {
	hosts, done := w.Connect()
	defer done()
	return apply.Run(context.Background(),
		plan.Destroy(w.inv, apply.Observe(context.Background(), w.inv, hosts, apply.Options{})), hosts, apply.Options{Drain: time.Second})
}

// dump is the state of all hosts, as dumpOf has it.
func (w *world) dump() string {
	var b strings.Builder
	for _, name := range w.Names() {
		b.WriteString(name + ":\n" + w.dumpOf(name))
	}
	return b.String()
}

// dumpOf is the state of a host, without the modules, which stay, and without
// what has come with them and is as it came.
func (w *world) dumpOf(name string) string {
	k := w.Kernels[name]
	came := map[state.Item]bool{}
	for _, items := range k.Appears {
		for _, i := range items {
			came[i] = true
		}
	}
	var b strings.Builder
	for _, i := range k.State.Items() {
		if i.Kind() != state.KindModule && !came[i] {
			b.WriteString("  " + state.Text(i) + "\n")
		}
	}
	return b.String()
}

func planText(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteText(&b, plan.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// journals lists what the hosts' folders hold.
func (w *world) journals() []string {
	files, _ := filepath.Glob(filepath.Join(w.Dir, "*", "*"))
	return files
}

func TestCircle(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	found := w.dump()
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	for host, wants := range modes.Desire(w.inv, nil) {
		for _, want := range wants {
			if !w.Kernels[host].State.Has(want.Item) {
				t.Errorf("%s lacks %s after apply", host, state.Text(want.Item))
			}
		}
	}
	if p := w.plan(); !p.Empty() || p.Failed() {
		t.Errorf("the second plan is not empty:\n%s", planText(t, p))
	}
	if len(w.journals()) != 3 {
		t.Errorf("journals %v, want those of the three hosts that changed", w.journals())
	}
	if err := w.destroy(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, w.dump()); diff != "" {
		t.Errorf("after destroy (-found +left):\n%s", diff)
	}
	if left := w.journals(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What the inventory names and is there already is left there by destroy.
func TestAdopt(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	web1 := w.Kernels["web1"].State
	vip := state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.168.91.30/32")}
	ignore := state.Sysctl{Name: state.ConfSysctl("ipv4", "ens33", "arp_ignore"), Setting: "1"}
	web1.Put(vip)
	web1.Put(ignore)
	found := w.dump()
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	// Somebody resets it by hand; what was found is still what counts.
	off := ignore
	off.Setting = "0"
	web1.Put(off)
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	if err := w.destroy(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, w.dump()); diff != "" {
		t.Errorf("after destroy (-found +left):\n%s", diff)
	}
}

// Somebody's virtual service, which was adopted, has gone since with a destination
// that lvsform had changed: destroy comes to its end and leaves nothing, and by force
// it puts back first the service and then what is in it.
func TestDestroyWithoutTheAdoptedService(t *testing.T) {
	for _, force := range []bool{false, true} {
		w := newWorld(parse(t, tutorialText(t)), t.TempDir())
		if err := w.run(w.plan()); err != nil {
			t.Fatal(err)
		}
		lb := w.Kernels["lb"].State
		theirs := state.Of[state.Service](lb)[0]
		changed := state.Of[state.Destination](lb)[0]
		found := changed
		found.Weight = 5
		if err := w.destroy(); err != nil {
			t.Fatal(err)
		}
		without := w.dump()
		lb = w.Kernels["lb"].State
		lb.Put(theirs)
		lb.Put(found)
		with := w.dump()
		if err := w.run(w.plan()); err != nil {
			t.Fatal(err)
		}
		if !lb.Has(changed) {
			t.Fatal("lvsform did not change the destination")
		}
		if err := w.Kernels["lb"].Do(t.Context(), state.Change{Before: theirs}); err != nil {
			t.Fatal(err)
		}
		hosts, done := w.Connect()
		observed := apply.Observe(t.Context(), w.inv, hosts, apply.Options{})
		for name, o := range observed {
			o.Force = force
			observed[name] = o
		}
		err := apply.Run(t.Context(), plan.Destroy(w.inv, observed), hosts, apply.Options{})
		done()
		if err != nil {
			t.Fatalf("forced %t: %v", force, err)
		}
		if diff := cmp.Diff(map[bool]string{false: without, true: with}[force], w.dump()); diff != "" {
			t.Errorf("forced %t: after destroy (-found +left):\n%s", force, diff)
		}
		if left := w.journals(); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// What was found in place and has gone since ends a run ahead of the first step.
func TestAdoptWhatHasGone(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	vip := state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.168.91.30/32")}
	w.Kernels["web1"].State.Put(vip)
	p := w.plan()
	delete(w.Kernels["web1"].State, state.IDOf(vip))
	found := w.dump()
	err := w.run(p)
	var stopped *apply.Error
	if !errors.As(err, &stopped) || fault.Of(err) != fault.Stale || stopped.Done != 0 || stopped.Planned == 0 ||
		!strings.HasPrefix(err.Error(), "web1: adopt: changed since the plan was made: address 192.168.91.30/32 on lo was there and is gone now\n0 of ") {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(found, w.dump()); diff != "" {
		t.Errorf("changed all the same (-found +left):\n%s", diff)
	}
}

// When a real server that answered ARP for the VIP is made to keep quiet, the
// director says again where the VIP is.
func TestAnnounceAgain(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	w.Kernels["web1"].State.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", "ens33", "arp_ignore"), Setting: "0"})
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	want := []state.Address{{Link: "ens33", Prefix: netip.MustParsePrefix("192.168.91.30/32")}}
	if got := w.Kernels["lb"].Announced; !slices.Equal(got, want) {
		t.Errorf("announced %v, want %v", got, want)
	}
	if err := w.run(w.plan()); err != nil || len(w.Kernels["lb"].Announced) != 1 {
		t.Errorf("announced without a reason: %v, %v", w.Kernels["lb"].Announced, err)
	}
}

// A real server that leaves the inventory's service is drained and cleaned.
func TestRemoveRealServer(t *testing.T) {
	text := tutorialText(t)
	dir := t.TempDir()
	w := newWorld(parse(t, text), dir)
	clean := maps.Clone(w.Kernels["web2"].State)
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	smaller := parse(t, strings.Replace(text, "[web1, web2]", "[web1]", 1))
	w.inv = smaller
	var order []string
	for name, k := range w.Kernels {
		k.BeforeDo = func(c state.Change) error {
			order = append(order, name+" "+c.String())
			return nil
		}
	}
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	dest := "lb %s destination tcp 192.168.91.30:80 -> 192.168.91.5:80"
	want := []string{
		strings.Replace(dest, "%s", "~", 1) + " dr weight 1 -> dr weight 0",
		strings.Replace(dest, "%s", "-", 1),
		"web2 - address 192.168.91.30/32 on lo",
		"web2 ~ sysctl net.ipv4.conf.ens33.arp_ignore 1 -> 0",
		"web2 ~ sysctl net.ipv4.conf.ens33.arp_announce 2 -> 0",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("changes in order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(state.Host(clean).Items(), w.Kernels["web2"].State.Items(), cmp.Comparer(func(a, b state.Item) bool { return a == b })); diff != "" {
		t.Errorf("web2 (-before +after):\n%s", diff)
	}
}

// Whatever step the agent dies at, the same command goes on from there, and
// destroy still finds the way back.
func TestAgentDies(t *testing.T) {
	text := tutorialText(t)
	steps := newWorld(parse(t, text), t.TempDir()).plan().Summary.Steps()
	for at := range steps {
		w := newWorld(parse(t, text), t.TempDir())
		found := w.dump()
		var n atomic.Int64 // hosts work at once
		for _, k := range w.Kernels {
			k.BeforeDo = func(state.Change) error {
				if n.Add(1) > int64(at) {
					return unix.EIO
				}
				return nil
			}
		}
		err := w.run(w.plan())
		var stopped *apply.Error
		if !errors.As(err, &stopped) {
			t.Fatalf("died at step %d: error %v, want an *apply.Error", at, err)
		}
		if stopped.Done > at {
			t.Errorf("died at step %d: says that %d are done", at, stopped.Done)
		}
		if !strings.Contains(err.Error(), "input/output error") || !strings.Contains(err.Error(), "it resumes") {
			t.Errorf("died at step %d: the error does not say why or how to go on: %v", at, err)
		}
		for _, k := range w.Kernels {
			k.BeforeDo = nil
		}
		if err := w.run(w.plan()); err != nil {
			t.Fatalf("died at step %d, the second run: %v", at, err)
		}
		if p := w.plan(); !p.Empty() {
			t.Errorf("died at step %d, the plan after the second run:\n%s", at, planText(t, p))
		}
		if err := w.destroy(); err != nil {
			t.Fatalf("died at step %d, destroy: %v", at, err)
		}
		if diff := cmp.Diff(found, w.dump()); diff != "" {
			t.Errorf("died at step %d, after destroy (-found +left):\n%s", at, diff)
		}
	}
}

// Between plan and apply somebody else was there.
func TestStale(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	p := w.plan()
	moved := state.Sysctl{Name: state.ConfSysctl("ipv4", "ens33", "arp_ignore"), Setting: "8"}
	w.Kernels["web1"].State.Put(moved)
	err := w.run(p)
	if err == nil {
		t.Fatal("applied a plan that is out of date")
	}
	for _, want := range []string{"web1", "changed since the plan was made", "arp_ignore 0 is now 8", "plan again"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if !w.Kernels["web1"].State.Has(moved) {
		t.Error("web1 was changed all the same")
	}
}

// A plan in which a host failed changes nothing anywhere.
func TestHostThatFails(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	found := w.dump()
	hosts, done := w.Connect()
	defer done()
	hosts["lb"] = apply.Unreachable{Err: errors.New("connect: connection refused")}
	p := plan.Make(w.inv, apply.Observe(t.Context(), w.inv, hosts, apply.Options{}))
	text := planText(t, p)
	if !strings.Contains(text, "connection refused") || !strings.Contains(text, "net.ipv4.conf.ens33.arp_ignore") {
		t.Errorf("the plan hides the failed host or the others:\n%s", text)
	}
	if err := apply.Run(t.Context(), p, hosts, apply.Options{}); err == nil {
		t.Error("a plan with a failed host was carried out")
	}
	if diff := cmp.Diff(found, w.dump()); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
}

// A program that is missing on one host is found on the way there and on the way
// back, before anything is changed on any.
func TestProgramThatIsMissing(t *testing.T) {
	text, err := os.ReadFile("../examples/modes/fullnat/lvsform.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(parse(t, string(text)), t.TempDir())
	lb := w.Kernels["lb"]
	none := map[string]string{state.FirewallIPv4: "iptables: not installed on this host; install the package iptables"}
	lb.NoProgram = none
	refused := func(p *plan.Plan) {
		t.Helper()
		before := w.dump()
		why := p.Failure()
		if why == nil || why.Kind != fault.Unsupported || !strings.Contains(why.Message, "install the package iptables") {
			t.Errorf("the plan says %v", why)
		}
		if n := strings.Count(planText(t, p), "install the package"); n != 1 {
			t.Errorf("the plan says so %d times", n)
		}
		if w.run(p) == nil {
			t.Error("the plan was carried out")
		}
		if diff := cmp.Diff(before, w.dump()); diff != "" {
			t.Errorf("something was changed (-before +after):\n%s", diff)
		}
	}
	refused(w.plan())
	lb.NoProgram = nil
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	lb.NoProgram = none
	hosts, done := w.Connect()
	defer done()
	refused(plan.Destroy(w.inv, apply.Observe(t.Context(), w.inv, hosts, apply.Options{})))
}

// A run that is interrupted is of that kind, though a host had failed before, and
// says how to go on.
func TestInterruptedRun(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	for _, module := range []string{"ip_vs", "ip_vs_rr"} {
		w.Kernels["lb"].State.Put(state.Module{Name: module})
	}
	p := w.plan()
	hosts, done := w.Connect()
	defer done()
	hosts["web1"], hosts["web2"] = apply.Unreachable{Err: fault.New(fault.Connection, "lost")}, hung{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.Interruption("interrupted"))
	err := apply.Run(ctx, p, hosts, apply.Options{})
	if fault.Of(err) != fault.Interrupted || !strings.HasSuffix(err.Error(), "; run the same command again: it resumes") {
		t.Errorf("%v: %v", fault.Of(err), err)
	}
}

// hung never answers.
type hung struct{}

func (hung) Call(ctx context.Context, _ wire.Method, _, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestHostThatHangs(t *testing.T) {
	w := newWorld(parse(t, tutorialText(t)), t.TempDir())
	hosts, done := w.Connect()
	defer done()
	hosts["web1"] = hung{}
	observed := apply.Observe(t.Context(), w.inv, hosts, apply.Options{Limit: 50 * time.Millisecond})
	if err := observed["web1"].Err; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("web1: %v, want the limit to end the wait", err)
	}
	if err := observed["lb"].Err; err != nil {
		t.Errorf("lb: %v", err)
	}
}

// What a host says of its failure is one line, which cannot pass for another's.
func TestErrorOfHostileHost(t *testing.T) {
	err := &apply.Error{Step: plan.AddServices.String(), Faults: []apply.Fault{{Host: "lb", Err: errors.New("no\nweb1: add destinations: \x1b[2Kdone")}}, Planned: 2}
	want := `lb: add virtual services: no\nweb1: add destinations: \x1b[2Kdone`
	said, rest, _ := strings.Cut(err.Error(), "\n")
	if said != want || strings.Contains(rest, "\n") {
		t.Errorf("%q, want a line %q and one on what is done", err, want)
	}
}
