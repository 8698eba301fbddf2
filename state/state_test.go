package state_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

func TestText(t *testing.T) {
	var got []string
	for _, i := range statetest.Items() {
		got = append(got, state.Text(i))
	}
	want := []string{
		"module ip_vs_rr",
		"fou-port 5555 gue",
		"fou-port 5555 gue -6",
		"link eth0 up mtu 1500 address 02:00:00:00:00:01",
		"tunnel tun0 gre local 192.0.2.1 remote 192.0.2.2 ttl 64",
		"up tunl0",
		"sysctl net.ipv4.conf.eth0/100.arp_ignore 1",
		"address 192.0.2.10/32 on lo",
		"address 192.0.2.11 peer 192.0.2.12/32 on tun0",
		"address 2001:db8::10/128 on lo preferred_lft 0",
		"route 198.51.100.0/24 dev tun0 src 192.0.2.11 proto 4",
		"route default metric 100 via 192.0.2.1 dev eth0",
		"neighbour 192.0.2.10 dev eth0 lladdr 02:00:00:00:00:01 permanent",
		"firewall-rule ipv4 nat POSTROUTING -j MASQUERADE",
		"timeouts tcp tcpfin udp 900 120 300",
		"service fwmark 7 -6 sh sched-flags flag-1,flag-2 persistent 300 netmask /64 pe sip ops",
		"service tcp 192.0.2.10:80 rr",
		"destination tcp 192.0.2.10:80 -> 192.0.2.9:80 dr weight 1",
		"destination tcp 192.0.2.10:80 -> 192.0.2.10:80 tun weight 3 thresholds 50..100 tun-type gue tun-port 5555 tun-csum tun-remcsum",
		"sync-daemon master mcast-interface eth0 syncid 1 sync-maxlen 1472 mcast-group 224.0.0.81 mcast-port 8848 mcast-ttl 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The list of everything is written in the order of Compare.
func TestOrder(t *testing.T) {
	want := statetest.Items()
	for i, item := range statetest.Host(want...).Items() {
		if item != want[i] {
			t.Errorf("place %d: %s, want %s", i, state.Text(item), state.Text(want[i]))
		}
	}
}

func TestHostThroughJSON(t *testing.T) {
	want := statetest.Host(statetest.Items()...)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got state.Host
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d items came back of %d", len(got), len(want))
	}
	for _, i := range want {
		if !got.Has(i) {
			t.Errorf("%s came back as %v", state.Text(i), got[state.IDOf(i)])
		}
	}
	again, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(text) {
		t.Errorf("the second time it is written differently:\n%s\n%s", text, again)
	}
}

// However it is written, an item is read as the same.
func TestItemHoweverWritten(t *testing.T) {
	want := state.Up{Link: "eth0"}
	for _, text := range []string{
		`{"kind":"up","link":"eth0"}`, `{"link":"eth0","kind":"up"}`, "{\n  \"kind\": \"up\",\n  \"link\": \"eth0\"\n}",
		`{"kind":"up" ,"link":"eth0"}`, `{"kind":"\u0075p","link":"eth0"}`,
	} {
		var got state.Tagged
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.Item != want {
			t.Errorf("%s: %v, %v", text, got.Item, err)
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	for _, c := range []struct {
		text string
		into any
		says string
	}{
		{`[{"name":"x"}]`, new(state.Host), "without a kind"},
		{`[{"kind":"bridge"}]`, new(state.Host), "unknown kind"},
		{`[{"kind":"module","name":"x","more":1}]`, new(state.Host), "unknown field"},
		{`[{"kind":"up","link":"eth0","kind":"module"}]`, new(state.Host), "unknown field"},
		{`[null]`, new(state.Host), "null"},
		{`{"before":null,"after":null}`, new(state.Change), "without before and after"},
		{`{"before":{"kind":"module","name":"a"},"after":{"kind":"module","name":"b"}}`, new(state.Change), "from module a to module b"},
	} {
		err := json.Unmarshal([]byte(c.text), c.into)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", c.text, err, c.says)
		}
	}
}

func TestChange(t *testing.T) {
	off := state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"}
	on := state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "1"}
	vip := state.Address{Link: "lo", Prefix: netip.MustParsePrefix("192.0.2.10/32")}
	for _, c := range []struct {
		change state.Change
		op     state.Op
		text   string
	}{
		{state.Change{Before: off, After: on}, state.Modify, "~ sysctl net.ipv4.ip_forward 0 -> 1"},
		{state.Change{After: vip}, state.Add, "+ address 192.0.2.10/32 on lo"},
		{state.Change{Before: vip}, state.Remove, "- address 192.0.2.10/32 on lo"},
	} {
		if got := c.change.Op(); got != c.op {
			t.Errorf("%s: operation %s, want %s", c.text, got, c.op)
		}
		if got := c.change.String(); got != c.text {
			t.Errorf("got %q, want %q", got, c.text)
		}
	}
}

func TestCompareNatural(t *testing.T) {
	sorted := []string{"", "a", "a02", "a2", "a10", "a10b", "b"}
	for i, a := range sorted {
		for j, b := range sorted {
			got, want := state.CompareNatural(a, b), 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got != want {
				t.Errorf("compare %q with %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

// A route's place can be read from its ID.
func TestRouteOf(t *testing.T) {
	for _, r := range []state.Route{
		{To: netip.MustParsePrefix("0.0.0.0/0")},
		{To: netip.MustParsePrefix("0.0.0.0/0"), Metric: 100},
		{To: netip.MustParsePrefix("::/0"), Metric: 1024},
		{To: netip.MustParsePrefix("198.51.100.0/24")},
		{To: netip.MustParsePrefix("2001:db8::/64"), Metric: 1024},
	} {
		if got, ok := state.RouteOf(state.IDOf(r)); !ok || got != r {
			t.Errorf("%s: read as %v, %t", state.IDOf(r), got, ok)
		}
	}
	for _, id := range []state.ID{
		{Kind: state.KindModule, Key: "default"},
		{Kind: state.KindRoute, Key: "somewhere"},
		{Kind: state.KindRoute, Key: "default metric -1"},
	} {
		if r, ok := state.RouteOf(id); ok {
			t.Errorf("%s: read as %v", id, r)
		}
	}
}
