package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/state"
)

// strayVIPs are VIPs that somebody gave the host where, or in such a way that,
// they take traffic away however well the rest is set. The usual ones are what
// an old howto leaves behind: `ifconfig lo:0 VIP netmask 255.255.255.0`, or the
// VIP on the NIC of a real server.
func strayVIPs(inv *inventory.Inventory, h *inventory.Host, wants []modes.Want, obs wire.Observed) []string {
	known := knownIDs(h, wants, obs)
	var out []string
	for _, a := range state.Of[state.Address](obs.State) {
		services := servicesOf(inv, a.Prefix.Addr())
		if len(services) == 0 || known[state.IDOf(a)] || a.Peer.IsValid() {
			continue
		}
		if why := astray(inv, h, a, services); why != "" {
			out = append(out, fmt.Sprintf("address %s: it is the VIP of service %s, and lvsform did not make it; %s; remove it: ip address del %s dev %s",
				a.Key(), services[0].Name, why, a.Prefix, a.Link))
		}
	}
	return out
}

// servicesOf are those with that VIP.
func servicesOf(inv *inventory.Inventory, vip netip.Addr) []*inventory.Service {
	var out []*inventory.Service
	for _, s := range inv.Services {
		if s.VIP == vip {
			out = append(out, s)
		}
	}
	return out
}

// astray says what a VIP on a host does that it must not; empty: nothing.
func astray(inv *inventory.Inventory, h *inventory.Host, a state.Address, services []*inventory.Service) string {
	vip, network := a.Prefix.Addr(), a.Prefix.Masked()
	facing := h.NICToward(vip)
	serves := slices.ContainsFunc(services, func(s *inventory.Service) bool { return server(s, h) != nil })
	directs := slices.ContainsFunc(services, func(s *inventory.Service) bool { return slices.Contains(s.Directors, h) })
	lost := ""
	if a.Prefix.Bits() < vip.BitLen() {
		lost = others(inv, h, network)
	}
	switch {
	case lost != "" && a.Link == "lo":
		return fmt.Sprintf("with its length of /%d the host takes all of %s for itself, and sends nothing to %s", network.Bits(), network, lost)
	case lost != "" && facing == nil:
		return fmt.Sprintf("with its length of /%d the host looks for all of %s behind %s, also for %s", network.Bits(), network, a.Link, lost)
	case directs:
		return ""
	case facing != nil && a.Link == facing.Name && !quietAnyway(h, services):
		if vip.Is6() {
			return fmt.Sprintf("on %s the host answers neighbour solicitations for it", a.Link)
		}
		return fmt.Sprintf("on %s the host answers ARP for it, unless arp_ignore is 8 there", a.Link)
	case !serves && (h.Has(inventory.RoleClient) || h.Has(inventory.RoleGateway)):
		return "the host takes packets for the VIP for its own, and none of them reaches the director"
	default:
		return ""
	}
}

// others names the first of the other hosts with an address in the network;
// empty: there is none.
func others(inv *inventory.Inventory, h *inventory.Host, network netip.Prefix) string {
	for _, other := range inv.Hosts {
		if other == h {
			continue
		}
		for _, n := range other.NICs {
			for _, p := range n.Addresses {
				if network.Contains(p.Addr()) {
					return fmt.Sprintf("%s (%s)", other.Name, p.Addr())
				}
			}
		}
	}
	return ""
}

// quietAnyway reports whether a real server keeps quiet about the VIP in a way
// that does not depend on the device which has it: by rules, or because others
// do not ask.
func quietAnyway(h *inventory.Host, services []*inventory.Service) bool {
	return slices.ContainsFunc(services, func(s *inventory.Service) bool {
		r := server(s, h)
		return r != nil && modes.TraitsOf(r.Mode).KeepsDestination && s.VIP.Is4() &&
			(s.ARP == inventory.ARPTables || s.ARP == inventory.ARPStatic)
	})
}

// server is the host as a real server of the service, or nil.
func server(s *inventory.Service, h *inventory.Host) *inventory.RealServer {
	for _, r := range s.RealServers {
		if r.Host == h {
			return r
		}
	}
	return nil
}
