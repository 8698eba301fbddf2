package state

import "cmp"

// Foreign is a sign that something other than lvsform works on a host. It is
// no Item: nobody can be told to have one.
type Foreign struct {
	// Owner is the program it seems to be of: keepalived, kube-proxy, docker.
	// Empty where that is not known.
	Owner string `json:"owner,omitempty"`
	// What is the sign, in the words of ps, iproute2 and iptables-save:
	// "process 812", "device kube-ipvs0", "chains DOCKER, DOCKER-USER in
	// iptables' filter", "address 192.0.2.30/32 dev eth0 proto keepalived".
	What string `json:"what"`
}

func (f Foreign) String() string {
	if f.Owner == "" {
		return f.What
	}
	return f.Owner + ": " + f.What
}

// CompareForeign orders signs by their owner, those without one last, and then
// by what they are, with numbers taken as numbers.
func CompareForeign(a, b Foreign) int {
	if (a.Owner == "") != (b.Owner == "") {
		return cmp.Compare(len(b.Owner), len(a.Owner))
	}
	return cmp.Or(cmp.Compare(a.Owner, b.Owner), CompareNatural(a.What, b.What))
}
