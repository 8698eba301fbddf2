package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/plan"
	"github.com/lvsform/lvsform/state"
)

// A packet that comes in by another device than the way back to its source
// passes where the larger of the device's filter and that of all is 0 or 2. A
// plan changes the device's alone, and only if it must.
func TestReversePathFilters(t *testing.T) {
	inv := load(t, "../modes/testdata/desired/dr-two-nics.yaml")
	for _, c := range []struct {
		all, own string
		want     string // the change on the real server and on the gateway
	}{
		{"0", "0", ""},
		{"0", "1", "1 -> 2"},
		{"0", "2", ""},
		{"1", "0", "0 -> 2"},
		{"1", "1", "1 -> 2"},
		{"1", "2", ""},
		{"2", "0", ""},
		{"2", "1", ""},
		{"2", "2", ""},
	} {
		observed := fresh(inv)
		for _, h := range inv.Hosts {
			s := observed[h.Name].State
			s.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: c.all})
			for _, n := range h.NICs {
				s.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", n.Name, "rp_filter"), Setting: c.own})
			}
			for _, g := range h.Gateways {
				s.Put(state.Route{To: anywhere, Via: g, Link: h.NICToward(g).Name, Protocol: 4})
			}
			for _, r := range h.Routes {
				s.Put(state.Route{To: r.To, Via: r.Via, Link: h.NICToward(r.Via).Name, Protocol: 4})
			}
		}
		var got []string
		for _, h := range plan.Make(inv, observed).Hosts {
			for _, e := range h.Errors {
				t.Errorf("all %s, device %s: %s: %s", c.all, c.own, h.Name, e.Message)
			}
			for _, a := range h.Actions {
				if strings.HasSuffix(a.Key, "rp_filter") {
					got = append(got, fmt.Sprintf("%s %s %s", h.Name, a.Key, a.Change().Values()))
				}
			}
		}
		var want []string
		if c.want != "" {
			want = []string{"router net.ipv4.conf.eth2.rp_filter " + c.want, "web1 net.ipv4.conf.eth0.rp_filter " + c.want}
		}
		if !slices.Equal(got, want) {
			t.Errorf("all %s, device %s: %q, want %q", c.all, c.own, got, want)
		}
	}
}

// Where there is no way back at all the filter must be off. It is not lvsform's
// to say whether a route is missing: the plan refuses the host, unless it has a
// route that the inventory does not tell of.
func TestNoWayBack(t *testing.T) {
	inv := load(t, "../modes/testdata/desired/reverse-paths.yaml")
	const none = "preflight: nic eth0: packets from 203.0.113.7 come in here, and neither the inventory nor the host's main table has a route back to it; " +
		"with rp_filter %s the kernel drops them; give the host such a route, or set the filter to 0: sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0"
	const other = "preflight: nic eth0: packets from 203.0.113.7 come in here, and the way back to it is eth1; " +
		"with rp_filter 1 the kernel drops them; set it to 2: sysctl -w net.ipv4.conf.eth0.rp_filter=2"
	for _, c := range []struct{ all, own, way, want string }{
		{"0", "0", "", ""},
		{"", "", "", ""}, // not known
		{"1", "0", "", fmt.Sprintf(none, "1")},
		{"0", "1", "", fmt.Sprintf(none, "1")},
		{"0", "2", "", fmt.Sprintf(none, "2")},
		{"1", "2", "", fmt.Sprintf(none, "2")},
		{"1", "1", "eth0", ""},
		{"1", "1", "eth1", other},
		{"1", "2", "eth1", ""},
		{"2", "2", "eth1", ""},
	} {
		observed := fresh(inv)
		s := observed["lb1"].State
		if c.all != "" {
			s.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: c.all})
			s.Put(state.Sysctl{Name: "net.ipv4.conf.eth0.rp_filter", Setting: c.own})
		}
		if c.way != "" {
			s.Put(state.Route{To: anywhere, Link: c.way, Protocol: 4})
		}
		for _, h := range plan.Make(inv, observed).Hosts {
			if h.Name != "lb1" {
				continue
			}
			got := ""
			for _, e := range h.Errors {
				got += e.Message
			}
			if got != c.want {
				t.Errorf("all %s, eth0 %s, default route by %q: %q, want %q", c.all, c.own, c.way, got, c.want)
			}
			if strings.Contains(fmt.Sprint(h.Actions), "rp_filter") {
				t.Errorf("lvsform sets it: %v", h.Actions)
			}
		}
	}
}

// A device can have to let in packets whose way back is another device and,
// besides, packets from several sources to which the host has no route. Each is
// looked at by itself, with the filter as the plan leaves it.
func TestSeveralWaysBack(t *testing.T) {
	inv := load(t, "../modes/testdata/desired/several-ways-back.yaml")
	const (
		front, tunnel = "net.ipv4.conf.eth0.rp_filter", "net.ipv4.conf.tunl0.rp_filter"
		none          = "preflight: nic %s: packets from %s come in here, and neither the inventory nor the host's main table has a route back to it; " +
			"with rp_filter %s the kernel drops them; give the host such a route"
		off = ", or set the filter to 0: sysctl -w net.ipv4.conf.all.rp_filter=0 %s=0"
	)
	for _, c := range []struct {
		host, device, all, own string
		route, by              string // live, and not in the inventory
		want                   []string
	}{
		{host: "lb1", device: "eth0", all: "1", own: "1", route: "0.0.0.0/0", by: "eth0", want: []string{front + " 1 -> 2"}},
		{host: "lb1", device: "eth0", all: "1", own: "1", route: "0.0.0.0/0", by: "eth1", want: []string{front + " 1 -> 2"}},
		{host: "lb1", device: "eth0", all: "1", own: "1", route: "10.7.0.0/24", by: "eth0", want: []string{
			fmt.Sprintf(none+off, "eth0", "203.0.113.7", "1", front),
		}},
		{host: "lb1", device: "eth0", all: "0", own: "1", want: []string{
			fmt.Sprintf(none+off, "eth0", "10.7.0.7", "1", front), fmt.Sprintf(none+off, "eth0", "203.0.113.7", "1", front),
		}},
		{host: "lb1", device: "eth0", all: "0", own: "0"},

		{host: "web2", device: "tunl0", all: "0", own: "", want: []string{ // it comes with its module
			fmt.Sprintf(none, "tunl0", "10.7.0.7", "2, which lvsform sets,"), fmt.Sprintf(none, "tunl0", "203.0.113.7", "2, which lvsform sets,"),
		}},
		{host: "web2", device: "tunl0", all: "1", own: "0", want: []string{
			fmt.Sprintf(none+off, "tunl0", "10.7.0.7", "1", tunnel), fmt.Sprintf(none+off, "tunl0", "203.0.113.7", "1", tunnel),
		}},
		{host: "web2", device: "tunl0", all: "0", own: "0"},
		{host: "web2", device: "tunl0", all: "0", own: "", route: "0.0.0.0/0", by: "eth0", want: []string{tunnel + " 2"}},
		{host: "web2", device: "tunl0", all: "0", own: "1", route: "0.0.0.0/0", by: "eth0", want: []string{tunnel + " 1 -> 2"}},
	} {
		observed := fresh(inv)
		for _, h := range inv.Hosts { // as the inventory says
			for _, g := range h.Gateways {
				observed[h.Name].State.Put(state.Route{To: anywhere, Via: g, Link: h.NICToward(g).Name, Protocol: 4})
			}
		}
		s := observed[c.host].State
		s.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: c.all})
		if c.own != "" {
			s.Put(state.Sysctl{Name: state.ConfSysctl("ipv4", c.device, "rp_filter"), Setting: c.own})
		}
		if c.route != "" {
			s.Put(state.Route{To: netip.MustParsePrefix(c.route), Link: c.by, Protocol: 4})
		}
		var got []string
		for _, h := range plan.Make(inv, observed).Hosts {
			if h.Name != c.host {
				continue
			}
			for _, e := range h.Errors {
				got = append(got, e.Message)
			}
			for _, a := range h.Actions {
				if strings.HasSuffix(a.Key, "rp_filter") {
					got = append(got, a.Key+" "+a.Change().Values())
				}
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: all %s, %s %q, route to %q by %q:\n%s", c.host, c.all, c.device, c.own, c.route, c.by, diff)
		}
	}
}

// A route that the observation has no words for, such as one with several next
// hops, may be the way back, or the one that the inventory means: nothing is
// refused for the want of it. In its place none can be set.
func TestRoutesWithoutWords(t *testing.T) {
	const why = "the host has one with several next hops, which lvsform could not put back"
	errors := func(file, host string, edit func(*plan.Observation)) []string {
		t.Helper()
		inv := load(t, file)
		observed := fresh(inv)
		for _, h := range inv.Hosts {
			for _, g := range h.Gateways {
				observed[h.Name].State.Put(state.Route{To: anywhere, Via: g, Link: h.NICToward(g).Name, Protocol: 4})
			}
		}
		o := observed[host]
		o.State.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: "0"})
		o.State.Put(state.Sysctl{Name: "net.ipv4.conf.eth0.rp_filter", Setting: "2"})
		edit(&o)
		observed[host] = o
		var out []string
		for _, h := range plan.Make(inv, observed).Hosts {
			for _, e := range h.Errors {
				if h.Name == host {
					out = append(out, e.Message)
				}
			}
		}
		return out
	}
	unsaid := func(o *plan.Observation, to string, metric uint32) {
		o.Missing = append(o.Missing, state.Missing{ID: state.IDOf(state.Route{To: netip.MustParsePrefix(to), Metric: metric}), Why: why})
	}
	const none = "preflight: nic eth0: packets from %s come in here, and neither the inventory nor the host's main table has a route back to it; " +
		"with rp_filter 2 the kernel drops them; give the host such a route, or set the filter to 0: sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0"
	const file = "../modes/testdata/desired/several-ways-back.yaml"
	for _, c := range []struct {
		what, file, host string
		edit             func(*plan.Observation)
		want             []string
	}{
		{"it is the default route", file, "lb1", func(o *plan.Observation) { unsaid(o, "0.0.0.0/0", 100) }, nil},
		{"it leads to one of the two", file, "lb1", func(o *plan.Observation) { unsaid(o, "10.7.0.0/16", 0) },
			[]string{fmt.Sprintf(none, "203.0.113.7")}},
		{"it is an IPv6 one", file, "lb1", func(o *plan.Observation) { unsaid(o, "::/0", 1024) },
			[]string{fmt.Sprintf(none, "10.7.0.7"), fmt.Sprintf(none, "203.0.113.7")}},
		{"another is better", file, "lb1", func(o *plan.Observation) {
			unsaid(o, "0.0.0.0/0", 100)
			o.State.Put(state.Route{To: anywhere, Link: "eth1", Protocol: 4})
			o.State.Put(state.Sysctl{Name: "net.ipv4.conf.all.rp_filter", Setting: "1"})
		}, nil},
		{"it may be by the gateway that the inventory names", file, "web1", func(o *plan.Observation) {
			delete(o.State, state.IDOf(state.Route{To: anywhere}))
			unsaid(o, "0.0.0.0/0", 0)
		}, nil},
		{"it is in the place of one that lvsform must set", "../modes/testdata/desired/nat.yaml", "web1", func(o *plan.Observation) { unsaid(o, "0.0.0.0/0", 0) },
			[]string{"preflight: route default (replies must pass director lb): " + why}},
	} {
		if diff := cmp.Diff(c.want, errors(c.file, c.host, c.edit)); diff != "" {
			t.Errorf("%s:\n%s", c.what, diff)
		}
	}
}
