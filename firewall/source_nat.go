package firewall

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// SourceNAT gives the connections of a virtual service a source of the
// director's, as they leave for the real servers.
type SourceNAT struct {
	Server  netip.Addr // one real server; zero: all behind the device
	Device  string
	VIP     netip.Addr
	Port    uint16 // of the service; 0: every port
	Sources Range
}

// Range is addresses that follow each other. A single address is both ends.
type Range struct{ First, Last netip.Addr }

// String is a single address, or first-last.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// Rule implements Rule.
func (s SourceNAT) Rule() state.FirewallRule {
	var spec strings.Builder
	if s.Server.IsValid() {
		spec.WriteString("-d " + host(s.Server) + " ")
	}
	fmt.Fprintf(&spec, "-o %s -m ipvs --vaddr %s", s.Device, s.VIP)
	if s.Port != 0 {
		fmt.Fprintf(&spec, " --vport %d", s.Port)
	}
	fmt.Fprintf(&spec, " -j SNAT --to-source %s", s.Sources)
	return state.FirewallRule{Family: familyOf(s.VIP), Table: "nat", Chain: "POSTROUTING", Spec: spec.String()}
}

// ParseSourceNAT returns false for a rule of another kind, and for a range
// whose last address does not follow the first.
func ParseSourceNAT(r state.FirewallRule) (SourceNAT, bool) {
	o := optionsOf(r)
	s := SourceNAT{Server: o.host("-d"), Device: o["-o"], VIP: o.address("--vaddr"), Port: o.port("--vport")}
	first, last, isRange := strings.Cut(o["--to-source"], "-")
	if !isRange {
		last = first
	}
	s.Sources.First, _ = netip.ParseAddr(first)
	s.Sources.Last, _ = netip.ParseAddr(last)
	follows := s.Sources.First.BitLen() == s.Sources.Last.BitLen() && s.Sources.First.Compare(s.Sources.Last) <= 0
	return s, s.VIP.IsValid() && s.Sources.First.IsValid() && follows && s.Rule() == r
}
