package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

func TestNotPrinted(t *testing.T) {
	const text = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n# Table `mangle' is incompatible, use 'nft' tool.\n# Table `nat' is of no use.\n#\n"
	for table, want := range map[string]bool{"mangle": true, "filter": false, "nat": false, "raw": false} {
		if got := notPrinted(text, table); got != want {
			t.Errorf("%s is not printed: %t, want %t", table, got, want)
		}
	}
}

// A program that is missing is named with its package.
func TestPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for program, want := range map[string]string{
		"no-such-tool-legacy no-such-tool": "no-such-tool: not installed on this host; install the package iptables",
		"arptables-none":                   "arptables-none: not installed on this host; install the package arptables",
	} {
		_, err := toolPath(strings.Fields(program)...)
		if err == nil || err.Error() != want || !errors.Is(err, errNoTool) || fault.Of(err) != fault.Unsupported {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What cannot be set is known before it is tried. The programs of this test only
// print; the lab's kernel has no nftables for the families of iptables.
func TestWhyNoRule(t *testing.T) {
	incompatible := "# Table `mangle' is incompatible, use 'nft' tool.\n"
	for name, test := range map[string]struct {
		family, table  string
		version, saved string // of the tool; empty: there is none
		tables         nftTables
		want           string
	}{
		"no tables":         {state.FirewallIPv4, "mangle", "v1.8.9 (nf_tables)", "", nil, ""},
		"another table":     {state.FirewallIPv4, "mangle", "v1.8.9 (nf_tables)", incompatible, nftTables{{unix.NFPROTO_IPV4, "nat"}: false}, ""},
		"another family":    {state.FirewallIPv4, "mangle", "v1.8.9 (nf_tables)", incompatible, nftTables{{unix.NFPROTO_IPV6, "mangle"}: false}, ""},
		"a table it prints": {state.FirewallIPv4, "mangle", "v1.8.9 (nf_tables)", "*mangle\nCOMMIT\n", nftTables{{unix.NFPROTO_IPV4, "mangle"}: false}, ""},
		"a table it does not print": {state.FirewallIPv4, "mangle", "v1.8.9 (nf_tables)", incompatible, nftTables{{unix.NFPROTO_IPV4, "mangle"}: false},
			"iptables cannot print the table mangle, because something made with nft is in it (nft list table ip mangle shows it); lvsform cannot tell which rules are there"},
		"the legacy tool": {state.FirewallIPv4, "mangle", "v1.8.9 (legacy)", incompatible, nftTables{{unix.NFPROTO_IPV4, "mangle"}: false}, ""},
		"IPv6": {state.FirewallIPv6, "mangle", "v1.8.9 (nf_tables)", incompatible, nftTables{{unix.NFPROTO_IPV6, "mangle"}: true},
			"ip6tables cannot print the table mangle, because something made with nft is in it (nft list table ip6 mangle shows it); lvsform cannot tell which rules are there"},
		"no such family": {"ipx", "mangle", "v1.8.9 (nf_tables)", "", nil, `there is no family "ipx" of firewall rules`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, tool := range []string{"iptables", "ip6tables"} {
				for _, variant := range []string{"", "-nft", "-legacy"} {
					program(t, dir, tool+variant, test.version)
					program(t, dir, tool+variant+"-save", test.saved)
				}
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			got, err := whyNoRule(t.Context(), test.family, test.table, test.tables)
			if err != nil || got != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// program writes a program that prints a text.
func program(t *testing.T, dir, name, prints string) {
	t.Helper()
	script := "#!/bin/sh\ncat <<'end'\n" + prints + "\nend\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
}

// A rule that was added and is not printed is an error, and is taken away again,
// whatever the tool says of it.
func TestRuleThatIsNotPrinted(t *testing.T) {
	const rule, other = "-d 192.0.2.30/32 -j ACCEPT", "-d 192.0.2.31/32 -j ACCEPT"
	unreadable := errors.New("cannot print")
	is := chain{jumped: true, there: true, specs: []string{other}}
	for name, test := range map[string]struct {
		is, printed chain
		err         error
		want        string
		removal     string
	}{
		"as meant":         {is, chain{specs: []string{other, rule}}, nil, "", ""},
		"in another form":  {is, chain{specs: []string{other, "-d 192.0.2.30 -j ACCEPT"}}, nil, "the tool prints it as", "-D LVSFORM-INPUT -d"},
		"nothing at all":   {chain{}, chain{}, nil, "the tool does not print it", "-D INPUT -j"},
		"an error":         {chain{}, chain{}, unreadable, "cannot print", "-D INPUT -j"},
		"an error, others": {is, chain{}, unreadable, "cannot print", "-D LVSFORM-INPUT -d"},
	} {
		t.Run(name, func(t *testing.T) {
			test.is.builtin, test.printed.builtin = "INPUT", "INPUT"
			now, err := test.is.after(test.printed, test.err, rule)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			if first := strings.Join(now.remove(strings.Fields(rule))[0], " "); !strings.HasPrefix(first, test.removal) {
				t.Errorf("removed with %q, want %q", first, test.removal)
			}
		})
	}
}
