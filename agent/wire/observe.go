package wire

import (
	"net/netip"

	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// MethodObserve reads the host's live state; it changes nothing, not even the
// set of loaded modules. Request ObserveRequest, answer Observed.
const MethodObserve Method = "observe"

// ObserveRequest says what to look at. Devices, addresses, virtual services
// and destinations are always read whole; modules and settings only when named.
type ObserveRequest struct {
	Topology string     `json:"topology"` // whose journal to bring along
	Asked    []state.ID `json:"asked,omitempty"`
	// VIPs are the addresses of which signs of other owners are looked for.
	VIPs []netip.Addr `json:"vips,omitempty"`
}

// Observed is the host's live state and what lvsform knows of it.
type Observed struct {
	State   state.Host      `json:"state"`
	Missing []state.Missing `json:"missing,omitempty"`
	Journal journal.Journal `json:"journal"` // empty where there is none yet
	// Others are the journals of the other topologies on this host.
	Others []journal.Journal `json:"others,omitempty"`
	// Foreign are signs of somebody else's work on the VIPs.
	Foreign []state.Foreign `json:"foreign,omitempty"`
}
