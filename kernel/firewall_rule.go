package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

// toolLimit bounds one run of a firewall tool; a second less is what it waits
// for the lock that firewall tools share.
const (
	toolLimit = 10 * time.Second
	lockLimit = "9"
)

// chainPrefix begins the names of lvsform's chains, one per built-in chain.
// With the longest of those it stays within the kernel's 28 letters.
const chainPrefix = "LVSFORM-"

// xtables is one family's firewall tools. There are two sets of them that do
// not see each other's rules: "legacy" ones, and "nft" ones that write into
// nftables. The plain name (iptables) is either, as the host has chosen.
type xtables struct {
	family string // state.FirewallIPv4 ...
	tool   string // iptables ...
	legacy legacyTables
	nft    uint8 // the family's number in nftables
}

func allXtables() []xtables {
	return []xtables{
		{state.FirewallIPv4, "iptables",
			legacyTables{traffic.ProcNet + "ip_tables_names", unix.AF_INET, unix.IPPROTO_IP, 64, 5, ipv4Entry()}, unix.NFPROTO_IPV4},
		{state.FirewallIPv6, "ip6tables",
			legacyTables{traffic.ProcNet + "ip6_tables_names", unix.AF_INET6, unix.IPPROTO_IPV6, 64, 5, ipv6Entry()}, unix.NFPROTO_IPV6},
		{state.FirewallARP, "arptables",
			legacyTables{traffic.ProcNet + "arp_tables_names", unix.AF_INET, unix.IPPROTO_IP, 96, 3, arpEntry()}, unix.NFPROTO_ARP},
	}
}

// xtablesOf are the tools of a family.
func xtablesOf(family string) (xtables, bool) {
	all := allXtables()
	i := slices.IndexFunc(all, func(x xtables) bool { return x.family == family })
	if i < 0 {
		return xtables{}, false
	}
	return all[i], true
}

// holds reports whether the kernel says that lvsform has chains in the legacy
// tables.
func (x xtables) holds() bool {
	return slices.ContainsFunc(x.legacy.inUse(), func(table string) bool {
		entries, err := x.legacy.entries(table)
		return err == nil && bytes.Contains(entries, []byte(chainPrefix))
	})
}

// mayHold reports whether lvsform may have chains in the legacy tables.
func (x xtables) mayHold() bool {
	return slices.ContainsFunc(x.legacy.inUse(), func(table string) bool { return x.legacy.mayHold(table, chainPrefix) })
}

// variants are the names of the tools to use, best first. lvsform goes where
// rules already are: to a chain of its own in nftables, else to the legacy
// tables if there are any, else to where the host's plain tool leads.
func (x xtables) variants(nft bool) (names []string) {
	switch {
	case nft:
		names = []string{x.tool + "-nft", x.tool}
	case len(x.legacy.inUse()) != 0:
		names = []string{x.tool + "-legacy", x.tool}
	default:
		names = []string{x.tool}
	}
	return names
}

// observeRules reads the rules of lvsform's chains. A host that has none pays
// for it with a few file reads, and with a look at nftables' chains and at the
// legacy tables where those are in use. No program runs.
func observeRules(ctx context.Context, host state.Host) error {
	tables, err := readNFTables()
	if err != nil {
		return err
	}
	for _, x := range allXtables() {
		nft := tables.family(x.nft)
		if !nft && !x.mayHold() {
			continue
		}
		chains, err := x.list(ctx, tables)
		if errors.Is(err, errNoTool) && !nft && !x.holds() {
			continue // the kernel did not say, and lvsform uses the tool
		}
		if err != nil {
			return err
		}
		for _, c := range chains {
			if !c.jumped {
				continue // a packet never comes to it
			}
			for _, spec := range c.specs {
				host.Put(state.FirewallRule{Family: x.family, Table: c.table, Chain: c.builtin, Spec: spec})
			}
		}
	}
	return nil
}

// chain is one of lvsform's chains as it is.
type chain struct {
	table, builtin string
	there, jumped  bool
	specs          []string
}

// list reads lvsform's chains of all tables of a family.
func (x xtables) list(ctx context.Context, tables nftTables) ([]chain, error) {
	text, err := x.save(ctx, x.variants(tables.family(x.nft)))
	if err != nil {
		return nil, err
	}
	for table, ours := range tables {
		if ours && table.family == x.nft && notPrinted(text, table.name) {
			return nil, x.unprintable(table.name)
		}
	}
	return parseSave(x.family, text), nil
}

// printers are the programs that print what those of the names write.
func (x xtables) printers(names []string) []string {
	if x.family == state.FirewallARP {
		return names // see arpSave
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = name + "-save"
	}
	return out
}

// save has the first of several tools print the rules of all tables of a
// family, in iptables-save's form.
func (x xtables) save(ctx context.Context, names []string) (string, error) {
	var args []string
	if x.family == state.FirewallARP {
		args = []string{"-t", "filter", "-L", "-n"}
	}
	path, err := toolPath(x.printers(names)...)
	if err != nil {
		return "", err
	}
	text, err := runTool(ctx, toolLimit, path, args...)
	if err == nil && x.family == state.FirewallARP {
		text = arpSave(text)
	}
	return text, err
}

// arpSave makes iptables-save's form of arptables -L. arptables' own save is a
// script in Perl: slow, and not everywhere.
func arpSave(list string) string {
	out, name := "*filter\n", ""
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "Chain" && len(words) > 1:
			name = words[1]
			out += ":" + name + "\n"
		case name != "":
			out += "-A " + name + " " + line
		}
	}
	return out
}

// savedLines are the lines that iptables-save prints, in words, each with its
// table: "*nat" begins one, ":NAME" declares a chain, "-A NAME ..." is a rule.
func savedLines(text string) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		table := ""
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			switch {
			case len(words) == 0:
			case strings.HasPrefix(words[0], "*"):
				table = words[0][1:]
			case !yield(table, words):
				return
			}
		}
	}
}

// parseSave finds lvsform's chains in what iptables-save prints.
func parseSave(family, text string) []chain {
	var out []*chain
	get := func(table, builtin string) *chain {
		for _, c := range out {
			if c.table == table && c.builtin == builtin {
				return c
			}
		}
		out = append(out, &chain{table: table, builtin: builtin})
		return out[len(out)-1]
	}
	for table, words := range savedLines(text) {
		switch {
		case strings.HasPrefix(words[0], ":"+chainPrefix):
			get(table, words[0][len(":"+chainPrefix):]).there = true
		case words[0] != "-A" || len(words) < 3:
		case strings.HasPrefix(words[1], chainPrefix):
			c := get(table, words[1][len(chainPrefix):])
			c.specs = append(c.specs, canonicalSpec(family, words[2:]))
		case slices.Equal(words[2:], []string{"-j", chainPrefix + words[1]}):
			get(table, words[1]).jumped = true
		}
	}
	chains := make([]chain, len(out))
	for i, c := range out {
		chains[i] = *c
	}
	return chains
}

// canonicalSpec makes one form of a rule of what the variants of a tool print.
// iptables' agree. arptables' do not: the legacy one writes the target first,
// the nft one writes defaults out. The form of both is iptables': matches,
// then -j and the target's options.
func canonicalSpec(family string, words []string) string {
	if family != state.FirewallARP {
		return strings.Join(words, " ")
	}
	var matches, target []string
	for i := 0; i < len(words); i++ {
		n := 2 // an option and its argument
		if words[i] == "!" {
			n = 3
		}
		option := words[i:min(i+n, len(words))]
		i += n - 1
		switch text := strings.Join(option, " "); {
		case text == "--h-length 6" || text == "--h-type 1" || text == "-i *" || text == "-o *":
		case option[0] == "-j":
			target = append(option, target...)
		case strings.HasPrefix(option[0], "--mangle-"):
			target = append(target, option...)
		default:
			matches = append(matches, option...)
		}
	}
	return strings.Join(append(matches, target...), " ")
}

func doRule(ctx context.Context, c state.Change) error {
	var r state.FirewallRule
	switch c.Op() {
	case state.Add:
		r = c.After.(state.FirewallRule)
	case state.Remove:
		r = c.Before.(state.FirewallRule)
	default:
		return errUnsupported // a rule's key says it all
	}
	if err := checkRule(r); err != nil {
		return err // also of one to remove: it goes to a program
	}
	spec := strings.Fields(r.Spec)
	tables, err := readNFTables()
	if err != nil {
		return err
	}
	x, _ := xtablesOf(r.Family)
	return x.do(ctx, c.Op(), r, spec, tables)
}

func (x xtables) do(ctx context.Context, op state.Op, r state.FirewallRule, spec []string, tables nftTables) error {
	is, err := x.find(ctx, r, tables)
	if err != nil {
		return err
	}
	has := is.jumped && slices.Contains(is.specs, r.Spec)
	switch {
	case op == state.Add && has:
		return unix.EEXIST
	case op == state.Remove && !has:
		return unix.ENOENT
	case op == state.Remove:
		return x.run(ctx, r, tables, is.remove(spec))
	}
	if err := x.run(ctx, r, tables, is.add(spec)); err != nil {
		return err
	}
	// A rule that the tool prints in another form, or not at all, would be added
	// again and again.
	if tables, err = readNFTables(); err != nil {
		return err
	}
	now, err := x.find(ctx, r, tables)
	if now, err = is.after(now, err, r.Spec); err != nil {
		err = errors.Join(err, x.run(ctx, r, tables, now.remove(spec)))
	}
	return err
}

// after compares the chain with what the tool prints once a rule was added, or
// its error. The error says how the rule is not there as it was meant; it is
// then to be removed from the chain that is returned.
func (c chain) after(printed chain, err error, spec string) (chain, error) {
	n := len(printed.specs)
	switch {
	case err == nil && slices.Contains(printed.specs, spec):
		return printed, nil
	case err == nil && n != 0:
		return printed, fmt.Errorf("the tool prints it as %q: %w", printed.specs[n-1], unix.EINVAL)
	case err == nil:
		err = fmt.Errorf("the tool does not print it: %w", unix.EINVAL)
	}
	// What is there is what was before, and the rule.
	c.specs = append(slices.Clone(c.specs), spec)
	return c, err
}

// find reads the chain of lvsform's that a rule belongs to.
func (x xtables) find(ctx context.Context, r state.FirewallRule, tables nftTables) (chain, error) {
	is := chain{table: r.Table, builtin: r.Chain}
	if !tables.family(x.nft) && !x.mayHold() {
		return is, nil
	}
	chains, err := x.list(ctx, tables)
	for _, c := range chains {
		if c.table == r.Table && c.builtin == r.Chain {
			is = c
		}
	}
	return is, err
}

// add is what puts a rule into the chain. The jump to a new chain comes last,
// so that it never leads to half a chain. A chain that nothing jumps to is the
// rest of an interrupted change, or someone has flushed the built-in chain.
func (c chain) add(spec []string) [][]string {
	ours := chainPrefix + c.builtin
	rule := append([]string{"-A", ours}, spec...)
	switch {
	case c.jumped:
		return [][]string{rule}
	case c.there:
		return [][]string{{"-F", ours}, rule, {"-I", c.builtin, "1", "-j", ours}}
	default:
		return [][]string{{"-N", ours}, rule, {"-I", c.builtin, "1", "-j", ours}}
	}
}

// remove is what takes a rule out of the chain, and with the last the chain.
func (c chain) remove(spec []string) [][]string {
	ours := chainPrefix + c.builtin
	if len(c.specs) > 1 {
		return [][]string{append([]string{"-D", ours}, spec...)}
	}
	return [][]string{{"-D", c.builtin, "-j", ours}, {"-F", ours}, {"-X", ours}}
}

func (x xtables) run(ctx context.Context, r state.FirewallRule, tables nftTables, commands [][]string) error {
	path, err := toolPath(x.variants(tables.family(x.nft))...)
	if err != nil {
		return err
	}
	global := []string{"-t", r.Table}
	if x.family != state.FirewallARP { // arptables has no lock
		global = append([]string{"-w", lockLimit}, global...)
	}
	for _, args := range commands {
		if _, err := runTool(ctx, toolLimit, path, append(slices.Clone(global), args...)...); err != nil {
			return err
		}
	}
	return nil
}
