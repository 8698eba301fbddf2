package modes

import (
	"fmt"
	"strings"

	"github.com/lvsform/lvsform/inventory"
)

// Notes are what the user should know of an inventory that is right: limits
// and surprises that no setting of lvsform's takes away. One line each, in the
// order of the services.
func Notes(inv *inventory.Inventory) []string {
	var out []string
	for _, s := range services(inv, nil) {
		for _, n := range []string{s.clientNote(), s.capacityNote(), s.stickyNote(), s.fragmentNote(), s.quiescentNote()} {
			if n != "" {
				out = append(out, fmt.Sprintf("service %s: %s", s.Name, n))
			}
		}
	}
	return out
}

// clientNote: who carries a service is no client of it.
func (s *service) clientNote() string {
	var why []string
	for _, h := range s.inv.Hosts {
		if h.Has(inventory.RoleClient) {
			why = append(why, fmt.Sprintf("not %s: %s", h.Name, NoClient(s.Service, h)))
		}
	}
	if len(why) == 0 || len(s.clients()) != 0 {
		return ""
	}
	return fmt.Sprintf("no client can use it, and verify has nobody to send test traffic (%s); give another host the role client", strings.Join(why, "; "))
}

// capacityNote: every fullnat connection takes a port of a local address.
func (s *service) capacityNote() string {
	perServer, total := Capacity(s.inv, s.Service)
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("fullnat holds at most %d connections at once to each real server, %d in all; more local_addresses hold more", perServer, total)
}

// stickyNote: to IPVS all datagrams of one source port are one connection.
func (s *service) stickyNote() string {
	if s.Protocol != inventory.UDP || s.OnePacket || s.Persistence.Timeout != 0 {
		return ""
	}
	return "datagrams from one client port stay with one real server until the UDP timeout; one_packet: true schedules each on its own"
}

// fragmentNote: TCP is told a smaller segment, UDP cannot be.
func (s *service) fragmentNote() string {
	if s.Protocol == inventory.TCP {
		return ""
	}
	for _, l := range s.legs() {
		if l.traits().Tunnelled {
			overhead := l.decapsulation().overhead
			return fmt.Sprintf("on a path of 1500 bytes the tunnel to %s leaves %d for the client's packet; larger ones depend on fragmentation or on the director's ICMP", l.server.Host.Name, defaultMTU-overhead)
		}
	}
	return ""
}

// quiescentNote: persistence outlives a weight of 0.
func (s *service) quiescentNote() string {
	if s.Persistence.Timeout == 0 || s.Directors[0].IPVS.Sysctls["expire_quiescent_template"] == "1" {
		return ""
	}
	for _, r := range s.RealServers {
		if r.Weight == 0 {
			return fmt.Sprintf("persistence keeps clients on %s though its weight is 0; ipvs.sysctls expire_quiescent_template: 1 lets them go", r.Host.Name)
		}
	}
	return ""
}
