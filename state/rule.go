package state

// The firewall tools' families.
const (
	RuleIPv4 = "ipv4" // iptables
	RuleIPv6 = "ipv6" // ip6tables
	RuleARP  = "arp"  // arptables
)

// Rule is a firewall rule in a chain of lvsform's own, to which the built-in
// chain jumps before anything else. Rules outside of lvsform's chains are none
// of these, and lvsform's chains exist only while they hold a rule.
type Rule struct {
	Family string `json:"family"`
	Table  string `json:"table"` // nat, mangle, filter
	Chain  string `json:"chain"` // the built-in chain it works in: POSTROUTING
	// Spec is the rule as iptables-save(8) prints it after the chain's name:
	// "-d 192.0.2.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080".
	Spec string `json:"spec"`
}

// Kind implements Item.
func (Rule) Kind() Kind { return KindRule }

// Key implements Item.
func (r Rule) Key() string { return r.Family + " " + r.Table + " " + r.Chain + " " + r.Spec }

// Value implements Item.
func (Rule) Value() string { return "" }
