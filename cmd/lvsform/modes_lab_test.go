package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/lvsform/lvsform/modes/modestest"
	"github.com/lvsform/lvsform/testenv"
)

// run runs a command at the workstation and returns what it printed. It must
// end with the status.
func (l *lab) run(t *testing.T, status int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storyLimit)
	defer cancel()
	var out, errs bytes.Buffer
	got, err := l.Run(ctx, testenv.Command{Args: args, Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("%s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, out.String(), errs.String())
	}
	return out.String()
}

// write puts an inventory where the workstation's commands find it.
func (l *lab) write(t *testing.T, inventory string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), storyLimit)
	defer cancel()
	status, err := l.Run(ctx, testenv.Command{Args: []string{"sh", "-c", "cat >lvsform.yaml"}, Stdin: strings.NewReader(inventory)})
	if err != nil || status != 0 {
		t.Fatalf("write lvsform.yaml: exit status %d, %v", status, err)
	}
}

func (l *lab) dump(t *testing.T) dump {
	t.Helper()
	d, err := takeDump(t.Context(), l.Lab, l.hosts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustBe fails the test when anything on the hosts differs from an earlier dump.
func (l *lab) mustBe(t *testing.T, what string, before dump) {
	t.Helper()
	if diff := before.sinceThen(l.dump(t)); len(diff) != 0 {
		t.Fatalf("%s:\n%s", what, strings.Join(diff, "\n"))
	}
}

// anchor applies a second topology that finds everything in place: the NICs'
// addresses of all hosts. As long as it holds them the agent stays on the hosts;
// pushing it again after every destroy is what would take most of the time.
func (l *lab) anchor(t *testing.T, inventory string) {
	t.Helper()
	hosts, _, _ := strings.Cut(inventory, "\nservices:")
	hosts = strings.ReplaceAll(hosts, "\n    role:", "\n    manage_addresses: true\n    role:")
	l.write(t, regexp.MustCompile(`(?m)^name: .*`).ReplaceAllString(hosts, "name: anchor"))
	l.run(t, 0, "lvsform", "apply", "--yes")
}

// On a running topology the mode is changed by editing the inventory, through
// all modes and back to the first. Traffic is verified after each change, each
// plan is a golden, nothing of the old mode stays behind, and what is not
// lvsform's is never touched.
func TestChangingModes(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a lab; -short was given")
	}
	t.Parallel()
	file := filepath.Join("..", "..", "examples", "modes", "dr", "lvsform.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	l := boot(t, file)
	_, err = onHost(t.Context(), l.Lab, "lb", `
		ipvsadm -A -t 192.0.2.99:443 -s wlc && ipvsadm -a -t 192.0.2.99:443 -r 192.0.2.98 -m
		ip addr add 192.0.2.97/32 dev eth0
		iptables -t nat -A POSTROUTING -s 192.0.2.96 -j ACCEPT`)
	if err != nil {
		t.Fatal(err)
	}
	l.anchor(t, string(text))
	foreign := l.dump(t)

	in := func(mode string) string { return strings.Replace(string(text), "mode: dr", "mode: "+mode, 1) }
	var plans strings.Builder
	changed := map[string]dump{}
	for _, mode := range []string{"nat", "dr", "tun", "fullnat", "nat"} {
		l.write(t, in(mode))
		fmt.Fprintf(&plans, "=== to %s\n%s\n", mode, l.run(t, 2, "lvsform", "plan", "--detailed-exitcode"))
		l.run(t, 0, "lvsform", "apply", "--yes")
		l.run(t, 0, "lvsform", "plan", "--detailed-exitcode")
		changed[mode] = l.dump(t)
	}
	golden.Assert(t, plans.String(), "changing-modes.golden")

	for _, mode := range []string{"nat", "dr", "tun", "fullnat"} {
		l.run(t, 0, "lvsform", "destroy", "--yes", "--drain", "0s")
		l.mustBe(t, "after destroy", foreign)
		l.write(t, in(mode))
		l.run(t, 0, "lvsform", "apply", "--yes", "--no-verify")
		l.mustBe(t, mode+", fresh, is not as it was when changed to from another mode", changed[mode])
	}
	l.run(t, 0, "lvsform", "destroy", "--yes", "--drain", "0s")
	l.mustBe(t, "after destroy", foreign)
}

var drawn = flag.Int("drawn", 12, "how many drawn inventories go through a lab; each takes some seconds")

// Drawn inventories of all modes, families, protocols and schedulers go through
// the circle, a few on one set of hosts: a saved plan, applied with its
// verification, that fits no second time; an empty second plan; no drift; a saved
// plan back, as found.
func TestDrawnInventories(t *testing.T) {
	if testing.Short() {
		t.Skip("boots labs; -short was given")
	}
	t.Parallel()
	const labs = 2
	for lab := range labs {
		t.Run(fmt.Sprint("lab ", lab), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), defaultFile)
			if err := os.WriteFile(file, []byte(modestest.Hosts), 0o644); err != nil {
				t.Fatal(err)
			}
			l := boot(t, file)
			l.anchor(t, modestest.Hosts)
			found := l.dump(t)
			for seed := lab; seed < *drawn; seed += labs {
				text := modestest.Inventory().Example(seed)
				t.Run(fmt.Sprint(seed), func(t *testing.T) { l.thereAndBack(t, text, seed < labs, found) })
				if t.Failed() {
					t.Fatalf("the inventory failed and may have left the hosts in any state:\n%s", strings.TrimPrefix(text, modestest.Hosts))
				}
			}
		})
	}
}

// thereAndBack takes an inventory through the circle; the first in a lab is
// asked what each must not do, too.
func (l *lab) thereAndBack(t *testing.T, inventory string, first bool, found dump) {
	l.write(t, inventory)
	l.run(t, 2, "lvsform", "plan", "--detailed-exitcode", "--out", "there")
	l.run(t, 0, "lvsform", "apply", "there")
	l.run(t, 0, "lvsform", "plan", "--detailed-exitcode")
	if first {
		l.run(t, 1, "lvsform", "apply", "there")
		l.run(t, 0, "lvsform", "drift", "--detailed-exitcode")
	}
	l.run(t, 2, "lvsform", "plan", "--detailed-exitcode", "--destroy", "--out", "back")
	l.run(t, 0, "lvsform", "apply", "--drain", "0s", "back")
	l.mustBe(t, "after destroy", found)
}
