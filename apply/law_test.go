package apply_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// lan is a drawn segment on which DR inventories are drawn.
type lan struct {
	prefix, network string
	servers         int
}

func drawLAN(t *rapid.T) lan {
	l := lan{prefix: "192.0.2.", network: "192.0.2.0/24", servers: rapid.IntRange(1, 4).Draw(t, "servers")}
	if rapid.Bool().Draw(t, "ipv6") {
		l.prefix, l.network = "2001:db8::", "2001:db8::/64"
	}
	return l
}

// drawInventory draws a valid inventory of all the segment's hosts and up to
// three services.
func (l lan) drawInventory(t *rapid.T) string {
	host := func(name, role, last string) string {
		return fmt.Sprintf("  %s: {role: %s, nics: {eth0: {network: lan, address: '%s%s'}}}", name, role, l.prefix, last)
	}
	hosts := []string{host("client", "client", "7"), host("lb", "director", "3")}
	for i := range l.servers {
		hosts = append(hosts, host(fmt.Sprintf("web%d", i), "real-server", fmt.Sprintf("1%d", i)))
	}
	hosts = rapid.Permutation(hosts).Draw(t, "order of hosts")
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nname: drawn\nnetworks: {lan: '%s'}\nhosts:\n%s\n", l.network, strings.Join(hosts, "\n"))
	services := rapid.IntRange(0, 3).Draw(t, "services")
	if services > 0 {
		b.WriteString("services:\n")
	}
	for i := range services {
		fmt.Fprintf(&b, "  - {name: s%d, vip: '%s5%d', port: %d, mode: dr, scheduler: %s, directors: [lb], real_servers: [", i, l.prefix,
			rapid.IntRange(0, 1).Draw(t, "vip"), 80+i, rapid.SampledFrom([]string{"rr", "wrr", "sh", "mh"}).Draw(t, "scheduler"))
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, l.servers-1), 1, l.servers, rapid.ID).Draw(t, "real servers") {
			fmt.Fprintf(&b, "{host: web%d, weight: %d}, ", n, rapid.IntRange(0, 3).Draw(t, "weight"))
		}
		b.WriteString("]}\n")
	}
	return b.String()
}

// disturb changes the live state as somebody with a shell might.
func disturb(t *rapid.T, w *world) {
	for _, h := range w.inv.Hosts {
		live := w.kernels[h.Name].State
		for _, want := range modes.Desire(w.inv, nil)[h.Name] {
			switch i := want.Item.(type) {
			case state.Sysctl:
				i.Setting = rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "setting")
				live.Put(i)
			case state.Module, state.Address, state.Service:
				// A service that differs would be somebody else's: a conflict.
				if rapid.Bool().Draw(t, "there") {
					live.Put(i)
				}
			case state.Destination:
				if _, ok := live[state.IDOf(state.Service{ServiceID: i.Service})]; ok && rapid.Bool().Draw(t, "there") {
					i.Weight = rapid.Uint32Range(0, 3).Draw(t, "live weight")
					live.Put(i)
				}
			}
		}
	}
	w.kernels["lb"].State.Put(state.Service{
		ServiceID: state.ServiceID{Protocol: state.UDP, Address: netip.MustParseAddrPort("198.51.100.1:53")},
		Scheduler: "wlc", PersistenceBits: 32,
	})
}

// reach applies the inventory and checks that it then holds.
func (w *world) reach(t *rapid.T) {
	if err := w.run(w.plan()); err != nil {
		t.Fatal(err)
	}
	for host, wants := range modes.Desire(w.inv, nil) {
		for _, want := range wants {
			is := w.kernels[host].State.Has(want.Item)
			for _, i := range want.MetBy {
				is = is || w.kernels[host].State.Has(i)
			}
			if !is {
				t.Fatalf("%s lacks %s after apply", host, state.Text(want.Item))
			}
		}
	}
	p := w.plan()
	if !p.Empty() || p.Failed() {
		t.Fatalf("the second plan is not empty: %+v", p)
	}
	for _, h := range p.Hosts {
		if len(h.Adopt)+len(h.Forget) != 0 {
			t.Fatalf("%s: the second plan still adopts %v and forgets %v", h.Name, h.Adopt, h.Forget)
		}
	}
}

// Whatever is found: applying the plan gives what is desired and a second plan
// is empty; the same again for a second inventory over the same hosts; and
// destroy gives back what was found before the first.
func TestLawOfTheCircle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "lvsform-law-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		segment := drawLAN(t)
		first, second := parse(t, segment.drawInventory(t)), parse(t, segment.drawInventory(t))
		w := newWorld(first, dir)
		for _, k := range w.kernels {
			k.Modules = []string{"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh", "ip_vs_mh"}
		}
		disturb(t, w)
		found := w.dump()

		w.reach(t)
		w.inv = second
		if p := w.plan(); p.Failed() {
			t.Skip("the second inventory wants a service that was found and is not ours")
		}
		w.reach(t)

		if err := w.destroy(); err != nil {
			t.Fatal(err)
		}
		w.inv = first
		if left := w.dump(); left != found {
			t.Fatalf("found:\n%s\nleft:\n%s", found, left)
		}
		if left := w.journals(); len(left) != 0 {
			t.Fatalf("left behind: %v", left)
		}
	})
}
