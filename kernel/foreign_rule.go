package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/state"
)

const (
	mostForeignRules = 50
	mostRuleText     = 512      // letters of a rule; a comment can be long
	mostLegacyTable  = 64 << 20 // octets of a table that is looked through
)

// foreignRule is a rule of others that names one of the addresses, or IPVS.
type foreignRule struct {
	where string // iptables nat
	chain string
	spec  string
}

// foreignFirewall finds what others have in the firewall: chains that carry
// the names some program gives its own, and rules that name one of the
// addresses, or IPVS. The kernel says whether there are such rules; only then
// iptables-save puts them into words.
func foreignFirewall(ctx context.Context, vips []netip.Addr) []state.Foreign {
	var (
		signs  []state.Foreign
		rules  []foreignRule
		chains = map[chainPlace][]string{}
	)
	add := func(where string, names ...string) {
		for _, name := range names {
			if owner := chainOwner(name); owner != "" {
				p := chainPlace{owner, where}
				chains[p] = append(chains[p], name)
			}
		}
	}
	nft := foreignNFT(ctx, vips)
	for _, x := range allXtables() {
		if ctx.Err() != nil {
			break
		}
		named := false
		for _, table := range x.legacy.inUse() {
			entries, err := x.legacy.entries(table)
			if err != nil || len(entries) > mostLegacyTable {
				continue
			}
			found := x.legacy.entry.scan(entries, vips)
			add(x.tool+"' "+table, found.chains...)
			named = named || found.names
		}
		if named {
			text, err := x.save(ctx, []string{x.tool + "-legacy", x.tool})
			if err != nil {
				signs = append(signs, state.Foreign{What: fmt.Sprintf("rules of %s that may name a VIP or IPVS (not shown: %v)", x.tool, err)})
			}
			rules = append(rules, x.foreignRules(text, vips)...)
		}
		rules = append(rules, x.nftRules(ctx, nft.rules, vips)...)
	}
	for table, names := range nft.chains {
		if owner := nftTableOwner(table.name); owner != "" {
			signs = append(signs, state.Foreign{Owner: owner, What: "table " + table.String() + " in nftables"})
			continue
		}
		where := "nftables' " + table.String()
		if x, ok := toolOf(table); ok {
			where = x.tool + "' " + table.name
		}
		add(where, names...)
	}
	for p, names := range chains {
		signs = append(signs, state.Foreign{Owner: p.owner, What: listed("chain", names) + " in " + p.where})
	}
	for _, r := range nft.rules {
		if _, ok := toolOf(r.table); !ok {
			rules = append(rules, foreignRule{where: "nftables", chain: r.table.String() + " " + r.chain, spec: r.tail()})
		}
	}
	return append(signs, ruleSigns(rules)...)
}

// chainPlace is a table that has chains of some owner.
type chainPlace struct{ owner, where string }

// ruleSigns puts rules into words, each once, and counts those beyond the
// limit.
func ruleSigns(rules []foreignRule) []state.Foreign {
	var signs []state.Foreign
	seen := map[foreignRule]bool{}
	for _, r := range rules {
		if seen[r] {
			continue
		}
		seen[r] = true
		if len(seen) > mostForeignRules {
			continue
		}
		what := "rule " + r.where + " " + r.chain + " " + r.spec
		if len(what) > mostRuleText {
			what = strings.ToValidUTF8(what[:mostRuleText], "") + " ..."
		}
		signs = append(signs, state.Foreign{Owner: r.owner(), What: what})
	}
	if n := len(seen) - mostForeignRules; n > 0 {
		signs = append(signs, state.Foreign{What: fmt.Sprintf("rules: %d more that name a VIP or IPVS", n)})
	}
	return signs
}

// owner tells whose a rule is by the chain that it is in, or that it leads to.
func (r foreignRule) owner() string {
	chain := r.chain[strings.LastIndexByte(r.chain, ' ')+1:]
	if owner := chainOwner(chain); owner != "" {
		return owner
	}
	words := strings.Fields(r.spec)
	for i, word := range words[:max(len(words)-1, 0)] {
		if word == "-j" || word == "-g" {
			return chainOwner(words[i+1])
		}
	}
	return ""
}

// toolOf tells which of the firewall tools keeps its rules in a table of
// nftables.
func toolOf(t nftTable) (xtables, bool) {
	if !slices.Contains([]string{"filter", "nat", "mangle", "raw", "security"}, t.name) {
		return xtables{}, false
	}
	all := allXtables()
	i := slices.IndexFunc(all, func(x xtables) bool { return x.nft == t.family })
	if i < 0 {
		return xtables{}, false
	}
	return all[i], true
}

// nftRules puts the rules of a tool's tables in nftables into its words. A
// table of such a name may still be nft's own, which the tool cannot print,
// and the tool may not be there: then it is nftables' words.
func (x xtables) nftRules(ctx context.Context, rules []nftRule, vips []netip.Addr) []foreignRule {
	var out []foreignRule
	var text string
	asked := false
	for _, r := range rules {
		if is, ok := toolOf(r.table); !ok || is.family != x.family {
			continue
		}
		if !asked {
			asked = true
			text, _ = x.save(ctx, []string{x.tool + "-nft", x.tool})
			out = x.foreignRules(text, vips)
		}
		where := x.tool + " " + r.table.name
		if !slices.ContainsFunc(out, func(f foreignRule) bool { return f.where == where && f.chain == r.chain }) {
			out = append(out, foreignRule{where: "nftables", chain: r.table.String() + " " + r.chain, spec: r.tail()})
		}
	}
	return out
}

// foreignRules finds, in what iptables-save prints, the rules outside of
// lvsform's chains that name one of the addresses, or IPVS.
func (x xtables) foreignRules(text string, vips []netip.Addr) []foreignRule {
	var out []foreignRule
	for table, words := range savedLines(text) {
		switch {
		case words[0] != "-A" || len(words) < 3 || strings.HasPrefix(words[1], chainPrefix):
		case namesAny(words[2:], vips):
			out = append(out, foreignRule{x.tool + " " + table, words[1], canonicalSpec(x.family, words[2:])})
		}
	}
	return out
}

// namesAny reports whether a rule's words have one of the addresses, by itself
// or within a network or a range, or IPVS' match.
func namesAny(words []string, vips []netip.Addr) bool {
	for i, word := range words {
		if word == "ipvs" && i > 0 && words[i-1] == "-m" {
			return true
		}
		if slices.ContainsFunc(vips, func(vip netip.Addr) bool { return namesAddr(word, vip) }) {
			return true
		}
	}
	return false
}

// namesAddr knows the forms of addresses in rules: 192.0.2.30, 192.0.2.0/24,
// 192.0.2.30-192.0.2.40, 192.0.2.30:80-90, [2001:db8::1e]:80. What has the whole
// world for a network names nobody.
func namesAddr(word string, vip netip.Addr) bool {
	if p, err := netip.ParsePrefix(word); err == nil {
		return p.Bits() != 0 && p.Contains(vip)
	}
	first, last, isRange := strings.Cut(word, "-")
	from, ok := ruleAddr(first)
	if !ok {
		return false
	}
	if to, ok := ruleAddr(last); isRange && ok {
		return from.BitLen() == vip.BitLen() && from.Compare(vip) <= 0 && vip.Compare(to) <= 0
	}
	return from == vip
}

func ruleAddr(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr(), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a, err == nil
}

// chainOwner tells whose a chain is by its name. The longer patterns come
// before those that they are cases of.
func chainOwner(chain string) string {
	for _, p := range []struct{ glob, owner string }{
		{"DOCKER*", "docker"},
		{"KUBE-ROUTER-*", "kube-router"}, {"KUBE-POD-FW-*", "kube-router"}, {"KUBE-NWPLCY-*", "kube-router"},
		{"KUBE-*", "kube-proxy"},
		{"cali-*", "calico"},
		{"CILIUM_*", "cilium"},
		{"FLANNEL-*", "flannel"},
		{"CNI-*", "cni"},
		{"NETAVARK*", "podman"},
		{"WEAVE*", "weave"},
		{"LIBVIRT_*", "libvirt"},
		{"f2b-*", "fail2ban"},
		{"ufw-*", "ufw"}, {"ufw6-*", "ufw"},
		{"ts-*", "tailscale"},
		{"*_direct", "firewalld"}, {"*_ZONES", "firewalld"}, {"IN_public*", "firewalld"}, {"FWD?_public*", "firewalld"},
		{"FIREWALLD*", "firewalld"},
	} {
		if ok, _ := path.Match(p.glob, chain); ok {
			return p.owner
		}
	}
	return ""
}

// nftTableOwner tells whose a table of nftables is by its name.
func nftTableOwner(table string) string {
	switch table {
	case "firewalld", "keepalived", "kube-proxy":
		return table
	case "netavark":
		return "podman"
	case "docker-bridges":
		return "docker"
	case "f2b-table":
		return "fail2ban"
	case "libvirt_network":
		return "libvirt"
	default:
		return ""
	}
}
