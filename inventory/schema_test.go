package inventory

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
	"gotest.tools/v3/golden"
)

func addrs() cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

// validator checks YAML text against the schema as an editor does.
func validator(t *testing.T) func(text []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("inventory.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("inventory.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
}

// examples returns every inventory under examples/.
func examples(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir("../examples", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "lvsform.yaml" {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%d examples, %v", len(out), err)
	}
	return out
}

func TestSchemaTakesWhatIsValid(t *testing.T) {
	validate := validator(t)
	for _, file := range append(examples(t), files(t, "testdata/valid/*.yaml")...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(file, text); err != nil {
			t.Error(err)
		}
		if err := validate(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// One change to a valid inventory each; the schema and Parse refuse all of them.
func TestSchemaRefuses(t *testing.T) {
	const valid = `
version: 1
name: web
networks: {lan: 192.0.2.0/24}
ssh: {port: 22}
hosts:
  lb: {role: director, nics: {eth0: {network: lan, address: 192.0.2.1}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.2}}, serve: {http: 80, tcp: 22, udp: [53, 5353]}}
  gw:
    role: [gateway, director]
    nics: {eth0: {network: lan, address: 192.0.2.3}}
    routes: [{to: 198.51.100.0/24, via: 192.0.2.254}]
    forwards: [{listen: 192.0.2.3:80, to: 192.0.2.30:80}]
    ipvs:
      timeouts: {tcp: 900, tcpfin: 120, udp: 300}
      sysctls: {conntrack: 1, sync_threshold: [3, 50]}
      sync: [{role: master, interface: eth0, ttl: 2, group: 224.0.0.99}]
tunnels:
  - name: tun0
    type: gre
    ends: {lb: {address: 203.0.113.1, outer: 192.0.2.1}, gw: {address: 203.0.113.2, routes: [203.0.113.0/28]}}
services:
  - {vip: 192.0.2.30, port: 80, protocol: tcp, mode: dr, scheduler: rr, directors: [lb], real_servers: [{host: web1, weight: 2}]}
  - vip: 192.0.2.31
    fwmark: 7
    ports: [80, 443]
    vip_device: tunl0
    mode: tun
    arp: static
    tunnel: {type: gue, port: 6080, checksum: true}
    scheduler: sh
    scheduler_flags: [sh-port]
    persistence: {timeout: 60, netmask: 24}
    directors: [lb]
    real_servers: [{host: web1, address: 192.0.2.2, redirect: 8080, upper_threshold: 9}]
  - {vip: 192.0.2.32, port: 81, mode: fullnat, local_addresses: [192.0.2.33], directors: [lb], real_servers: [web1]}
  - {vip: 192.0.2.32, port: 82, protocol: udp, mode: nat, return_route: none, one_packet: true, replies: none, loss: 20, directors: [lb], real_servers: [web1]}
`
	validate := validator(t)
	if err := validate([]byte(valid)); err != nil {
		t.Fatal(err)
	}
	changes := [][2]string{
		{"version: 1", "version: 2"},
		{"version: 1", `version: "1"`},
		{"name: web\n", ""},
		{"name: web\n", "name: a/b\n"},
		{"name: web\n", "name: web\nzebra: 1\n"},
		{"lan: 192.0.2.0/24", "lan: 192.0.2.0"},
		{"lan: 192.0.2.0/24", "lan: []"},
		{"{port: 22}", "{address: 192.0.2.1}"},
		{"{port: 22}", `{port: "22"}`},
		{"{port: 22}", "{sudo: 1}"},
		{"{port: 22}", "{user: a b}"},
		{"role: director", "role: directer"},
		{"role: director", "role: []"},
		{"web1: {", "web_1: {"},
		{"eth0: {network: lan, address: 192.0.2.1}", "lo: {network: lan, address: 192.0.2.1}"},
		{"eth0: {network: lan, address: 192.0.2.1}", "eth/0: {network: lan, address: 192.0.2.1}"},
		{"network: lan, address: 192.0.2.1}", "network: lan}"},
		{"network: lan, address: 192.0.2.1}", "network: lan, address: 192.0.2.1, addresses: [192.0.2.3]}"},
		{"network: lan, address: 192.0.2.1}", "network: lan, address: lb}"},
		{"http: 80", "http: 65536"},
		{"vip: 192.0.2.30", "vip: 192.0.2.300"},
		{"port: 80,", "port: -1,"},
		{"port: 80,", ""},
		{"protocol: tcp", "protocol: icmp"},
		{"mode: dr", "mode: direct"},
		{"mode: dr, ", ""},
		{"scheduler: rr", "scheduler: random"},
		{"[lb]", "[]"},
		{"[lb]", "lb"},
		{"weight: 2", "weight: 65536"},
		{"host: web1, weight: 2", "weight: 2"},
		{"tcp: 22", "tcp: 0"},
		{"to: 198.51.100.0/24", "to: 198.51.100.0"},
		{", via: 192.0.2.254", ""},
		{"192.0.2.3:80, to", "192.0.2.3, to"},
		{"192.0.2.30:80", "web1:80"},
		{", tcpfin: 120", ""},
		{"tcpfin: 120", "tcpfin: 0"},
		{"conntrack: 1", "conntrack: 2"},
		{"conntrack: 1", "conntrac: 1"},
		{"[3, 50]", "3"},
		{"[3, 50]", "[3, 50, 100]"},
		{"role: master", "role: main"},
		{"ttl: 2", "ttl: 256"},
		{"group: 224.0.0.99", "group: all"},
		{"name: tun0", "name: gre0"},
		{"type: gre", "type: gue"},
		{"    ends: {", "    ends: {web1: {address: 203.0.113.3}, "},
		{"address: 203.0.113.1, outer", "outer"},
		{"outer: 192.0.2.1", "outer: lan"},
		{"routes: [203.0.113.0/28]", "routes: 203.0.113.0/28"},
		{"fwmark: 7", "fwmark: 0"},
		{"fwmark: 7", "fwmark: 4294967296"},
		{"    fwmark: 7\n", ""},
		{"ports: [80, 443]", "port: 80"},
		{"ports: [80, 443]", "ports: 80"},
		{"vip_device: tunl0", "vip_device: all"},
		{"arp: static", "arp: none"},
		{"type: gue, port", "type: vxlan, port"},
		{"checksum: true", "checksum: 1"},
		{"[sh-port]", "[port]"},
		{"netmask: 24", "netmask: 129"},
		{"{timeout: 60, netmask: 24}", "0"},
		{"{timeout: 60, netmask: 24}", "{engine: h323}"},
		{"redirect: 8080", "redirect: 0"},
		{"upper_threshold: 9", "upper_threshold: -9"},
		{"[192.0.2.33]", "192.0.2.33"},
		{"return_route: none", "return_route: client"},
		{"one_packet: true", "one_packet: 1"},
		{"replies: none", "replies: no"},
		{"loss: 20", "loss: 101"},
		{"loss: 20", "loss: -1"},
		{"loss: 20", "loss: 5%"},
	}
	for _, c := range changes {
		text := strings.Replace(valid, c[0], c[1], 1)
		if text == valid {
			t.Errorf("%q is not in the valid inventory", c[0])
		}
		if validate([]byte(text)) == nil {
			t.Errorf("the schema takes %q for %q", c[1], c[0])
		}
		if _, err := Parse("a.yaml", []byte(text)); err == nil {
			t.Errorf("Parse takes %q for %q", c[1], c[0])
		}
	}
}

// docs/inventory.md has a table for every object, from the same description
// as the schema. -update writes the tables.
func TestReferenceTables(t *testing.T) {
	const file = "../docs/inventory.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, o := range objects(document(&Inventory{})) {
		begin := fmt.Sprintf("<!-- keys: %s -->\n", o.name)
		before, rest, found := strings.Cut(page, begin)
		have, after, ended := strings.Cut(rest, "<!-- end -->")
		if !found || !ended {
			t.Errorf("%s has no table %q", file, begin)
			continue
		}
		want := table(o)
		if golden.FlagUpdate() {
			page = before + begin + want + "<!-- end -->" + after
		} else if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s, %s (-want +have):\n%s", file, o.name, diff)
		}
	}
	if golden.FlagUpdate() {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// objects returns the objects in a form, each once, from the outside in.
func objects(f form) []*object {
	var out []*object
	seen := map[string]bool{}
	var walk func(f form)
	walk = func(f form) {
		if f.object != nil && !seen[f.object.name] {
			seen[f.object.name] = true
			out = append(out, f.object)
		}
		if f.parts == nil {
			return
		}
		for _, part := range f.parts() {
			walk(part)
		}
	}
	walk(f)
	return out
}

func table(o *object) string {
	var b strings.Builder
	b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
	for _, f := range o.fields {
		preset := ""
		switch {
		case f.required:
			preset = "required"
		case f.preset != nil:
			preset = fmt.Sprintf("`%v`", f.preset)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.key, f.form.is, preset, f.doc)
	}
	return b.String()
}
