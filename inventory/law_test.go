package inventory

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The order in which hosts are written decides the order in which they are
// listed, and nothing else.
func TestOrderOfHosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := []string{"  lb: {role: director, gateway: 192.0.2.200, nics: {eth0: {network: lan, address: 192.0.2.250}}}\n"}
		names := []string{}
		for i := range rapid.IntRange(1, 8).Draw(t, "real servers") {
			role := rapid.SampledFrom([]string{"real-server", "[client, real-server]"}).Draw(t, "role")
			names = append(names, fmt.Sprintf("web%d", i))
			hosts = append(hosts, fmt.Sprintf("  web%d: {role: %s, nics: {eth0: {network: lan, address: 192.0.2.%d}}}\n", i, role, i+1))
		}
		service := "services:\n  - {vip: 192.0.2.100, port: 80, mode: dr, directors: [lb], real_servers: [" + strings.Join(names, ", ") + "]}\n"
		parse := func(hosts []string) *Inventory {
			inv, err := Parse("law.yaml", []byte("version: 1\nname: law\n"+service+"hosts:\n"+strings.Join(hosts, "")+"networks: {lan: 192.0.2.0/24}\n"))
			if err != nil {
				t.Fatal(err)
			}
			return inv
		}
		a, b := parse(hosts), parse(rapid.Permutation(hosts).Draw(t, "order"))
		slices.SortFunc(b.Hosts, func(x, y *Host) int {
			return slices.IndexFunc(a.Hosts, func(h *Host) bool { return h.Name == x.Name }) -
				slices.IndexFunc(a.Hosts, func(h *Host) bool { return h.Name == y.Name })
		})
		a.positions, b.positions, a.Source, b.Source = nil, nil, nil, nil
		if diff := cmp.Diff(a, b, cmp.AllowUnexported(Inventory{}), addrs()); diff != "" {
			t.Fatalf("(-written +permuted):\n%s", diff)
		}
	})
}

// A netmask and its prefix length are the same.
func TestNetmaskIsLength(t *testing.T) {
	bitsOf := func(netmask string) int {
		inv, err := Parse("law.yaml", fmt.Appendf(nil, `{version: 1, name: law, networks: {lan: 192.0.2.0/24}, hosts: {
  lb: {role: [director, real-server], nics: {eth0: {network: lan, address: 192.0.2.1}}}},
  services: [{vip: 192.0.2.30, port: 80, mode: dr, directors: [lb], real_servers: [lb], persistence: {netmask: %s}}]}`, netmask))
		if err != nil {
			t.Fatal(err)
		}
		return inv.Services[0].Persistence.Bits
	}
	for length := 1; length <= 32; length++ {
		mask := net.IP(net.CIDRMask(length, 32)).String()
		if number, text := bitsOf(fmt.Sprint(length)), bitsOf(mask); number != length || text != length {
			t.Errorf("netmask %d is %d bits, %s is %d", length, number, mask, text)
		}
	}
}

// The order changes the order of what is wrong, never what is wrong.
func TestOrderOfMistakes(t *testing.T) {
	places := regexp.MustCompile(`(?m)^[^ ]+ `)
	lines := []string{
		"version: 2\n", "name: a/b\n", "networks: {lan: 192.0.2.1/24, wan: 198.51.100.0/24}\n",
		"hosts: {lb: {role: director, nics: {eth0: {network: wam, address: 198.51.100.1}}}}\n",
		"services: [{vip: 198.51.100.30, port: 80, mode: dr, directors: [lb], real_servers: [web1]}]\n",
	}
	told := func(lines []string) []string {
		_, err := Parse("law.yaml", []byte(strings.Join(lines, "")))
		if err == nil {
			return nil
		}
		out := strings.Split(places.ReplaceAllString(err.Error(), ""), "\n")
		slices.Sort(out)
		return out
	}
	want := told(lines)
	if len(want) != 5 {
		t.Fatalf("%d mistakes, want 5: %q", len(want), want)
	}
	rapid.Check(t, func(t *rapid.T) {
		if diff := cmp.Diff(want, told(rapid.Permutation(lines).Draw(t, "order"))); diff != "" {
			t.Fatalf("(-written +permuted):\n%s", diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/valid/*.yaml"} {
		for _, file := range files(f, pattern) {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := Parse("fuzz.yaml", data)
		if err == nil {
			for path, at := range inv.positions {
				checkPos(t, data, path, at)
			}
			return
		}
		var problems Problems
		if inv != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("Parse = %v, %#v; want an inventory or problems", inv, err)
		}
		for _, p := range problems {
			checkPos(t, data, p.String(), p.Pos)
			if strings.Contains(p.String(), "\n") {
				t.Errorf("more than one line: %q", p)
			}
		}
	})
}

func checkPos(t *testing.T, data []byte, what string, at Pos) {
	t.Helper()
	if len(data) > MaxSize {
		return
	}
	// YAML 1.1 breaks lines at more characters than 1.2; the parser does too.
	lines := regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]").Split(string(data), -1)
	if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > 1+len(data) {
		t.Errorf("%s: line %d, column %d is not in a file of %d lines", what, at.Line, at.Column, len(lines))
	}
}
