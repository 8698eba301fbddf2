package modes

import (
	"fmt"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// dr is direct routing: the director only rewrites the frame's MAC, so the
// real server gets the packet as the client sent it, must have the VIP itself,
// and answers the client without the director.
func dr() mode {
	return mode{
		traits: Traits{
			Forward:          state.ForwardDR,
			KeepsDestination: true,
			Source:           SourceClient,
		},
		demands:    drDemands,
		director:   drDirector,
		realServer: drRealServer,
		walk:       drWalk,
	}
}

// What it demands of the topology.

func drDemands(l leg) inventory.Problems {
	out := l.samePort()
	rip := l.rip()
	if !rip.IsValid() || rip.Is6() != l.VIP.Is6() || l.director.NICToward(rip) == nil {
		return append(out, l.problem(l.server.Path, "give both a NIC with an "+family(l.VIP)+" address in one network, or use a mode that routes (tun, fullnat)",
			"dr rewrites only the MAC address, so director %s and real server %s must share a segment; they share none", l.director.Name, l.server.Host.Name))
	}
	return append(out, l.directReply()...)
}

// What each role must look like.

func drDirector(l leg) []Want {
	return []Want{l.destination()}
}

func drRealServer(l leg) []Want {
	out := append(l.quiet(), l.redirect("")...)
	return append(out, Want{
		Item: l.vipOn("lo"), Role: inventory.RoleRealServer,
		Reason: Reason{ReasonAcceptVIP, "accepts packets for the VIP"},
	})
}

// How a packet walks.

func drWalk(w *walker) {
	server := w.server.Host
	w.by(w.director, fmt.Sprintf("writes %s's MAC address into the frame, and changes nothing else", server.Name), w.destinationItem())
	w.send(w.rip())
	w.accept("lo", w.redirect(""))
	w.turn()
	w.redirectBack(w.redirect(""))
	w.replyDirectly()
}
