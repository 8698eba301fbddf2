package plan

import (
	"cmp"
	"slices"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// Members is what the journals keep of an inventory's hosts, in its order.
func Members(inv *inventory.Inventory) []journal.Member {
	out := make([]journal.Member, len(inv.Hosts))
	for i, h := range inv.Hosts {
		out[i] = journal.Member{
			Name: h.Name, Fallback: firstAddress(h),
			Address: h.SSH.Address, Port: h.SSH.Port, User: h.SSH.User, Key: h.SSH.Key, Jump: h.SSH.Jump, Sudo: h.SSH.Sudo,
		}
	}
	return out
}

// MaxLeft is how many hosts may leave an inventory at a time. lvsform connects
// to each of them on the word of a host's journal.
const MaxLeft = 1024

// Left lists the members that journals name and the inventory no longer has,
// by name. One that only has another name now is not among them: whoever the
// inventory reaches at the same address is the same machine. A journal that
// names more than MaxLeft is not believed; planning fails for its host.
func Left(inv *inventory.Inventory, observed map[string]Observation) []journal.Member {
	leavers := leaversOf(inv)
	seen := map[string]bool{}
	var out []journal.Member
	for _, h := range inv.Hosts {
		members, err := leavers(observed[h.Name].Journal)
		if err != nil {
			continue // see Observation.believed
		}
		for _, m := range members {
			if !seen[m.Name] {
				seen[m.Name] = true
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b journal.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// leaversOf returns what picks the members out of a journal that have left the
// inventory. The error is that of a journal with more than MaxLeft.
func leaversOf(inv *inventory.Inventory) func(journal.Journal) ([]journal.Member, error) {
	known := map[string]bool{}
	for _, m := range Members(inv) {
		known[m.Name], known[m.Endpoint()] = true, true
	}
	nics := map[string]bool{}
	for _, h := range inv.Hosts {
		for _, n := range h.NICs {
			for _, a := range n.Addresses {
				nics[a.Addr().String()] = true
			}
		}
	}
	left := map[journal.Member]bool{} // most journals say the same
	return func(j journal.Journal) ([]journal.Member, error) {
		var out []journal.Member
		for _, m := range j.Members {
			if known[m.Name] {
				continue
			}
			gone, seen := left[m]
			if !seen {
				gone = !known[m.Endpoint()] && !nics[m.Fallback] && m.Sane()
				left[m] = gone
			}
			if gone {
				out = append(out, m)
			}
		}
		if len(out) > MaxLeft {
			return nil, fault.New(fault.Conflict, "the journal of topology %s names %d hosts that are not in the inventory, and lvsform connects to no more than %d of those at a time; take fewer out of the inventory at once, or find out who wrote that journal",
				inv.Name, len(out), MaxLeft)
		}
		return out, nil
	}
}

// Remaining are the members once the plan is carried out: what it takes from
// hosts that have left the inventory is all they held, unless it is only a part.
func (p *Plan) Remaining() []journal.Member {
	if p.Only != nil {
		return p.Members
	}
	gone := map[string]bool{}
	for _, h := range p.Hosts {
		gone[h.Name] = h.Left
	}
	return slices.DeleteFunc(slices.Clone(p.Members), func(m journal.Member) bool { return gone[m.Name] })
}

// left are the observed hosts that are no longer in the inventory, by name.
func left(observed map[string]Observation) []string {
	var out []string
	for name, obs := range observed {
		if obs.Member != nil {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, state.CompareNatural)
	return out
}

// everyHost calls do for each host of the inventory, in its order, and then for
// those that have left it, without an h.
func everyHost(inv *inventory.Inventory, observed map[string]Observation, do func(name, address string, h *inventory.Host, obs Observation)) {
	leavers := leaversOf(inv)
	for _, h := range inv.Hosts {
		do(h.Name, firstAddress(h), h, observed[h.Name].believed(leavers))
	}
	for _, name := range left(observed) {
		do(name, observed[name].Member.At(), nil, observed[name])
	}
}

// firstError is the first of several hosts' errors, or nil.
func firstError[H any](hosts []H, errorsOf func(H) []*fault.Error) *fault.Error {
	for _, h := range hosts {
		for _, e := range errorsOf(h) {
			return e
		}
	}
	return nil
}

// believed is the observation, or an error where the host's journal is not to be
// believed.
func (o Observation) believed(leavers func(journal.Journal) ([]journal.Member, error)) Observation {
	if o.Err == nil {
		_, o.Err = leavers(o.Journal)
	}
	return o
}

func firstAddress(h *inventory.Host) string {
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			return a.Addr().String()
		}
	}
	return ""
}
