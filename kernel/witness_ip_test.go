package kernel

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
)

// ipCases are in the words of ip(8). "set" makes the thing, "show" prints it
// in a line that must be "shown", "remove" takes it away.
type ipCase struct {
	name         string
	item         state.Item
	set, remove  string
	show, shown  string
	kind         state.Kind
	alsoObserved []state.Item // what else of that kind is there
}

func ipCases() []ipCase {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	var out []ipCase
	for _, c := range []struct {
		item         state.Route
		words, shown string
		family       string
	}{
		{state.Route{To: prefix("198.51.100.0/24"), Via: addr("192.0.2.254"), Link: "lvs0", Protocol: state.RouteProtocol},
			"198.51.100.0/24 via 192.0.2.254 dev lvs0 proto 118", "198.51.100.0/24 via 192.0.2.254 dev lvs0", "-4"},
		{state.Route{To: prefix("0.0.0.0/0"), Via: addr("192.0.2.254"), Link: "lvs0", Metric: 50, Source: addr("192.0.2.1"), Protocol: state.RouteProtocol},
			"default via 192.0.2.254 dev lvs0 proto 118 src 192.0.2.1 metric 50", "default via 192.0.2.254 dev lvs0 src 192.0.2.1 metric 50", "-4"},
		{state.Route{To: prefix("203.0.113.0/24"), Link: "lvs1", Protocol: state.RouteProtocol},
			"203.0.113.0/24 dev lvs1 proto 118", "203.0.113.0/24 dev lvs1 scope link", "-4"},
		{state.Route{To: prefix("203.0.113.0/24"), Link: "lvs1", Via: addr("fe80::1"), Protocol: state.RouteProtocol},
			"203.0.113.0/24 via inet6 fe80::1 dev lvs1 proto 118", "203.0.113.0/24 via inet6 fe80::1 dev lvs1", "-4"},
		{state.Route{To: prefix("2001:db8:9::/64"), Via: addr("fe80::1"), Link: "lvs0", Metric: 1024, Protocol: state.RouteProtocol},
			"2001:db8:9::/64 via fe80::1 dev lvs0 proto 118", "2001:db8:9::/64 via fe80::1 dev lvs0 metric 1024 pref medium", "-6"},
		{state.Route{To: prefix("::/0"), Via: addr("2001:db8::fe"), Link: "lvs0", Metric: 50, Protocol: state.RouteProtocol},
			"default via 2001:db8::fe dev lvs0 proto 118 metric 50", "default via 2001:db8::fe dev lvs0 metric 50 pref medium", "-6"},
	} {
		out = append(out, ipCase{name: "route " + c.words, item: c.item, kind: state.KindRoute,
			set: "ip " + c.family + " route add " + c.words, remove: "ip " + c.family + " route del " + c.words,
			show: "ip " + c.family + " route show proto 118", shown: c.shown})
	}
	for _, c := range []struct {
		item  state.Neighbour
		words string
	}{
		{state.Neighbour{Link: "lvs0", Address: addr("192.0.2.10"), MAC: "02:00:00:00:00:01"}, "192.0.2.10 dev lvs0 lladdr 02:00:00:00:00:01"},
		{state.Neighbour{Link: "lvs0", Address: addr("2001:db8::99"), MAC: "02:00:00:00:00:01"}, "2001:db8::99 dev lvs0 lladdr 02:00:00:00:00:01"},
	} {
		out = append(out, ipCase{name: "neighbour " + c.words, item: c.item, kind: state.KindNeighbour,
			set: "ip neigh add " + c.words, remove: "ip neigh del " + c.words, show: "ip neigh show nud permanent", shown: c.words + " PERMANENT"})
	}
	for _, c := range []struct {
		item  state.TunnelLink
		words string
		shown string
	}{
		{state.TunnelLink{Type: state.TunnelIPIP, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2"), TTL: 64},
			"type ipip local 192.0.2.1 remote 192.0.2.2 ttl 64", "ipip any remote 192.0.2.2 local 192.0.2.1 ttl 64 pmtudisc"},
		{state.TunnelLink{Type: state.TunnelGRE, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2")},
			"type gre local 192.0.2.1 remote 192.0.2.2", "gre remote 192.0.2.2 local 192.0.2.1 ttl inherit"},
		{state.TunnelLink{Type: state.TunnelSIT, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2"), TTL: 64},
			"type sit local 192.0.2.1 remote 192.0.2.2 ttl 64", "sit any remote 192.0.2.2 local 192.0.2.1 ttl 64 pmtudisc"},
		{state.TunnelLink{Type: state.TunnelIP6TNL, Local: addr("2001:db8::1"), Remote: addr("2001:db8::2"), TTL: 64},
			"type ip6tnl local 2001:db8::1 remote 2001:db8::2", "ip6tnl any remote 2001:db8::2 local 2001:db8::1 hoplimit 64 encaplimit 4"},
		{state.TunnelLink{Type: state.TunnelIP6GRE, Local: addr("2001:db8::1"), Remote: addr("2001:db8::2"), TTL: 64},
			"type ip6gre local 2001:db8::1 remote 2001:db8::2", "ip6gre remote 2001:db8::2 local 2001:db8::1 hoplimit 64"},
	} {
		c.item.Name = "tun1"
		out = append(out, ipCase{name: "tunnel " + c.words, item: c.item, kind: state.KindTunnel,
			set: "ip link add tun1 " + c.words, remove: "ip link del tun1", show: "ip -details link show tun1", shown: c.shown})
	}
	there := []state.Item{
		state.Address{Link: "lo", Prefix: prefix("127.0.0.1/8")}, state.Address{Link: "lo", Prefix: prefix("::1/128")},
		state.Address{Link: "lvs0", Prefix: prefix("192.0.2.1/24")}, state.Address{Link: "lvs0", Prefix: prefix("2001:db8::1/64")},
	}
	for _, c := range []struct {
		item  state.Address
		words string
		shown string
	}{
		{state.Address{Prefix: prefix("198.51.100.10/32")}, "198.51.100.10/32", "inet 198.51.100.10/32 scope global lvs1"},
		{state.Address{Prefix: prefix("198.51.100.10/30"), Peer: addr("198.51.100.9")}, "198.51.100.10 peer 198.51.100.9/30", "inet 198.51.100.10 peer 198.51.100.9/30 brd 198.51.100.11 scope global lvs1"},
		{state.Address{Prefix: prefix("2001:db8:7::1/64")}, "2001:db8:7::1/64 nodad", "inet6 2001:db8:7::1/64 scope global nodad"},
		{state.Address{Prefix: prefix("2001:db8:7::1/128"), Peer: addr("2001:db8:7::2")}, "2001:db8:7::1 peer 2001:db8:7::2/128 nodad", "inet6 2001:db8:7::1 peer 2001:db8:7::2/128 scope global nodad"},
		{state.Address{Prefix: prefix("2001:db8:7::1/128"), Deprecated: true}, "2001:db8:7::1/128 nodad preferred_lft 0", "inet6 2001:db8:7::1/128 scope global nodad deprecated"},
	} {
		c.item.Link = "lvs1"
		out = append(out, ipCase{name: "address " + c.words, item: c.item, kind: state.KindAddress, alsoObserved: there,
			set: "ip addr add " + c.words + " dev lvs1", remove: "ip addr flush dev lvs1 scope global", show: "ip addr show dev lvs1", shown: c.shown})
	}
	out = append(out,
		ipCase{name: "fou", item: state.FOUPort{Port: 5555}, kind: state.KindFOUPort,
			set: "ip fou add port 5555 gue", remove: "ip fou del port 5555", show: "ip fou show", shown: "port 5555 gue"},
		ipCase{name: "fou over IPv6", item: state.FOUPort{Port: 5556, IPv6: true}, kind: state.KindFOUPort,
			set: "ip -6 fou add port 5556 gue", remove: "ip -6 fou del port 5556", show: "ip fou show", shown: "port 5556 gue -6"})
	return out
}

// What lvsform sets, ip reads, and the other way round.
func TestIPAsWitness(t *testing.T) {
	k := newNamespace(t)
	for _, m := range []string{"ipip", "ip_gre", "sit", "ip6_tunnel", "ip6_gre", "fou"} {
		do(t, k, state.Change{After: state.Module{Name: m}})
	}
	do(t, k,
		state.Change{After: state.Address{Link: "lvs0", Prefix: netip.MustParsePrefix("192.0.2.1/24")}},
		state.Change{After: state.Address{Link: "lvs0", Prefix: netip.MustParsePrefix("2001:db8::1/64")}})
	for _, c := range ipCases() {
		do(t, k, state.Change{After: c.item})
		if text := tool(t, c.show); !containsWords(text, c.shown) {
			t.Errorf("%s: set by lvsform, shown by ip:\n%swant %q in it", c.name, text, c.shown)
		}
		do(t, k, state.Change{Before: c.item})
		tool(t, c.set)
		if diff := cmp.Diff(texts(append(c.alsoObserved, c.item)), observed(t, k, c.kind)); diff != "" {
			t.Errorf("%s: set by ip (-want +read by lvsform):\n%s", c.name, diff)
		}
		tool(t, c.remove)
	}
}

// A route that the vocabulary cannot say is told of as missing, and not touched.
func TestRoutesBeyondWords(t *testing.T) {
	k := newNamespace(t)
	do(t, k, state.Change{After: state.Address{Link: "lvs0", Prefix: netip.MustParsePrefix("192.0.2.1/24")}})
	ours := state.Route{To: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("192.0.2.254"), Link: "lvs0", Protocol: 3}
	for _, c := range []struct {
		words string
		seen  bool
	}{
		{"198.51.100.0/24 nexthop via 192.0.2.254 nexthop via 192.0.2.253", false},
		{"198.51.100.0/24 via 192.0.2.254 mtu 1400", true},
		{"198.51.100.0/24 via 192.0.2.254 dev lvs0 onlink", true},
	} {
		tool(t, "ip route add "+c.words)
		if got := len(observed(t, k, state.KindRoute)) == 1; got != c.seen {
			t.Errorf("%s: observed is %v, want %v", c.words, got, c.seen)
		}
		_, missing, err := k.Observe(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if told := slices.ContainsFunc(missing, func(m state.Missing) bool { return m.ID == state.IDOf(ours) }); told == c.seen {
			t.Errorf("%s: missing %v", c.words, missing)
		}
		before := tool(t, "ip route show")
		for _, change := range []state.Change{{After: ours}, {Before: ours, After: ours}, {Before: ours}} {
			if err := k.Do(t.Context(), change); err == nil {
				t.Errorf("%s: %s was carried out", c.words, change)
			}
		}
		if diff := cmp.Diff(before, tool(t, "ip route show")); diff != "" {
			t.Errorf("%s is not as it was: %s", c.words, diff)
		}
		tool(t, "ip route del 198.51.100.0/24")
	}
}

// Neighbours that the kernel learned are not shown, and give way.
func TestLearnedNeighbour(t *testing.T) {
	k := newNamespace(t)
	tool(t, "ip neigh add 192.0.2.10 dev lvs0 lladdr 02:00:00:00:00:09 nud reachable")
	if got := observed(t, k, state.KindNeighbour); got != nil {
		t.Errorf("observed %q, want nothing", got)
	}
	ours := state.Neighbour{Link: "lvs0", Address: netip.MustParseAddr("192.0.2.10"), MAC: "02:00:00:00:00:01"}
	do(t, k, state.Change{After: ours})
	if diff := cmp.Diff(texts([]state.Item{ours}), observed(t, k, state.KindNeighbour)); diff != "" {
		t.Error(diff)
	}
}
