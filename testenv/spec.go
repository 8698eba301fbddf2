package testenv

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/lvsform/lvsform/inventory"
)

// spec is everything the core has to know. It travels as JSON.
type spec struct {
	Kernel     Kernel
	Executable string   // this program
	Networks   []string // one bridge each; the last is the management network
	Hosts      []*hostSpec
	OpenFiles  uint64 // how many the kernel may have open on the machine; 0: no bound is known
}

// hostSpec is everything a host has to know.
type hostSpec struct {
	Kernel        Kernel
	Dir           string // the lab's tmpfs, set by the core
	Name          string
	NICs          []nicSpec
	Routes        []routeSpec // default routes among them
	Hosts         string      // its /etc/hosts
	HostKey       []byte      // private, PEM
	AuthorizedKey []byte      // public, authorized_keys format
	SSHPorts      []uint16
	Serve         inventory.Serve
	Workstation   *workstationSpec // on the workstation only
}

type routeSpec struct {
	To  netip.Prefix
	Via netip.Addr
}

type nicSpec struct {
	Name      string
	Network   int // index into spec.Networks
	Addresses []netip.Prefix
}

const (
	workstationName = "workstation"
	managementNIC   = "mgmt0"
	sshPort         = 22
)

// newSpec lays the lab out: the inventory's hosts, and a workstation that
// reaches all of them over a management network.
func newSpec(inv *inventory.Inventory, kernel Kernel, o Options) (*spec, *access, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	s := &spec{Kernel: kernel, Executable: exe}
	index := map[*inventory.Network]int{}
	for i, n := range inv.Networks {
		index[n] = i
		s.Networks = append(s.Networks, n.Name)
	}
	s.Networks = append(s.Networks, "management")
	mgmt, err := newManagement(inv)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range inv.Hosts {
		if h.Name == workstationName {
			return nil, nil, fmt.Errorf("host %q: the name is taken by the lab's own workstation", h.Name)
		}
		host := &hostSpec{
			Name:     h.Name,
			Routes:   routes(h),
			SSHPorts: sshPorts(h),
			Serve:    h.Serve,
		}
		for _, n := range h.NICs {
			if n.Name == managementNIC {
				return nil, nil, fmt.Errorf("host %q: the NIC name %s is taken by the lab's management network", h.Name, n.Name)
			}
			network, ok := index[n.Network]
			if !ok {
				return nil, nil, fmt.Errorf("host %q: NIC %s is in no network", h.Name, n.Name)
			}
			host.NICs = append(host.NICs, nicSpec{Name: n.Name, Network: network, Addresses: n.Addresses})
		}
		s.Hosts = append(s.Hosts, host)
	}
	s.Hosts = append(s.Hosts, &hostSpec{Name: workstationName, SSHPorts: []uint16{sshPort}})
	for _, h := range s.Hosts {
		h.Kernel = kernel
		h.NICs = append(h.NICs, nicSpec{
			Name: managementNIC, Network: len(s.Networks) - 1, Addresses: []netip.Prefix{mgmt.next(h.Name)},
		})
	}
	access, err := newAccess(s)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range s.Hosts {
		h.Hosts = etcHosts(s, h.Name == workstationName, mgmt)
	}
	s.Hosts[len(s.Hosts)-1].Workstation = newWorkstation(inv, mgmt, access, filepath.Dir(exe), o)
	return s, access, nil
}

// sshPorts are the ports a host's SSH server listens on: 22, and the one the
// inventory says.
func sshPorts(h *inventory.Host) []uint16 {
	if h.SSH.Port != 0 && h.SSH.Port != sshPort {
		return []uint16{sshPort, h.SSH.Port}
	}
	return []uint16{sshPort}
}

// management hands out the addresses of the management network.
type management struct {
	prefix netip.Prefix
	last   netip.Addr
	byHost map[string]netip.Addr
}

// newManagement picks a prefix for the management network that no address of
// the inventory falls into: from the benchmarking range of RFC 2544 first, then
// from others that topologies rarely use.
func newManagement(inv *inventory.Inventory) (*management, error) {
	taken := prefixes(inv)
	bits := 24
	for 1<<(32-bits)-2 < len(inv.Hosts)+1 {
		bits--
	}
	if bits < 16 {
		return nil, fmt.Errorf("%d hosts are more than a lab can hold", len(inv.Hosts))
	}
	for _, from := range []string{"198.18.0.0/15", "100.64.0.0/10", "10.0.0.0/8"} {
		within := netip.MustParsePrefix(from)
		for p := netip.PrefixFrom(within.Addr(), bits); within.Contains(p.Addr()); p = nextPrefix(p) {
			if !overlapsAny(p, taken) {
				return &management{prefix: p, last: p.Addr(), byHost: map[string]netip.Addr{}}, nil
			}
		}
	}
	return nil, fmt.Errorf("the inventory leaves no prefix for the management network")
}

func (m *management) next(host string) netip.Prefix {
	m.last = m.last.Next()
	m.byHost[host] = m.last
	return netip.PrefixFrom(m.last, m.prefix.Bits())
}

func routes(h *inventory.Host) []routeSpec {
	var out []routeSpec
	for _, g := range h.Gateways {
		out = append(out, routeSpec{netip.PrefixFrom(unspecified(g), 0), g})
	}
	for _, r := range h.Routes {
		out = append(out, routeSpec{r.To, r.Via})
	}
	return out
}

// prefixes is everything in the inventory that must not overlap the management
// network.
func prefixes(inv *inventory.Inventory) []netip.Prefix {
	var all []netip.Prefix
	one := func(a netip.Addr) {
		if a.IsValid() {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, n := range inv.Networks {
		all = append(all, n.Prefixes...)
	}
	for _, h := range inv.Hosts {
		for _, n := range h.NICs {
			all = append(all, n.Addresses...)
		}
		for _, g := range h.Gateways {
			one(g)
		}
		for _, r := range h.Routes {
			all = append(all, r.To)
			one(r.Via)
		}
		for _, f := range h.Forwards {
			one(f.Listen.Addr())
			one(f.To.Addr())
		}
		if a, err := netip.ParseAddr(h.SSH.Address); err == nil {
			one(a)
		}
	}
	for _, s := range inv.Services {
		one(s.VIP)
		for _, a := range s.LocalAddresses {
			one(a)
		}
	}
	for _, t := range inv.Tunnels {
		for _, e := range t.Ends {
			one(e.Address)
			all = append(all, e.Routes...)
		}
	}
	return all
}

func overlapsAny(p netip.Prefix, all []netip.Prefix) bool {
	for _, q := range all {
		if p.Overlaps(q) {
			return true
		}
	}
	return false
}

// nextPrefix is the IPv4 prefix of the same length right after p.
func nextPrefix(p netip.Prefix) netip.Prefix {
	a := p.Addr().As4()
	n := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}
