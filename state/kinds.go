package state

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Kind names a kind of item.
type Kind string

// The kinds.
const (
	KindModule       Kind = "module"
	KindFOUPort      Kind = "fou-port"
	KindLink         Kind = "link"
	KindTunnel       Kind = "tunnel"
	KindUp           Kind = "up"
	KindSysctl       Kind = "sysctl"
	KindAddress      Kind = "address"
	KindRoute        Kind = "route"
	KindNeighbour    Kind = "neighbour"
	KindFirewallRule Kind = "firewall-rule"
	KindTimeouts     Kind = "timeouts"
	KindService      Kind = "service"
	KindDestination  Kind = "destination"
	KindSyncDaemon   Kind = "sync-daemon"
)

// Traits are the properties of a kind of item. Other packages ask for them
// and do not compare kinds.
type Traits struct {
	Kind Kind
	// Plural is the word for several items.
	Plural string
	// Observed kinds are only looked at. lvsform never changes them.
	Observed bool
	// Named kinds are read by name: a host is asked for single items. All
	// other kinds are read whole.
	Named bool
	// ByProgram kinds are set with a program of the host. They are read whole; a
	// host that is asked for one says if it cannot set it.
	ByProgram bool
	// ComesByItself is set when the kernel makes items of this kind itself,
	// together with a module or a device. Such an item can be there although it was
	// not there when the plan was made, and it is no sign of somebody's work.
	ComesByItself bool
	// Whole items are made by somebody for a purpose. They are not settings that
	// were always there: a change takes the item away from whoever made it.
	Whole bool
	// Balancer kinds are those that programs like keepalived make and change. A saved
	// plan depends on all of them, and the plan lists those that nobody manages.
	Balancer bool
	// Journalled kinds are noted in the journal and put back later.
	Journalled bool
	// Replaced is set when an item is a place that holds one value at a time: with
	// another value in it, it is the item of whoever set that. Items of other kinds
	// stay the thing they are, whatever somebody has changed about them.
	Replaced bool
	// GoesWithDevice is set when an item that was not there before belongs to
	// a device or a module: it goes with that, and nothing is to put back.
	GoesWithDevice bool

	disrupts func(Change) bool // nil: never
	needs    func(Item) ID     // nil: nothing
	decode   func([]byte) (Item, error)
}

// kinds has one row a kind, in dependency order: an item may need items of
// earlier kinds, never of later ones. Nothing changes it.
var kinds = [...]Traits{
	// A loaded module is never unloaded: there is nothing to put back.
	{Kind: KindModule, Plural: "modules", Named: true, ComesByItself: true, decode: decode[Module]},
	{Kind: KindFOUPort, Plural: "fou-ports", Journalled: true, decode: decode[FOUPort]},
	{Kind: KindLink, Plural: "links", Observed: true, ComesByItself: true, decode: decode[Link]},
	{Kind: KindTunnel, Plural: "tunnels", Journalled: true, disrupts: unlessInPlace, decode: decode[TunnelLink]},
	{Kind: KindUp, Plural: "up", ComesByItself: true, Journalled: true, disrupts: ifRemoved, needs: func(i Item) ID { return link(i.(Up).Link) }, decode: decode[Up]},
	{Kind: KindSysctl, Plural: "sysctls", Named: true, ComesByItself: true, Journalled: true, Replaced: true, GoesWithDevice: true, disrupts: stopsForwarding, decode: decode[Sysctl]},
	{Kind: KindAddress, Plural: "addresses", Journalled: true, disrupts: ifRemoved, needs: func(i Item) ID { return link(i.(Address).Link) }, decode: decode[Address]},
	{Kind: KindRoute, Plural: "routes", Journalled: true, Replaced: true, disrupts: unlessAdded, needs: func(i Item) ID { return link(i.(Route).Link) }, decode: decode[Route]},
	{Kind: KindNeighbour, Plural: "neighbours", Journalled: true, Replaced: true, needs: func(i Item) ID { return link(i.(Neighbour).Link) }, decode: decode[Neighbour]},
	{Kind: KindFirewallRule, Plural: "firewall-rules", ByProgram: true, Journalled: true, decode: decode[FirewallRule]},
	{Kind: KindTimeouts, Plural: "timeouts", ComesByItself: true, Journalled: true, Replaced: true, GoesWithDevice: true, decode: decode[Timeouts]},
	{Kind: KindService, Plural: "services", Whole: true, Balancer: true, Journalled: true, disrupts: ifRemoved, decode: decode[Service]},
	{Kind: KindDestination, Plural: "destinations", Balancer: true, Journalled: true, disrupts: breaksConnections, needs: serviceOf, decode: decode[Destination]},
	{Kind: KindSyncDaemon, Plural: "sync-daemons", Whole: true, Balancer: true, Journalled: true, decode: decode[SyncDaemon]},
}

// Kinds lists every kind in dependency order: an item may need items of
// earlier kinds, never of later ones.
func Kinds() []Kind {
	out := make([]Kind, len(kinds))
	for i, t := range kinds {
		out[i] = t.Kind
	}
	return out
}

// Traits returns the properties of a kind. A kind that does not exist has none:
// it is the zero value.
func (k Kind) Traits() Traits {
	if i := k.rank(); i >= 0 {
		return kinds[i]
	}
	return Traits{}
}

// rank is the place of a kind in dependency order; -1: there is no such kind.
func (k Kind) rank() int {
	return slices.IndexFunc(kinds[:], func(t Traits) bool { return t.Kind == k })
}

// Needs is what an item is part of or lies on, without which no kernel has it;
// false: nothing.
func Needs(i Item) (ID, bool) {
	needs := i.Kind().Traits().needs
	if needs == nil {
		return ID{}, false
	}
	return needs(i), true
}

func link(name string) ID { return ID{KindLink, name} }

// Disrupts tells whether the change ends or hinders traffic that flows now.
func (c Change) Disrupts() bool {
	disrupts := c.ID().Kind.Traits().disrupts
	return disrupts != nil && disrupts(c)
}

func ifRemoved(c Change) bool   { return c.Op() == Remove }
func unlessAdded(c Change) bool { return c.Op() != Add }

func decode[T Item](data []byte) (Item, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	return v, err
}
