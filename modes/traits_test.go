package modes_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// What must be seen of a probe in each mode, as docs/verify.md has it.
func TestTraits(t *testing.T) {
	want := map[inventory.Mode]modes.Traits{
		inventory.ModeNAT:     {Forward: state.ForwardNAT, Source: modes.SourceClient, RepliesThroughDirector: true},
		inventory.ModeDR:      {Forward: state.ForwardDR, Source: modes.SourceClient, KeepsDestination: true},
		inventory.ModeTUN:     {Forward: state.ForwardTUN, Source: modes.SourceClient, KeepsDestination: true, VIPWhereItArrives: true, Tunnelled: true},
		inventory.ModeFullNAT: {Forward: state.ForwardNAT, Source: modes.SourceDirector, RepliesThroughDirector: true},
	}
	for _, m := range allModes() {
		if diff := cmp.Diff(want[m], modes.TraitsOf(m)); diff != "" {
			t.Errorf("%s (-want +has):\n%s", m, diff)
		}
	}
	for _, m := range allModes() {
		if got := modes.With(want[m].Forward, want[m].Source); got != m {
			t.Errorf("with the traits of %s: %q", m, got)
		}
	}
	if got := modes.With(state.ForwardDR, modes.SourceDirector); got != "" {
		t.Errorf("%s hands packets on with another source", got)
	}
	if got := modes.TraitsOf("no such mode"); got != (modes.Traits{}) {
		t.Errorf("a mode without a file has traits: %+v", got)
	}
}

// Only a reply to the client's own address has to be routed to the director.
func TestRoutesBack(t *testing.T) {
	for _, m := range allModes() {
		if got, want := modes.TraitsOf(m).RoutesBack(), m == inventory.ModeNAT; got != want {
			t.Errorf("%s: %v, want %v", m, got, want)
		}
	}
}

// tun and fullnat reach a real server over routers. The others do not.
func TestNeedsSharedNetwork(t *testing.T) {
	for _, m := range allModes() {
		if got, want := modes.TraitsOf(m).NeedsSharedNetwork(), m == inventory.ModeDR || m == inventory.ModeNAT; got != want {
			t.Errorf("%s: %v, want %v", m, got, want)
		}
	}
}

// A key of the inventory belongs to the modes that do what it is about.
func TestModeKeys(t *testing.T) {
	for key, belongs := range map[string]func(modes.Traits) bool{
		"arp: arptables":                                     func(t modes.Traits) bool { return t.KeepsDestination },
		"tunnel: {type: ipip}":                               func(t modes.Traits) bool { return t.Tunnelled },
		"local_addresses: [192.0.2.3]":                       func(t modes.Traits) bool { return t.Source == modes.SourceDirector },
		"return_route: none":                                 modes.Traits.RoutesBack,
		"real_servers: [{host: web1, redirect: 8080}]":       func(t modes.Traits) bool { return t.KeepsDestination },
		"real_servers: [{host: web1, tunnel: {type: ipip}}]": func(t modes.Traits) bool { return t.Tunnelled },
	} {
		for _, m := range allModes() {
			servers := ", real_servers: [web1]"
			if strings.HasPrefix(key, "real_servers") {
				servers = ""
			}
			_, err := inventory.Parse("lvsform.yaml", []byte(`
version: 1
name: keys
networks: {lan: 192.0.2.0/24}
hosts:
  lb:   {role: director,    nics: {eth0: {network: lan, address: 192.0.2.3}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}}
services:
- {vip: 192.0.2.30, port: 80, mode: `+string(m)+`, directors: [lb], `+key+servers+`}
`))
			if got, want := err == nil, belongs(modes.TraitsOf(m)); got != want {
				t.Errorf("%s in mode %s: %v", key, m, err)
			}
		}
	}
}
