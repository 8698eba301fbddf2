package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Members is what the journals keep of an inventory's hosts, in its order.
func Members(inv *inventory.Inventory) []wire.Member {
	out := make([]wire.Member, len(inv.Hosts))
	for i, h := range inv.Hosts {
		out[i] = wire.Member{
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
func Left(inv *inventory.Inventory, observed map[string]Observation) []wire.Member {
	leavers := leaversOf(inv)
	seen := map[string]bool{}
	var out []wire.Member
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
	slices.SortFunc(out, func(a, b wire.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// leaversOf returns what picks the members out of a journal that have left the
// inventory. The error is that of a journal with more than MaxLeft.
func leaversOf(inv *inventory.Inventory) func(wire.Journal) ([]wire.Member, error) {
	known := map[string]bool{}
	for _, m := range Members(inv) {
		known[m.Name], known[endpoint(m)] = true, true
	}
	nics := map[string]bool{}
	for _, h := range inv.Hosts {
		for _, n := range h.NICs {
			for _, a := range n.Addresses {
				nics[a.Addr().String()] = true
			}
		}
	}
	left := map[wire.Member]bool{} // most journals say the same
	return func(j wire.Journal) ([]wire.Member, error) {
		var out []wire.Member
		for _, m := range j.Members {
			if known[m.Name] {
				continue
			}
			gone, seen := left[m]
			if !seen {
				gone = !known[endpoint(m)] && !nics[m.Fallback] && sane(m)
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
func (p *Plan) Remaining() []wire.Member {
	if p.Only != nil {
		return p.Members
	}
	gone := map[string]bool{}
	for _, h := range p.Hosts {
		gone[h.Name] = h.Left
	}
	return slices.DeleteFunc(slices.Clone(p.Members), func(m wire.Member) bool { return gone[m.Name] })
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
		do(name, at(*observed[name].Member), nil, observed[name])
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
func (o Observation) believed(leavers func(wire.Journal) ([]wire.Member, error)) Observation {
	if o.Err == nil {
		_, o.Err = leavers(o.Journal)
	}
	return o
}

// endpoint tells machines apart by where SSH finds them.
func endpoint(m wire.Member) string { return fmt.Sprintf("%s port %d", at(m), m.Port) }

// sane guards against what a host's journal may say: it decides where the
// workstation connects to.
func sane(m wire.Member) bool {
	for _, s := range []string{m.Name, m.Address, m.Fallback, m.User, m.Key, m.Jump} {
		if len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == unicode.ReplacementChar || unicode.IsControl(r) }) {
			return false
		}
	}
	return m.Name != ""
}

// at is where a member is reached, as far as the inventory said.
func at(m wire.Member) string { return cmp.Or(m.Address, m.Fallback, m.Name) }

func firstAddress(h *inventory.Host) string {
	for _, n := range h.NICs {
		for _, a := range n.Addresses {
			return a.Addr().String()
		}
	}
	return ""
}
