package importer_test

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// with puts the lines that an import lacks into its inventory, in the place of
// the words in capitals what a user might know.
func with(r *importer.Result) string {
	text := string(r.Text)
	for _, a := range r.ToVerify {
		for _, under := range a.Under {
			line, indent := a.Line, "    "
			var prefixes []netip.Prefix
			if under == "networks" || under == "hosts" {
				indent = "  "
			} else {
				under = "  " + under
				for _, h := range r.Inventory.Hosts {
					if "  "+h.Name == under {
						prefixes = h.NICs[0].Network.Prefixes
					}
				}
			}
			if strings.HasPrefix(line, "client: ") && !strings.Contains(line, "network: clients,") {
				for _, n := range r.Inventory.Networks {
					if strings.Contains(line, "network: "+n.Name+",") {
						prefixes = n.Prefixes
					}
				}
			}
			if prefixes == nil {
				prefixes = []netip.Prefix{netip.MustParsePrefix("198.19.7.0/24"), netip.MustParsePrefix("fd00:7::/64")}
			}
			six := r.Inventory.Services[0].VIP.Is6()
			for _, p := range prefixes {
				of := "IPV4-"
				address, router := "200", "254"
				stem, _, _ := strings.Cut(p.Addr().String(), "/")
				if p.Addr().Is6() {
					of = "IPV6-"
				} else {
					stem = stem[:strings.LastIndexByte(stem, '.')+1]
				}
				for word, value := range map[string]string{"PREFIX": p.String(), "ADDRESS": stem + address, "ROUTER": stem + router} {
					line = strings.ReplaceAll(line, of+word, "'"+value+"'")
				}
			}
			for _, p := range prefixes {
				if p.Addr().Is6() != six {
					continue
				}
				stem := p.Addr().String()
				if p.Addr().Is4() {
					stem = stem[:strings.LastIndexByte(stem, '.')+1]
				}
				line = strings.NewReplacer("PREFIX", "'"+p.String()+"'", "ADDRESS", "'"+stem+"200'", "ROUTER", "'"+stem+"254'").Replace(line)
			}
			if strings.Contains(line, "# in place") {
				before, rest, _ := strings.Cut(text, "\n"+under+":\n")
				host, after, _ := strings.Cut(rest, "\n    gateway: ")
				_, after, _ = strings.Cut(after, "\n")
				text = before + "\n" + under + ":\n" + host + "\n" + after
			}
			text = strings.Replace(text, "\n"+under+":\n", "\n"+under+":\n"+indent+line+"\n", 1)
		}
	}
	return text
}

// With the lines that an import says it lacks, every service has a client that
// reaches it, and no rule is broken.
func TestLinesToVerify(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDump(t)
		found, err := read.IPVSAdm("dump", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(labOf(t, found).Left) != 0 {
			return // no client can use all of it
		}
		hints := importer.Hints{Source: "dump", File: "imported.yaml", NIC: "eth0"}
		for _, a := range []string{"192.0.2.3/24", "198.51.100.3/24", "203.0.113.3/24", "10.1.2.3/24", "10.3.4.3/24", "2001:db8:1::3/64", "2001:db8:2::3/64"} {
			if rapid.Float64Range(0, 1).Draw(t, a) < 0.8 {
				hints.Directors = append(hints.Directors, importer.DirectorHint{Name: "lb", Address: netip.MustParsePrefix(a)})
			}
		}
		for _, g := range []string{"192.0.2.1", "2001:db8:1::1"} {
			if rapid.Bool().Draw(t, g) {
				hints.Gateways = append(hints.Gateways, netip.MustParseAddr(g))
			}
		}
		r, err := importer.Inventory(found, hints)
		if err != nil || len(r.Problems) != 0 {
			return
		}
		whole := with(r)
		inv, err := inventory.Parse("verifiable.yaml", []byte(whole))
		if err != nil {
			t.Fatalf("%v\n%s", err, whole)
		}
		if problems := modes.Check(inv); len(problems) != 0 {
			t.Fatalf("%v\n%s", problems, whole)
		}
		for _, s := range inv.Services {
			for _, h := range inv.Hosts {
				if h.Has(inventory.RoleClient) && !modes.Entry(inv, s, h).IsValid() {
					t.Fatalf("no way to %s\n%s", s.Name, whole)
				}
			}
		}
	})
}
