package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
)

// asker is a host with a NIC in the VIP's network.
type asker struct {
	host   *inventory.Host
	nic    *inventory.NIC
	source netip.Addr
}

// askersFor chooses who asks for the VIP: the clients in its network, or else
// the gateways there, which ask for everybody beyond, or else the real
// servers, all of them, because none answers its own question.
func askersFor(inv *inventory.Inventory, s *inventory.Service) []asker {
	for _, role := range []inventory.Role{inventory.RoleClient, inventory.RoleGateway, inventory.RoleRealServer} {
		var out []asker
		for _, h := range inv.Hosts {
			if !h.Has(role) || slices.Contains(s.Directors, h) {
				continue
			}
			if nic, source := onLink(h, s.VIP); nic != nil {
				out = append(out, asker{h, nic, source})
			}
		}
		if out != nil {
			return out
		}
	}
	return nil
}

// onLink is a host's NIC in the network of an address, with its own address there.
func onLink(h *inventory.Host, ip netip.Addr) (*inventory.NIC, netip.Addr) {
	for _, n := range h.NICs {
		for _, own := range n.Addresses {
			if own.Contains(ip) {
				return n, own.Addr()
			}
		}
	}
	return nil, netip.Addr{}
}

// askForVIP asks who has the VIP, and brings together whose the MAC addresses are.
func (g *gatherer) askForVIP(ctx context.Context, s *inventory.Service, ev *evidence) {
	askers := askersFor(g.inv, s)
	if askers == nil {
		ev.notes = append(ev.notes, fmt.Sprintf("%s left out: no client, gateway or real server has an address in a network with %s, so nobody here can ask for it", checkOneMAC, s.VIP))
		return
	}
	for _, a := range askers {
		found, err := ask[wire.WhoHas](ctx, g, a.host.Name, "ask who has "+s.VIP.String(), callLimit, wire.MethodWhoHas,
			wire.WhoHasRequest{Device: a.nic.Name, Source: a.source, Target: s.VIP})
		if err != nil {
			ev.trouble(checkOneMAC, err)
			continue
		}
		ev.answers = append(ev.answers, answer{a.host.Name, a.nic.Name, found.MACs})
	}
	ev.owners = map[string][]owner{}
	for _, h := range g.inv.Hosts {
		director := slices.Contains(s.Directors, h)
		if err := g.macs[h.Name].err; err != nil {
			ev.ownersMissing = true
			if director {
				ev.trouble(checkOneMAC, err)
			}
		}
		// In the order of the inventory: other devices are nobody's business.
		for _, n := range h.NICs {
			if mac := g.macs[h.Name].Devices[n.Name]; mac != "" {
				facing, _ := onLink(h, s.VIP)
				ev.owners[mac] = append(ev.owners[mac], owner{h.Name, n.Name, director && facing == n})
			}
		}
	}
}

// judgeOneMAC checks that the director alone answers for the VIP: whoever
// else does takes the clients that hear it first.
func judgeOneMAC(s *inventory.Service, ev *evidence) Check {
	var wrong, seen []string
	for _, a := range ev.answers {
		asked := fmt.Sprintf("asked from %s %s", a.host, a.device)
		var who []string
		directors := 0
		for _, mac := range a.macs {
			who = append(who, ev.ownerOf(mac))
			if slices.ContainsFunc(ev.owners[mac], func(o owner) bool { return o.director }) {
				directors++
			}
		}
		text := fmt.Sprintf("%s is at %s, %s", s.VIP, strings.Join(who, " and at "), asked)
		switch {
		case len(who) == 0:
			wrong = append(wrong, fmt.Sprintf("nobody answered for %s, %s", s.VIP, asked))
		case len(who) == 1 && directors == 1:
			seen = append(seen, text)
		default:
			wrong = append(wrong, text)
		}
	}
	return ev.check(checkOneMAC, wrong, strings.Join(seen, "; "))
}

// ownerOf is a MAC address with the device that has it.
func (e *evidence) ownerOf(mac string) string {
	var names []string
	for _, o := range e.owners[mac] {
		names = append(names, o.host+" "+o.device)
	}
	switch {
	case names == nil && e.ownersMissing:
		return mac + " (a device of no host that could be asked for its devices)"
	case names == nil:
		return mac + " (a device of no host of the inventory)"
	}
	return fmt.Sprintf("%s (%s)", mac, strings.Join(names, ", "))
}
