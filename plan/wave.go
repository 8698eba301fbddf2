package plan

import (
	"fmt"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Wave is a step of the order across hosts: all hosts finish a wave before any
// begins the next. New things come first, from the real servers to the VIP
// clients use, so that nothing is sent where nobody is ready; then old things
// go, the other way round.
type Wave int

// The waves, in order.
const (
	LoadModules Wave = iota + 1
	PrepareHosts
	PrepareServers // ARP settings before the VIP: nobody may learn of it from a real server
	AddServerVIPs
	PrepareDirectors
	AddServices
	AddDestinations
	AddDirectorVIPs
	OpenGateways
	CloseGateways
	RemoveDestinations // drained first
	RemoveServices
	RemoveDirectorVIPs
	RestoreDirectors
	RemoveServerVIPs
	RestoreServers
	RestoreHosts
)

// Waves lists every wave in order.
func Waves() []Wave {
	out := make([]Wave, RestoreHosts)
	for i := range out {
		out[i] = Wave(i + 1)
	}
	return out
}

// String is the wave in words.
func (w Wave) String() string {
	switch w {
	case LoadModules:
		return "load modules"
	case PrepareHosts:
		return "prepare hosts"
	case PrepareServers:
		return "prepare real servers"
	case AddServerVIPs:
		return "add VIPs to real servers"
	case PrepareDirectors:
		return "prepare directors"
	case AddServices:
		return "add virtual services"
	case AddDestinations:
		return "add destinations"
	case AddDirectorVIPs:
		return "add VIPs to directors"
	case OpenGateways:
		return "open gateways"
	case CloseGateways:
		return "close gateways"
	case RemoveDestinations:
		return "remove destinations"
	case RemoveServices:
		return "remove virtual services"
	case RemoveDirectorVIPs:
		return "remove VIPs from directors"
	case RestoreDirectors:
		return "restore directors"
	case RemoveServerVIPs:
		return "remove VIPs from real servers"
	case RestoreServers:
		return "restore real servers"
	case RestoreHosts:
		return "restore hosts"
	default:
		return fmt.Sprintf("wave %d", int(w))
	}
}

// MarshalText implements encoding.TextMarshaler: in JSON a wave is its words.
func (w Wave) MarshalText() ([]byte, error) {
	if w < LoadModules || w > RestoreHosts {
		return nil, fmt.Errorf("there is no wave %d", int(w))
	}
	return []byte(w.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. Words that are no wave's
// are an error.
func (w *Wave) UnmarshalText(text []byte) error {
	for _, known := range Waves() {
		if string(text) == known.String() {
			*w = known
			return nil
		}
	}
	return fmt.Errorf("unknown wave %.40q", text)
}

// waveOf places a change. Restore: it puts back what was found.
func waveOf(c state.Change, role inventory.Role, restore bool) Wave {
	place := func(add, undo Wave) Wave {
		if restore {
			return undo
		}
		return add
	}
	switch does := partOf(c.ID().Kind); {
	case does == loads:
		return LoadModules
	case role == "":
		return place(PrepareHosts, RestoreHosts)
	case role == inventory.RoleGateway:
		return place(OpenGateways, CloseGateways)
	case does == balances:
		return place(AddServices, RemoveServices)
	case does == takesConnections:
		return place(AddDestinations, RemoveDestinations)
	case does == attracts && role == inventory.RoleDirector:
		return place(AddDirectorVIPs, RemoveDirectorVIPs)
	case does == attracts:
		return place(AddServerVIPs, RemoveServerVIPs)
	case role == inventory.RoleDirector:
		return place(PrepareDirectors, RestoreDirectors)
	default:
		return place(PrepareServers, RestoreServers)
	}
}

// part is what the items of a kind do for a service. It decides the wave.
type part int

const (
	loads part = iota + 1
	prepares
	attracts // traffic
	balances
	takesConnections
)

// partOf returns the part of a kind; 0: lvsform changes no such item.
func partOf(kind state.Kind) part {
	switch kind {
	case state.KindModule:
		return loads
	case state.KindFOUPort, state.KindTunnel, state.KindUp, state.KindSysctl, state.KindRoute, state.KindNeighbour, state.KindFirewallRule, state.KindTimeouts:
		return prepares
	case state.KindAddress:
		return attracts
	case state.KindService, state.KindSyncDaemon:
		return balances
	case state.KindDestination:
		return takesConnections
	default:
		return 0
	}
}
