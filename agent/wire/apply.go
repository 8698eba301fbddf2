package wire

import (
	"time"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// The methods that change a host. An error of kind stale says that the host is
// not as the plan says; then nothing was done.
const (
	// MethodPrepare sees to it that the journals can be read and written.
	// Request PrepareRequest, answer Nothing.
	MethodPrepare Method = "prepare"
	// MethodAdopt records what a plan found already in place.
	// Request AdoptRequest, answer Nothing.
	MethodAdopt Method = "adopt"
	// MethodApply carries out steps in their order, keeping the journal.
	// Request ApplyRequest, answer ApplyResult.
	MethodApply Method = "apply"
	// MethodDrain gives destinations weight 0 and waits until they hold no
	// active connection. Request DrainRequest, answer DrainResult.
	MethodDrain Method = "drain"
	// MethodAnnounce tells the segment where addresses are that the host has.
	// Request AnnounceRequest, answer Nothing.
	MethodAnnounce Method = "announce"
	// MethodSettle forgets what is no longer held, and removes a journal that
	// holds nothing.
	// Request SettleRequest, answer Nothing.
	MethodSettle Method = "settle"
)

// Nothing is an answer that says only that it was done.
type Nothing struct{}

// PrepareRequest begins a run on one host, before anything is changed on any.
type PrepareRequest struct {
	Topology string `json:"topology"`
	Size     int    `json:"size"` // bytes that its journal may grow by
}

// AdoptRequest is for what a host has already, ahead of the first wave.
type AdoptRequest struct {
	Topology string           `json:"topology"`
	Members  []journal.Member `json:"members"` // as in Journal
	Entries  []journal.Entry  `json:"entries"`
	Part     bool             `json:"part,omitempty"` // as in ApplyRequest
}

// ApplyRequest is a plan's work on one host in one wave.
type ApplyRequest struct {
	Topology string           `json:"topology"`
	Members  []journal.Member `json:"members"` // as in Journal
	Steps    []journal.Step   `json:"steps"`
	// Part says that the plan is for a part of the topology: what an item is
	// for beside that stays in the journal.
	Part bool `json:"part,omitempty"`
}

// ApplyResult tells how far the agent came. The journal holds every step that
// was begun.
type ApplyResult struct {
	Done   int          `json:"done"`             // steps carried out, from the first
	Failed *fault.Error `json:"failed,omitempty"` // why the step after those failed
}

func (r *ApplyResult) failure() *fault.Error { return r.Failed }

// DrainRequest names destinations that are about to go. One that has weight 0
// already is as good.
type DrainRequest struct {
	Topology     string              `json:"topology"` // whose journal holds them
	Destinations []state.Destination `json:"destinations"`
	Limit        time.Duration       `json:"limit"` // nanoseconds; 0 does not wait
}

// DrainResult tells what is left.
type DrainResult struct {
	Active uint64 `json:"active"` // connections still open when the limit passed
}

// AnnounceRequest names addresses.
type AnnounceRequest struct {
	Addresses []state.Address `json:"addresses"`
}

// SettleRequest ends a run on one host.
type SettleRequest struct {
	Topology string           `json:"topology"`
	Members  []journal.Member `json:"members"` // as in Journal
	Forget   []state.ID       `json:"forget,omitempty"`
	// HandOver is forgotten, too, and stays: another topology on the host holds
	// it. If none does any more, that is an error, and nothing is forgotten.
	HandOver []state.ID `json:"hand_over,omitempty"`
	// Keep leaves a journal in place that holds nothing: hosts that only the
	// journals know of still hold something.
	Keep bool `json:"keep,omitempty"`
	// Leave removes lvsform from the host when no topology holds anything there.
	Leave bool `json:"leave,omitempty"`
}
