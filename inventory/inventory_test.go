package inventory

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
)

// files returns the files that fit a pattern; there must be some.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return names
}

// beside is the golden file of a file below testdata.
func beside(file string) string {
	return strings.TrimPrefix(strings.TrimSuffix(file, ".yaml"), "testdata/") + ".golden"
}

// load parses what is in a file.
func load(file string) (*Inventory, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

func TestMistakes(t *testing.T) {
	for _, file := range files(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			inv, err := load(file)
			var problems Problems
			if inv != nil || !errors.As(err, &problems) {
				t.Fatalf("Parse = %v, %v; want problems", inv, err)
			}
			golden.Assert(t, err.Error()+"\n", beside(file))
		})
	}
}

func TestValid(t *testing.T) {
	for _, file := range files(t, "testdata/valid/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			inv, err := load(file)
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, dump(inv), beside(file))
		})
	}
}

// dump writes an inventory as text, each thing with its place in the file.
func dump(inv *Inventory) string {
	var b strings.Builder
	line := func(path, format string, args ...any) {
		at := inv.At(path)
		fmt.Fprintf(&b, "%3d:%-3d %s: %s\n", at.Line, at.Column, path, fmt.Sprintf(format, args...))
	}
	line("name", "%q version %d", inv.Name, inv.Version)
	for _, n := range inv.Networks {
		line("networks."+n.Name, "%v", n.Prefixes)
	}
	for _, h := range inv.Hosts {
		line(h.Path, "%v gateways %v manage %v serve %v", h.Roles, h.Gateways, h.ManageAddresses, h.Serve)
		line(h.Path+".ssh", "%+v", h.SSH)
		for _, n := range h.NICs {
			line(h.Path+".nics."+n.Name, "%s %v", n.Network.Name, n.Addresses)
		}
		for _, r := range h.Routes {
			line(r.Path, "%s via %s", r.To, r.Via)
		}
		for _, f := range h.Forwards {
			line(f.Path, "%s %s to %s", f.Protocol, f.Listen, f.To)
		}
		if h.IPVS.Timeouts != nil {
			line(h.Path+".ipvs.timeouts", "%+v", *h.IPVS.Timeouts)
		}
		for _, name := range slices.Sorted(maps.Keys(h.IPVS.Sysctls)) {
			line(h.Path+".ipvs.sysctls."+name, "%q", h.IPVS.Sysctls[name])
		}
		for _, s := range h.IPVS.Sync {
			line(s.Path, "%s on %s id %d max_len %d group %s port %d ttl %d", s.Role, s.Interface, s.ID, s.MaxLen, s.Group, s.Port, s.TTL)
		}
	}
	for _, t := range inv.Tunnels {
		line(t.Path, "%s %s ttl %d", t.Name, t.Type, t.TTL)
		for _, e := range t.Ends {
			line(e.Path, "%s %s outer %s routes %v", e.Host.Name, e.Address, e.Outer, e.Routes)
		}
	}
	for _, s := range inv.Services {
		line(s.Path, "%s %s %s port %d %s %s", s.Name, s.Protocol, s.VIP, s.Port, s.Mode, s.Scheduler)
		line(s.Path+".port", "%d fwmark %d ports %v device %q", s.Port, s.FWMark, s.Ports, s.VIPDevice)
		line(s.Path+".mode", "arp %s tunnel %+v local %v return %s", s.ARP, s.Encapsulation, s.LocalAddresses, s.ReturnRoute)
		line(s.Path+".scheduler", "flags %v persistence %+v one packet %v", s.Flags, s.Persistence, s.OnePacket)
		for i, d := range s.Directors {
			line(fmt.Sprintf("%s.directors[%d]", s.Path, i), "%s", d.Name)
		}
		for _, r := range s.RealServers {
			line(r.Path, "%s %s port %d weight %d thresholds %d %d", r.Host.Name, r.Address, r.Port, r.Weight, r.UpperThreshold, r.LowerThreshold)
			line(r.Path+".mode", "%s tunnel %+v redirect %d", r.Mode, r.Encapsulation, r.Redirect)
		}
	}
	return b.String()
}

func TestLoadRefusesLongFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "long.yaml")
	if err := os.WriteFile(file, make([]byte, 10<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := load(file)
	want := file + ": the file is longer than 1024 KiB; use one inventory for each topology"
	if err == nil || err.Error() != want {
		t.Errorf("Parse = %v, want %s", err, want)
	}
}

// A file as long as is allowed, full of aliases or of mistakes, is answered.
func TestLongest(t *testing.T) {
	fill := func(head, row string) string {
		return head + strings.Repeat(row, (MaxSize-len(head))/len(row))
	}
	tests := map[string]string{
		"lists":    strings.Repeat("[", MaxSize),
		"aliases":  fill("a: &a [1, 2, 3, 4, 5, 6, 7, 8]\nb:\n", "- *a\n"),
		"merges":   fill("a: &a {b: 1}\nc:\n", "- {<<: [*a, *a]}\n"),
		"mistakes": fill("version: 1\nservices:\n", "- {vip: x, real_servers: [a, b]}\n"),
		"syntax":   fill("version: 1\n b: 2\n", "a: 1\n"),
		"quote":    fill("version: \"1\nname:", " x\n"),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if inv, err := Parse("long.yaml", []byte(text)); err == nil {
				t.Errorf("Parse = %v, want problems", inv)
			}
		})
	}
}

func TestAtFallsBackToParent(t *testing.T) {
	inv, err := load("testdata/valid/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"hosts.client.nics.eth0.address":  "5:63",
		"hosts.client.nics.eth0":          "5:33",
		"hosts.client.gateway":            "5:3",
		"hosts.client.nics.eth0.other[3]": "5:33",
		"services[0].vip":                 "1:1",
	}
	for path, want := range tests {
		at := inv.At(path)
		if got := fmt.Sprintf("%d:%d", at.Line, at.Column); got != want {
			t.Errorf("At(%q) = %s, want %s", path, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"scheduler", "directors", "real_servers", "rr", "wrr", "web4", "lb-1-left"}
	tests := map[string]string{
		"shedular":     "scheduler",
		"director":     "directors",
		"realservers":  "real_servers",
		"Real-Servers": "real_servers",
		"rrr":          "rr",
		"zebra":        "",
		"wbe4":         "web4",
		"web04":        "web4",
		"web1":         "",
		"WEB14":        "",
		"lb-2-left":    "",
		"lb-1-lft":     "lb-1-left",
		"":             "",
	}
	for word, want := range tests {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
