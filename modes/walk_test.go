package modes_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/modes/modestest"
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
	for _, t := range inv.Tunnels {
		out.Tunnels = append(out.Tunnels, modes.ExplainTunnel(inv, t))
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
		golden.Assert(t, b.String(), beside(file))
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
	golden.Assert(t, text.String(), "walk/dr-one-subnet.txt")
	text.Reset()
	if err := walks(load(t, "../examples/tutorials/gre-tunnel/lvsform.yaml")).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, text.String(), "walk/gre-tunnel.txt")
	for file, ws := range map[string]modes.Walks{
		"walk/dr-one-subnet.mermaid": tutorial,
		"walk/tun-gue.mermaid":       walks(load(t, "testdata/walk/tun-gue.yaml")),
	} {
		var b strings.Builder
		if err := ws.WriteMermaid(&b); err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, b.String(), file)
	}

	out, err := json.MarshalIndent(walks(load(t, "testdata/walk/dr-routed-vip.yaml")), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(out)+"\n", "walk/dr-routed-vip.json")
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
func namesTheSettings(t rapid.TB, inv *inventory.Inventory) {
	t.Helper()
	desired := settings(modes.Desire(inv, nil))
	named := map[string]bool{}
	all := walks(inv)
	for _, walk := range all.Tunnels {
		if walk.Lost != "" || len(walk.Reply) == 0 {
			t.Errorf("tunnel %s: %s -> %s: lost: %s", walk.Tunnel, walk.From, walk.To, walk.Lost)
		}
		for _, h := range slices.Concat(walk.Request, walk.Reply) {
			for _, c := range h.Changes {
				for _, setting := range c.Settings {
					if s := c.By + ": " + state.Text(setting.Item); !desired[s] {
						t.Errorf("tunnel %s: the walk names what nobody wants of %s", walk.Tunnel, s)
					}
				}
			}
		}
	}
	for _, walk := range all.Walks {
		if walk.Lost != "" {
			t.Errorf("service %s: %s -> %s: lost: %s", walk.Service, walk.Client, walk.RealServer, walk.Lost)
		}
		for _, h := range slices.Concat(walk.Request, walk.Reply) {
			for _, c := range h.Changes {
				for _, setting := range c.Settings {
					s := c.By + ": " + state.Text(setting.Item)
					if named[s] = true; !desired[s] {
						t.Errorf("service %s: the walk names what nobody wants of %s", walk.Service, s)
					}
				}
			}
		}
	}
	// What is wanted without any service is no service's; no packet passes a
	// director that only stands by, and what is for it alone is not named; and
	// where one service wants a default route and another a longer one, the
	// clients' packets take the longer.
	without := *inv
	without.Services = nil
	others := settings(modes.Desire(&without, nil))
	first := *inv
	first.Services = nil
	for _, s := range inv.Services {
		of := *s
		of.Directors = s.Directors[:1]
		first.Services = append(first.Services, &of)
	}
	passed := settings(modes.Desire(&first, nil))
	for s := range desired {
		host, _, _ := strings.Cut(s, ": ")
		shadowed := strings.HasPrefix(s, host+": route default") && len(routesOf(desired, host)) > 1
		if !named[s] && !others[s] && passed[s] && !shadowed {
			t.Errorf("no walk names what is wanted of %s", s)
		}
	}
}

func routesOf(desired map[string]bool, host string) []string {
	var out []string
	for s := range desired {
		if strings.HasPrefix(s, host+": route ") {
			out = append(out, s)
		}
	}
	return out
}

func TestWalksNameTheSettings(t *testing.T) {
	for _, file := range everyInventory(t) {
		if strings.HasSuffix(file, "/lost.yaml") {
			continue // no packet gets far enough
		}
		t.Run(file, func(t *testing.T) { namesTheSettings(t, load(t, file)) })
	}
	t.Run("drawn", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			text := modestest.Inventory().Draw(t, "inventory")
			inv, err := inventory.Parse("drawn.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			namesTheSettings(t, inv)
		})
	})
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
