package modes

import (
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/state"
)

// Source says whose address a real server sees as the source of a request.
type Source int

// The sources. The zero value is none of them: a mode must say which it is.
const (
	SourceClient   Source = iota + 1 // the client's (CIP)
	SourceDirector                   // the director's towards the real server (DIP), or one of the service's local addresses
)

// Traits are what a forwarding mode does to a packet. Each mode's file states
// its own, and whoever needs to know reads them here: nobody outside of this
// package decides by a mode's name.
type Traits struct {
	// Forward is how the director's IPVS is told to hand packets on.
	Forward state.Forward
	// KeepsDestination: the real server gets the packet for the VIP and the
	// service's port, so it must have the VIP. Otherwise the director puts the
	// real server's own address and port there.
	KeepsDestination bool
	// VIPWhereItArrives: the real server has the VIP on the device on which the
	// packet arrives, so a redirect on it leads to the VIP, too. Only with
	// KeepsDestination.
	VIPWhereItArrives bool
	// Tunnelled: the director puts the packet into another one to the real server.
	Tunnelled bool
	// Source is whose address the real server sees.
	Source Source
	// Local: the real server is the director itself. No mode has it of its own.
	Local bool
	// RepliesThroughDirector: the director must see the reply, to change it
	// back. Otherwise the reply must not pass it.
	RepliesThroughDirector bool
}

// RoutesBack reports whether the real server's own route to the client must lead
// through the director: the reply has the client's address, and the director must
// see it.
func (t Traits) RoutesBack() bool {
	return t.RepliesThroughDirector && t.Source == SourceClient
}

// NeedsSharedNetwork reports whether director and real server must have a network
// in common: a packet for the VIP reaches the real server by its MAC address, or
// the real server's route to the client has the director as its next hop.
func (t Traits) NeedsSharedNetwork() bool {
	return t.KeepsDestination && !t.Tunnelled || t.RoutesBack()
}

// TraitsOf returns the traits of a mode; the zero value for a mode this package
// has no file for, which is a bug that Check reports.
func TraitsOf(m inventory.Mode) Traits { return modeOf(m).traits }

// With returns the mode in which IPVS hands packets on in a way, and the real
// server sees a source; empty: there is none.
func With(forward state.Forward, source Source) inventory.Mode {
	for _, m := range inventory.Modes() {
		if t := TraitsOf(m); t.Forward == forward && t.Source == source {
			return m
		}
	}
	return ""
}

// traits are those of the leg's real server.
func (l leg) traits() Traits { return TraitsFor(l.Service, l.server) }
