package modes_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// walks are those of an inventory from every client to every real server.
func walks(inv *inventory.Inventory) modes.Walks {
	out := modes.Walks{FormatVersion: modes.WalksVersion}
	for _, s := range inv.Services {
		for _, c := range modes.Clients(inv, s) {
			for _, r := range s.RealServers {
				out.Walks = append(out.Walks, modes.Explain(inv, s, c, r))
			}
		}
	}
	return out
}

// Every inventory in testdata/walk is valid; its golden is every walk there is.
func TestWalks(t *testing.T) {
	for _, file := range files(t, "testdata/walk/*.yaml") {
		inv := load(t, file)
		if problems := modes.Check(inv); len(problems) != 0 {
			t.Errorf("%s: %v", file, problems)
			continue
		}
		var b strings.Builder
		if err := walks(inv).WriteText(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".golden", b.String())
	}
}

// The same walks as Mermaid and as JSON: through tunnels, and by way of a
// router that is no host. The tutorial's are in docs/explain.md.
func TestWalkFormats(t *testing.T) {
	tutorial := walks(load(t, "../examples/tutorials/dr-one-subnet/lvsform.yaml"))
	tutorial.Walks = tutorial.Walks[:1]
	var text strings.Builder
	if err := tutorial.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/walk/dr-one-subnet.txt", text.String())
	for file, ws := range map[string]modes.Walks{
		"testdata/walk/dr-one-subnet.mermaid": tutorial,
		"testdata/walk/tun-gue.mermaid":       walks(load(t, "testdata/walk/tun-gue.yaml")),
	} {
		var b strings.Builder
		if err := ws.WriteMermaid(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, file, b.String())
	}

	out, err := json.MarshalIndent(walks(load(t, "testdata/walk/dr-routed-vip.yaml")), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/walk/dr-routed-vip.json", string(out)+"\n")
}

// Every valid inventory there is: the examples and those of these tests.
func everyInventory(t *testing.T) []string {
	t.Helper()
	return slices.Concat(
		files(t, "testdata/walk/*.yaml"), files(t, "testdata/desired/*.yaml"),
		files(t, "../examples/*/lvsform.yaml"), files(t, "../examples/*/*/lvsform.yaml"),
	)
}

// What a walk names is what the host must have, and what a host must have for
// a service is named in a walk: there is no other reason for it to be there.
func TestWalksNameTheSettings(t *testing.T) {
	for _, file := range everyInventory(t) {
		t.Run(file, func(t *testing.T) {
			inv := load(t, file)
			desired := settings(modes.Desire(inv, nil))
			named := map[string]bool{}
			for _, walk := range walks(inv).Walks {
				for _, h := range slices.Concat(walk.Request, walk.Reply) {
					for _, c := range h.Changes {
						for _, s := range c.Settings {
							if named[c.By+": "+s] = true; !desired[c.By+": "+s] {
								t.Errorf("service %s: %s names what nobody wants of it: %s", walk.Service, c.By, s)
							}
						}
					}
				}
				if walk.Lost != "" && !strings.HasSuffix(file, "/lost.yaml") {
					t.Errorf("service %s: %s -> %s: lost: %s", walk.Service, walk.Client, walk.RealServer, walk.Lost)
				}
			}
			if strings.HasSuffix(file, "/lost.yaml") {
				return // no packet gets far enough
			}
			// What is wanted without any service is no service's.
			services := inv.Services
			inv.Services = nil
			others := settings(modes.Desire(inv, nil))
			for _, s := range services {
				for _, d := range s.Directors[1:] {
					others[d.Name] = true // no packet passes a director that only stands by
				}
			}
			for s := range desired {
				host, _, _ := strings.Cut(s, ": ")
				if !named[s] && !others[s] && !others[host] {
					t.Errorf("no walk names what is wanted of %s", s)
				}
			}
		})
	}
}

// settings are a desired state's items but for modules, each as "host: item".
func settings(desired modes.Desired) map[string]bool {
	out := map[string]bool{}
	for host, wants := range desired {
		for _, w := range wants {
			if w.Item.Kind() != state.KindModule {
				out[fmt.Sprintf("%s: %s", host, state.Text(w.Item))] = true
			}
		}
	}
	return out
}
