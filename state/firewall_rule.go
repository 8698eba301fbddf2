package state

import "strings"

// The firewall tools' families.
const (
	FirewallIPv4 = "ipv4" // iptables
	FirewallIPv6 = "ipv6" // ip6tables
	FirewallARP  = "arp"  // arptables
)

// FirewallRule is a firewall rule in a chain of lvsform's own, to which the built-in
// chain jumps before anything else. Rules outside of lvsform's chains are none
// of these, and lvsform's chains exist only while they hold a rule.
type FirewallRule struct {
	Family string `json:"family"`
	Table  string `json:"table"` // nat, mangle, filter
	Chain  string `json:"chain"` // the built-in chain it works in: POSTROUTING
	// Spec is the rule as iptables-save(8) prints it after the chain's name:
	// "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080".
	// Worth knowing of its forms: -s and -d always have a prefix length, and
	// come before -i, -o and -p; "-m ipvs" writes the protocol as a number and
	// the address bare ("-m ipvs --vproto 6 --vaddr 192.0.2.10 --vport 80"); a
	// mark is set with --set-xmark 0x7/0xffffffff. Of arptables' two forms
	// neither is it, but iptables': -i, -o, -s, -d (bare), --opcode 1, and then
	// -j with the target's options ("-s 192.0.2.10 -j mangle --mangle-ip-s
	// 192.0.2.21"). Package kerneltest holds those that the modes use.
	Spec string `json:"spec"`
}

// Kind implements Item.
func (FirewallRule) Kind() Kind { return KindFirewallRule }

// Key implements Item.
func (r FirewallRule) Key() string { return r.Family + " " + r.Table + " " + r.Chain + " " + r.Spec }

// TableOf reads a rule's family and table from its key.
func TableOf(key string) (family, table string) {
	family, rest, _ := strings.Cut(key, " ")
	table, _, _ = strings.Cut(rest, " ")
	return family, table
}

// Value implements Item.
func (FirewallRule) Value() string { return "" }
