// Package firewall has the firewall rules that lvsform sets: it builds them and
// reads them back. Each kind of rule is a comparable value, in a file with its
// builder and its parser. A parser accepts what the builder makes, to the byte,
// and nothing else.
package firewall

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// Rule is a rule of one of the kinds below.
type Rule interface {
	// Rule is the rule as state has it.
	Rule() state.FirewallRule
}

// Parse finds out the kind of a rule. It returns false for a rule of no kind.
func Parse(r state.FirewallRule) (Rule, bool) {
	for _, parse := range []func(state.FirewallRule) (Rule, bool){
		as(ParseMark), as(ParseSourceNAT), as(ParseRedirect), as(ParseClampMSS), as(ParseDNAT), as(ParseARPDrop), as(ParseARPRewrite),
	} {
		if rule, ok := parse(r); ok {
			return rule, true
		}
	}
	return nil, false
}

func as[R Rule](parse func(state.FirewallRule) (R, bool)) func(state.FirewallRule) (Rule, bool) {
	return func(r state.FirewallRule) (Rule, bool) { return parse(r) }
}

func familyOf(a netip.Addr) string {
	if a.Is6() {
		return state.FirewallIPv6
	}
	return state.FirewallIPv4
}

// host is an address as -s and -d print it.
func host(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

// destinationPort matches a protocol and one of its ports.
func destinationPort(p state.Protocol, port uint16) string {
	return fmt.Sprintf("-p %s -m %s --dport %d", p, p, port)
}

// options are the options of a rule, each with the word behind it. A parser
// takes the values from here and need not look at the order or at the rest: it
// builds the rule again, and compares. What cannot be read is the zero value.
type options map[string]string

func optionsOf(r state.FirewallRule) options {
	out := options{}
	words := strings.Fields(r.Spec)
	for i := 0; i+1 < len(words); i++ {
		if strings.HasPrefix(words[i], "-") {
			out[words[i]] = words[i+1]
			i++
		}
	}
	return out
}

func (o options) address(name string) netip.Addr {
	a, _ := netip.ParseAddr(o[name])
	return a
}

// host reads an address with its full prefix length.
func (o options) host(name string) netip.Addr {
	p, _ := netip.ParsePrefix(o[name])
	return p.Addr()
}

func (o options) port(name string) uint16 {
	n, err := strconv.ParseUint(o[name], 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
