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

// askersFor chooses who asks for an address of the directors: the clients in its
// network, or else the gateways there, which ask for everybody beyond, or else the
// real servers, all of them, because none answers its own question.
func askersFor(inv *inventory.Inventory, s *inventory.Service, address netip.Addr) []asker {
	for _, role := range []inventory.Role{inventory.RoleClient, inventory.RoleGateway, inventory.RoleRealServer} {
		if out := neighboursOf(inv, s, address, role); out != nil {
			return out
		}
	}
	return nil
}

// neighboursOf lists the hosts of a role, but for the service's directors,
// that are in an address's network.
func neighboursOf(inv *inventory.Inventory, s *inventory.Service, address netip.Addr, role inventory.Role) []asker {
	var out []asker
	for _, h := range inv.Hosts {
		if !h.Has(role) || slices.Contains(s.Directors, h) {
			continue
		}
		if nic, source := onLink(h, address); nic != nil {
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

// questions are what one host is asked about addresses of directors, and which
// evidence takes the answers.
type questions struct {
	host   *inventory.Host
	list   []wire.Question
	of     []*evidence
	locals []bool // whether it is about a local address, not the VIP
}

// asks are the hosts that are asked something.
type asks []*questions

// add asks for an address from several hosts.
func (list *asks) add(askers []asker, address netip.Addr, local bool, ev *evidence) {
	for _, a := range askers {
		at := slices.IndexFunc(*list, func(q *questions) bool { return q.host == a.host })
		if at < 0 {
			at, *list = len(*list), append(*list, &questions{host: a.host})
		}
		q := (*list)[at]
		q.list = append(q.list, wire.Question{Device: a.nic.Name, Source: a.source, Target: address})
		q.of, q.locals = append(q.of, ev), append(q.locals, local)
	}
}

// ownLocals are the local addresses of a service that uses them, beside the VIP.
func ownLocals(s *inventory.Service) []netip.Addr {
	if len(localAddresses(s)) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.LocalAddresses), func(a netip.Addr) bool { return a == s.VIP })
}

// owners finds out for all services who has the VIP, and brings together whose
// the MAC addresses are. All questions are asked at the same time.
func (g *gatherer) owners(ctx context.Context, found []*evidence) {
	var asked asks
	for i, s := range g.inv.Services {
		if cannotVerify(s) != "" {
			continue
		}
		for _, a := range ownLocals(s) {
			askers := askersFor(g.inv, s, a)
			if asked.add(askers, a, true, found[i]); askers == nil {
				found[i].notes = append(found[i].notes, fmt.Sprintf("%s left out %s: no client, gateway or real server has an address in a network with it, so nobody here can ask for it", checkLocals, a))
			}
		}
		if arpStatic(s) {
			g.neighbours(ctx, s, found[i])
			continue
		}
		askers := askersFor(g.inv, s, s.VIP)
		if askers == nil {
			found[i].notes = append(found[i].notes, fmt.Sprintf("%s left out: no client, gateway or real server has an address in a network with %s, so nobody here can ask for it", checkOneMAC, s.VIP))
		}
		asked.add(askers, s.VIP, false, found[i])
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
		for j, ev := range asked[i].of {
			q := asked[i].list[j]
			check := checkOneMAC
			if asked[i].locals[j] {
				check = checkLocals
			}
			switch {
			case r.err != nil:
				ev.trouble(check, r.err)
			case j >= len(r.got.Answers):
				ev.trouble(check, fmt.Errorf("%s: ask who has %s: no answer", r.host, q.Target))
			case r.got.Answers[j].Failed != "":
				ev.trouble(check, fmt.Errorf("%s: ask who has %s: %s", r.host, q.Target, r.got.Answers[j].Failed))
			case asked[i].locals[j]:
				ev.locals = append(ev.locals, localAnswer{q.Target, answer{r.host, q.Device, r.got.Answers[j].MACs}})
			default:
				ev.answers = append(ev.answers, answer{r.host, q.Device, r.got.Answers[j].MACs})
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
			if director && len(ownLocals(s)) != 0 {
				ev.trouble(checkLocals, err)
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
	senders := append(neighboursOf(g.inv, s, s.VIP, inventory.RoleClient), neighboursOf(g.inv, s, s.VIP, inventory.RoleGateway)...)
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
	var list []localAnswer
	for _, a := range ev.answers {
		list = append(list, localAnswer{s.VIP, a})
	}
	return ev.judgeAnswers(checkOneMAC, list, func(o owner) bool { return o.director })
}

// judgeLocals checks the same of the addresses that real servers answer to: a
// neighbour that still remembers one makes the probes pass for a while. Several
// devices of one director may answer, but not several directors: a reply would
// find any of them.
func judgeLocals(s *inventory.Service, ev *evidence) []Check {
	if ev.locals == nil && ev.missing[checkLocals] == nil {
		return nil // there are none, or a note says why
	}
	return []Check{ev.judgeAnswers(checkLocals, ev.locals, func(o owner) bool {
		return slices.ContainsFunc(s.Directors, func(d *inventory.Host) bool { return d.Name == o.host })
	})}
}

// judgeAnswers holds who answered for an address against who should.
func (e *evidence) judgeAnswers(check string, list []localAnswer, right func(owner) bool) Check {
	var wrong, open, seen []string
	facts := Facts{Counted: len(list)}
	for _, a := range list {
		asked := fmt.Sprintf("asked from %s %s", a.host, a.device)
		var who []string
		directors := 0
		var hosts []string // that have all of them
		for i, mac := range a.macs {
			who = append(who, e.ownerOf(mac))
			if slices.ContainsFunc(e.owners[mac], right) {
				directors++
			}
			var have []string
			for _, o := range e.owners[mac] {
				if right(o) && (i == 0 || slices.Contains(hosts, o.host)) {
					have = append(have, o.host)
				}
			}
			hosts = have
		}
		found := Answer{Host: a.host, Device: a.device, MACs: append([]string{}, a.macs...)}
		if check == checkLocals {
			found.Address = a.address
		}
		facts.Answers = append(facts.Answers, found)
		text := fmt.Sprintf("%s is at %s, %s", a.address, strings.Join(who, " and at "), asked)
		switch {
		case len(who) == 0:
			wrong = append(wrong, fmt.Sprintf("nobody answered for %s, %s", a.address, asked))
		case directors == len(who) && (directors == 1 || check == checkLocals && hosts != nil):
			seen = append(seen, text)
		case len(who) == 1 && e.mayBeDirector(a.macs[0]):
			open = append(open, text)
		default:
			wrong = append(wrong, text)
		}
	}
	facts.Right = len(seen)
	return e.check(check, finding{wrong: wrong, open: open, seen: strings.Join(seen, "; "), facts: facts})
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
		facts.Answers = append(facts.Answers, Answer{Host: n.host, Device: n.device, MACs: macs})
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
