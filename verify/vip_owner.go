package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
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
		if out := neighboursOf(inv, s, role); out != nil {
			return out
		}
	}
	return nil
}

// neighboursOf lists the hosts of a role, but for the service's directors,
// that are in the VIP's network.
func neighboursOf(inv *inventory.Inventory, s *inventory.Service, role inventory.Role) []asker {
	var out []asker
	for _, h := range inv.Hosts {
		if !h.Has(role) || slices.Contains(s.Directors, h) {
			continue
		}
		if nic, source := onLink(h, s.VIP); nic != nil {
			out = append(out, asker{h, nic, source})
		}
	}
	return out
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

// arpStatic reports whether the real servers may answer for the VIP, because
// those who send to it know the director's MAC for good.
func arpStatic(s *inventory.Service) bool {
	return s.ARP == inventory.ARPStatic && s.VIP.Is4() &&
		slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return modes.TraitsOf(r.Mode).KeepsDestination })
}

// questions are what one host is asked about VIPs, for which services.
type questions struct {
	host     *inventory.Host
	list     []wire.Question
	services []int
}

// owners finds out for all services who has the VIP, and brings together whose
// the MAC addresses are. All questions are asked at the same time.
func (g *gatherer) owners(ctx context.Context, found []*evidence) {
	var asked []*questions
	for i, s := range g.inv.Services {
		if cannotVerify(s) != "" {
			continue
		}
		if arpStatic(s) {
			g.neighbours(ctx, s, found[i])
			continue
		}
		askers := askersFor(g.inv, s)
		if askers == nil {
			found[i].notes = append(found[i].notes, fmt.Sprintf("%s left out: no client, gateway or real server has an address in a network with %s, so nobody here can ask for it", checkOneMAC, s.VIP))
		}
		for _, a := range askers {
			at := slices.IndexFunc(asked, func(q *questions) bool { return q.host == a.host })
			if at < 0 {
				at, asked = len(asked), append(asked, &questions{host: a.host})
			}
			asked[at].list = append(asked[at].list, wire.Question{Device: a.nic.Name, Source: a.source, Target: s.VIP})
			asked[at].services = append(asked[at].services, i)
		}
	}
	macs := map[string]reply[wire.MACs]{}
	for _, r := range askAll[wire.MACs](ctx, g, g.inv.Hosts, "list devices", callLimit, wire.MethodMACs, func(*inventory.Host) any { return wire.Nothing{} }) {
		macs[r.host] = r
	}
	for i, s := range g.inv.Services {
		if cannotVerify(s) == "" {
			g.whose(s, macs, found[i])
		}
	}
	g.opts.Progress("asking who has the VIPs")
	hosts := make([]*inventory.Host, len(asked))
	of := map[*inventory.Host]*questions{}
	for i, q := range asked {
		hosts[i], of[q.host] = q.host, q
	}
	for i, r := range askAll[wire.WhoHas](ctx, g, hosts, "ask who has the VIP", callLimit, wire.MethodWhoHas, func(h *inventory.Host) any {
		return wire.WhoHasRequest{Questions: of[h].list}
	}) {
		for j, service := range asked[i].services {
			ev := found[service]
			switch {
			case r.err != nil:
				ev.trouble(checkOneMAC, r.err)
			case j >= len(r.got.Answers):
				ev.trouble(checkOneMAC, fmt.Errorf("%s: ask who has the VIP: no answer", r.host))
			case r.got.Answers[j].Failed != "":
				ev.trouble(checkOneMAC, fmt.Errorf("%s: ask who has the VIP: %s", r.host, r.got.Answers[j].Failed))
			default:
				ev.answers = append(ev.answers, answer{r.host, asked[i].list[j].Device, r.got.Answers[j].MACs})
			}
		}
	}
}

// whose tells for a service whose the MAC addresses are.
func (g *gatherer) whose(s *inventory.Service, macs map[string]reply[wire.MACs], ev *evidence) {
	ev.owners = map[string][]owner{}
	for _, h := range g.inv.Hosts {
		director := slices.Contains(s.Directors, h)
		facing, _ := onLink(h, s.VIP)
		if err := macs[h.Name].err; err != nil {
			ev.ownersMissing = true
			if director && facing != nil {
				ev.trouble(ownerCheck(s), err)
			}
		}
		// In the order of the inventory: other devices are nobody's business.
		for _, n := range h.NICs {
			if mac := macs[h.Name].got.Devices[n.Name]; mac != "" {
				ev.owners[mac] = append(ev.owners[mac], owner{h.Name, n.Name, director && facing == n})
			}
		}
	}
}

// ownerCheck is the name of the check that judges whom the VIP's senders find.
func ownerCheck(s *inventory.Service) string {
	if arpStatic(s) {
		return checkNeighbour
	}
	return checkOneMAC
}

// neighbours looks up what the clients and gateways in the VIP's network have
// for it.
func (g *gatherer) neighbours(ctx context.Context, s *inventory.Service, ev *evidence) {
	senders := append(neighboursOf(g.inv, s, inventory.RoleClient), neighboursOf(g.inv, s, inventory.RoleGateway)...)
	if senders == nil {
		ev.notes = append(ev.notes, fmt.Sprintf("%s left out: no client or gateway has an address in a network with %s", checkNeighbour, s.VIP))
	}
	for _, a := range senders {
		got, err := ask[wire.Neighbour](ctx, g, a.host.Name, "look up the neighbour "+s.VIP.String(), callLimit, wire.MethodNeighbour,
			wire.NeighbourRequest{Device: a.nic.Name, Address: s.VIP})
		if err != nil {
			ev.trouble(checkNeighbour, err)
			continue
		}
		ev.neighbours = append(ev.neighbours, neighbour{a.host.Name, a.nic.Name, got})
	}
}

// judgeOwner checks that who sends to the VIP finds the director.
func judgeOwner(s *inventory.Service, ev *evidence) []Check {
	name := ownerCheck(s)
	if ev.answers == nil && ev.neighbours == nil && ev.missing[name] == nil {
		return nil // a note says why
	}
	if name == checkNeighbour {
		return []Check{judgeNeighbours(s, ev)}
	}
	return []Check{judgeOneMAC(s, ev)}
}

// judgeOneMAC checks that the director alone answers for the VIP: whoever
// else does takes the clients that hear it first.
func judgeOneMAC(s *inventory.Service, ev *evidence) Check {
	var wrong, open, seen []string
	facts := Facts{Counted: len(ev.answers)}
	for _, a := range ev.answers {
		asked := fmt.Sprintf("asked from %s %s", a.host, a.device)
		var who []string
		directors := 0
		for _, mac := range a.macs {
			who = append(who, ev.ownerOf(mac))
			if ev.isDirector(mac) {
				directors++
			}
		}
		facts.Answers = append(facts.Answers, Answer{a.host, a.device, append([]string{}, a.macs...)})
		text := fmt.Sprintf("%s is at %s, %s", s.VIP, strings.Join(who, " and at "), asked)
		switch {
		case len(who) == 0:
			wrong = append(wrong, fmt.Sprintf("nobody answered for %s, %s", s.VIP, asked))
		case len(who) == 1 && directors == 1:
			seen = append(seen, text)
		case len(who) == 1 && ev.mayBeDirector(a.macs[0]):
			open = append(open, text)
		default:
			wrong = append(wrong, text)
		}
	}
	facts.Right = len(seen)
	return ev.check(checkOneMAC, finding{wrong: wrong, open: open, seen: strings.Join(seen, "; "), facts: facts})
}

// judgeNeighbours checks the permanent entries that arp: static stands on.
func judgeNeighbours(s *inventory.Service, ev *evidence) Check {
	var wrong, open, seen []string
	facts := Facts{Counted: len(ev.neighbours)}
	for _, n := range ev.neighbours {
		where := n.host + " " + n.device
		macs := []string{}
		if n.MAC != "" {
			macs = append(macs, n.MAC)
		}
		facts.Answers = append(facts.Answers, Answer{n.host, n.device, macs})
		switch {
		case n.MAC == "":
			wrong = append(wrong, fmt.Sprintf("%s has no neighbour entry for %s and would take whoever answers first", where, s.VIP))
		case ev.mayBeDirector(n.MAC):
			open = append(open, fmt.Sprintf("%s has %s at %s", where, s.VIP, ev.ownerOf(n.MAC)))
		case !ev.isDirector(n.MAC):
			wrong = append(wrong, fmt.Sprintf("%s has %s at %s", where, s.VIP, ev.ownerOf(n.MAC)))
		case !n.Permanent:
			wrong = append(wrong, fmt.Sprintf("%s has %s at %s, but not for good: another answer would replace it", where, s.VIP, ev.ownerOf(n.MAC)))
		default:
			seen = append(seen, fmt.Sprintf("%s has %s at %s for good", where, s.VIP, ev.ownerOf(n.MAC)))
		}
	}
	facts.Right = len(seen)
	return ev.check(checkNeighbour, finding{wrong: wrong, open: open, seen: strings.Join(seen, "; "), facts: facts})
}

// mayBeDirector reports whether a MAC address is of no known device, while some
// host could not be asked for its devices.
func (e *evidence) mayBeDirector(mac string) bool { return e.owners[mac] == nil && e.ownersMissing }

func (e *evidence) isDirector(mac string) bool {
	return slices.ContainsFunc(e.owners[mac], func(o owner) bool { return o.director })
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
