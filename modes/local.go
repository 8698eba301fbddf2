package modes

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/inventory"
)

// A director may be a real server of its own service, if it is the only
// director: IPVS then gives the packet to a program on the same host, whatever
// the mode says of the way there. Two directors that are real servers of each
// other would schedule again what the other has given them.

// local reports whether the leg's director is its real server.
func (l leg) local() bool { return l.server.Host == l.director }

// mode is that of the leg's real server.
func (l leg) mode() mode {
	m := modeOf(l.server.Mode)
	if !l.local() {
		return m
	}
	return mode{
		demands:    localDemands,
		director:   func(l leg) []Want { return []Want{l.destination()} },
		realServer: func(leg) []Want { return nil }, // the director has the VIP
		walk:       localWalk,
	}
}

// TraitsFor returns the traits of a real server of a service: those of its mode,
// or what is left of them where it is the director itself.
func TraitsFor(s *inventory.Service, r *inventory.RealServer) Traits {
	t := TraitsOf(r.Mode)
	if slices.Contains(s.Directors, r.Host) {
		t.Local = true
		t.Tunnelled, t.VIPWhereItArrives, t.RepliesThroughDirector = false, false, false
	}
	return t
}

func localDemands(l leg) inventory.Problems {
	name, rip, t := l.director.Name, l.rip(), l.traits()
	switch {
	case !rip.IsValid() || rip.Is6() != l.VIP.Is6():
		return inventory.Problems{l.problem(l.server.Path, "give it an "+family(l.VIP)+" address, or use another host",
			"%s is its director and a real server, and has no %s address of its own for that", name, family(l.VIP))}
	case t.Source == SourceDirector:
		return inventory.Problems{l.problem(l.server.Path, "write mode: nat for it: it sees the client's address then",
			"%s is its director and a real server, and source NAT, on which %s relies, does not see what stays on the host", name, l.server.Mode)}
	case l.server.Redirect != 0:
		return inventory.Problems{l.problem(l.server.Path, "write mode: nat and port: for it",
			"%s is its director and a real server, and redirect: there would take the packets before IPVS has them", name)}
	case t.KeepsDestination && l.server.Port != l.Port:
		return inventory.Problems{l.problem(l.server.Path, "use the service's port, or mode: nat for it",
			"%s hands the packet on unchanged, so %s must listen on port %d, not %d", l.server.Mode, name, l.Port, l.server.Port)}
	case t.KeepsDestination:
		return nil
	default:
		return l.rewritable(rip)
	}
}

// How a packet walks.

func localWalk(w *walker) {
	rport, vport, item := w.rport(), w.destination, w.destinationItem()
	if w.traits().KeepsDestination {
		w.by(w.director, "keeps it: the real server is the host itself", item)
	} else {
		w.by(w.director, fmt.Sprintf("puts %s in the place of %s, and keeps it: the real server is the host itself", rport, vport), item)
		w.destination = rport
	}
	w.turn()
	if w.source != vport {
		w.by(w.director, fmt.Sprintf("puts %s back in the place of %s", vport, rport), item)
		w.source = vport
	}
	w.travel(w.client)
	w.arrive()
}
