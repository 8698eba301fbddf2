package read

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/lvsform/lvsform/inventory"
)

// sourceFiles returns the files of a source; there must be some.
func sourceFiles(t testing.TB, source string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", source, "*"))
	all = slices.DeleteFunc(all, func(name string) bool { return strings.HasSuffix(name, ".golden") })
	if err != nil || len(all) == 0 {
		t.Fatalf("no files of %s: %v", source, err)
	}
	return all
}

// dumpFound writes what was found, a thing a line.
func dumpFound(f *Found) string {
	var b strings.Builder
	d := f.Director
	fmt.Fprintf(&b, "director %q nic %q address %v\n", d.Name, d.NIC, d.Address)
	if d.Timeouts != nil {
		fmt.Fprintf(&b, "timeouts %+v\n", *d.Timeouts)
	}
	for _, s := range d.Sync {
		fmt.Fprintf(&b, "sync %s on %s id %d max_len %d group %s port %d ttl %d\n", s.Role, s.Interface, s.ID, s.MaxLen, s.Group, s.Port, s.TTL)
	}
	for _, v := range f.VIPs {
		fmt.Fprintf(&b, "%d: vip %s on %s%s\n", v.Line, v.Prefix, v.Device, strings.TrimRight(" # "+v.Rest, " #"))
	}
	for _, s := range f.Services {
		fmt.Fprintf(&b, "%d: service %q %s %s %v persistence %+v one packet %v\n", s.Line, s.Name, &s, s.Scheduler, s.Flags, s.Persistence, s.OnePacket)
		for _, r := range s.RealServers {
			fmt.Fprintf(&b, "%d:   %s %s weight %d thresholds %d %d", r.Line, netip.AddrPortFrom(r.Address, r.Port), r.Mode, r.Weight, r.LowerThreshold, r.UpperThreshold)
			if r.Mode == inventory.ModeTUN {
				fmt.Fprintf(&b, " %+v", r.Encapsulation)
			}
			b.WriteString("\n")
		}
	}
	for _, l := range f.Left {
		fmt.Fprintf(&b, "%d: left %s # %s\n", l.Line, l.Text, l.Why)
	}
	return b.String()
}

// checkFound holds what every reader promises of what it found: an inventory
// can have it.
func checkFound(t *testing.T, f *Found) {
	t.Helper()
	seen := map[string]bool{}
	once := func(what string) {
		t.Helper()
		if seen[what] {
			t.Errorf("%s twice", what)
		}
		seen[what] = true
	}
	unicast := func(what string, a netip.Addr) {
		t.Helper()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || a.Zone() != "" || a.Is6() && a.IsLinkLocalUnicast() {
			t.Errorf("%s %v", what, a)
		}
	}
	for _, v := range f.VIPs {
		once("address " + v.Prefix.Addr().String())
		unicast("vip", v.Prefix.Addr())
		if v.Prefix.Bits() < 1 || v.Device == "" {
			t.Errorf("vip %+v", v)
		}
	}
	for _, s := range f.Director.Sync {
		once("sync " + s.Role)
		if s.Interface == "" || s.Port == 0 || s.TTL == 0 || !s.Group.IsMulticast() {
			t.Errorf("sync %+v", s)
		}
	}
	if d := f.Director.Timeouts; d != nil && (d.TCP == 0 || d.TCPFin == 0 || d.UDP == 0) {
		t.Errorf("timeouts %+v", d)
	}
	name := regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$`)
	for _, s := range f.Services {
		once("service " + s.String())
		if s.Name != "" {
			once("name " + s.Name)
		}
		marked := s.FWMark != 0
		if marked {
			if s.VIP.IsValid() || s.Port != 0 || s.Protocol != "" {
				t.Errorf("service %+v", s)
			}
		} else {
			unicast("VIP", s.VIP)
		}
		p := s.Persistence
		if !slices.Contains(schedulers(), s.Scheduler) || !marked && !slices.Contains([]inventory.Protocol{inventory.TCP, inventory.UDP, inventory.SCTP}, s.Protocol) ||
			len(s.RealServers) == 0 || !name.MatchString(s.Name) || !slices.IsSorted(s.Flags) ||
			!marked && s.Port == 0 && p.Timeout == 0 || p.Bits < 1 || p.Bits > s.bits() || p.Engine != "" && (p.Timeout == 0 || !marked && s.Protocol != inventory.UDP) ||
			s.OnePacket && !marked && s.Protocol != inventory.UDP {
			t.Errorf("service %+v", s)
		}
		for _, r := range s.RealServers {
			once(fmt.Sprintf("real server %s of %s", netip.AddrPortFrom(r.Address, r.Port), &s))
			unicast("real server", r.Address)
			e := r.Encapsulation
			fine := r.Weight <= math.MaxUint16 && r.LowerThreshold <= r.UpperThreshold && (marked && p.Timeout == 0 || (r.Port == 0) == (s.Port == 0))
			switch r.Mode {
			case inventory.ModeNAT:
				fine = fine && e == (inventory.Encapsulation{}) && r.Address.BitLen() == s.bits()
			case inventory.ModeDR:
				fine = fine && e == (inventory.Encapsulation{}) && r.Address.BitLen() == s.bits() && r.Port == s.Port
			case inventory.ModeTUN:
				fine = fine && (e.Type == "gue") == (e.Port != 0) && (e.Type == "gue" || e.Type == "gre" || e.Type == "ipip" && !e.Checksum) && r.Port == s.Port
			default:
				fine = false
			}
			if !fine {
				t.Errorf("real server %+v of %s", r, &s)
			}
		}
	}
}

// checkLine holds that a line is one of the source's, and what is told of it
// one of a terminal's.
func checkLine(t *testing.T, data []byte, line int, told string) {
	t.Helper()
	if line < 1 || line > 1+strings.Count(string(data), "\n") || strings.ContainsFunc(told, unicode.IsControl) {
		t.Errorf("line %d: %q", line, told)
	}
}
