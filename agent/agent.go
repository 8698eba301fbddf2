// Package agent is the half of lvsform that runs on a host: it answers
// observe, apply and the questions of verify, and keeps the journal.
package agent

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/state"
)

// Kernel is what the agent needs of this host's kernel; *kernel.Kernel is the
// real one, and documents each method.
type Kernel interface {
	Observe(context.Context, []state.ID) (state.Host, []state.Missing, error)
	Do(context.Context, state.Change) error
	ActiveConnections([]state.Destination) (uint64, error)
	Announce(state.Address) error
	Foreign(context.Context, []netip.Addr) ([]state.Foreign, error)
}

// Agent answers for one host.
type Agent struct {
	Kernel  Kernel
	Traffic Traffic
	Dir     string // journal.Dir, or a test's own
	Boot    string // which boot of the host this is, as in journal.Journal

	watch Watch // of verify, between two requests; nil while none runs

	// beforeWrite, which tests set, is called ahead of every change of a
	// journal's file and of the folder's removal; an error is the change's.
	beforeWrite func() error
}

// Serve says hello and answers requests until the input ends.
func (a *Agent) Serve(ctx context.Context, rw io.ReadWriter) error {
	if _, err := io.WriteString(rw, wire.Hello); err != nil {
		return err
	}
	defer a.letGo()
	return wire.Serve(ctx, rw, map[wire.Method]wire.Handler{
		wire.MethodObserve:  wire.Handle(a.observe),
		wire.MethodPrepare:  wire.Handle(a.prepare),
		wire.MethodAdopt:    wire.Handle(a.adopt),
		wire.MethodApply:    wire.Handle(a.apply),
		wire.MethodDrain:    wire.Handle(a.drain),
		wire.MethodSettle:   wire.Handle(a.settle),
		wire.MethodAnnounce: wire.Handle(a.announce),

		wire.MethodProbeOpen:   wire.Handle(a.probeOpen),
		wire.MethodFullSize:    wire.Handle(a.fullSize),
		wire.MethodFullReplies: wire.Handle(a.fullReplies),
		wire.MethodDataIn:      wire.Handle(a.dataIn),
		wire.MethodProbeClose:  wire.Handle(a.probeClose),
		wire.MethodConnections: wire.Handle(a.connections),
		wire.MethodSockets:     wire.Handle(a.sockets),
		wire.MethodListeners:   wire.Handle(a.listeners),
		wire.MethodStandIn:     wire.Handle(a.standInBegin),
		wire.MethodStandInEnd:  wire.Handle(a.standInEnd),
		wire.MethodWatchStart:  wire.Handle(a.watchStart),
		wire.MethodWatchStop:   wire.Handle(a.watchStop),
		wire.MethodWhoHas:      wire.Handle(a.whoHas),
		wire.MethodNeighbour:   wire.Handle(a.neighbour),
		wire.MethodEcho:        wire.Handle(a.echo),
		wire.MethodMACs:        wire.Handle(a.macs),
	})
}

// letGo ends whatever verify has left open. Nobody is there to hear of an error.
func (a *Agent) letGo() {
	_ = a.Traffic.EndStandIn()
	a.endWatch()
	_ = a.Traffic.CloseProbes()
}

// CheckRoot says why the agent cannot work for this user: even reading IPVS
// tables needs CAP_NET_ADMIN.
func CheckRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return fault.New(fault.Permission, "the agent runs as user %d and needs root; log in as root, or set ssh.sudo: true", uid)
	}
	return nil
}

func (a *Agent) observe(ctx context.Context, req wire.ObserveRequest) (wire.Observed, error) {
	journals, err := a.journals("")
	if err != nil {
		return wire.Observed{}, err
	}
	var out wire.Observed
	for _, j := range journals {
		if j.Topology == req.Topology {
			out.Journal = j.Journal()
		} else {
			out.Others = append(out.Others, j.Journal())
		}
	}
	asked := req.Asked
	for _, e := range out.Journal.Entries {
		asked = append(asked, e.ID())
	}
	out.State, out.Missing, err = a.Kernel.Observe(ctx, asked)
	if err == nil && len(req.VIPs) != 0 {
		out.Foreign, err = a.Kernel.Foreign(ctx, req.VIPs)
	}
	return out, err
}

func (a *Agent) apply(ctx context.Context, req wire.ApplyRequest) (wire.ApplyResult, error) {
	var res wire.ApplyResult
	for _, s := range req.Steps {
		if !s.Sound() {
			return res, fault.New(fault.Bug, "a step changes nothing, one thing into another, or removes what is to be kept")
		}
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return res, err
	}
	defer unlock()
	j, err := a.journal(req.Topology)
	if err != nil {
		return res, err
	}
	steps, err := a.current(ctx, j, req.Steps)
	if err != nil {
		return res, err
	}
	// What is about to be set is written down before it is set: whenever the
	// agent dies, the journal names at least all that it did.
	if known := j.Know(req.Members); j.Hold(steps, req.Part) || known && len(j.Entries) != 0 {
		if err := a.write(j); err != nil {
			return res, err
		}
	}
	done := 0
	for _, s := range steps {
		if s.Change.Before != s.Change.After { // it may have come by itself, and just so
			if err := a.Kernel.Do(ctx, s.Change); err != nil {
				res.Failed = fault.From(err)
				break
			}
		}
		done++
	}
	res.Done = len(req.Steps) - len(steps) + done
	// And what is put back is forgotten only after it is back.
	if j.Release(steps[:done]) {
		if err := a.write(j); err != nil {
			return res, err
		}
	}
	return res, nil
}

// current compares what the steps expect with what is there now, and returns
// the steps as they are now: what comes by itself (a module brings settings and
// its device with it) was not there yet when the plan was made. Left out are those
// that another run of the same topology has carried out meanwhile. Nor is a step of
// use that another topology on the host has come to be against. The error is of
// kind stale when something moved.
func (a *Agent) current(ctx context.Context, j *journal.Draft, planned []journal.Step) ([]journal.Step, error) {
	others, err := a.holders(j.Topology)
	if err != nil {
		return nil, err
	}
	asked := make([]state.ID, len(planned))
	for i, s := range planned {
		asked[i] = s.Change.ID()
	}
	now, _, err := a.Kernel.Observe(ctx, asked)
	if err != nil {
		return nil, err
	}
	var steps []journal.Step
	var stale []string
	brings := map[string]bool{} // keys of what the steps add: a tunnel has that of its device
	for _, s := range planned {
		is, there := now[s.Change.ID()]
		switch want := s.Change.Before; {
		case want != is && j.Did(s, is):
			continue
		case want == nil && there && is.Kind().Traits().ComesByItself:
			s.Change.Before = is
		case want != is:
			stale = append(stale, state.Moved(want, is))
		}
		if s.Change.Op() == state.Add {
			if id, needs := state.Needs(s.Change.After); needs && now[id] == nil && !brings[id.Key] {
				stale = append(stale, fmt.Sprintf("%s was there and is gone now, and %s needs it", id, state.IDOf(s.Change.After)))
			}
			brings[s.Change.ID().Key] = true
		}
		for _, other := range others[s.Change.ID()] {
			if s.Restore || other.Entries[s.Change.ID()].After.Item != s.Change.After {
				stale = append(stale, fmt.Sprintf("%s is held by topology %s now", state.Text(other.Entries[s.Change.ID()].After.Item), other.Topology))
			}
		}
		steps = append(steps, s)
	}
	return steps, moved(stale)
}

// moved is the error for a host that is not as a plan says; nil when nothing
// is different. It comes before the first change.
func moved(what []string) error {
	if len(what) == 0 {
		return nil
	}
	return fault.New(fault.Stale, "changed since the plan was made: %s", strings.Join(what, ", "))
}

func (a *Agent) announce(_ context.Context, req wire.AnnounceRequest) (wire.Nothing, error) {
	for _, addr := range req.Addresses {
		if err := a.Kernel.Announce(addr); err != nil {
			return wire.Nothing{}, err
		}
	}
	return wire.Nothing{}, nil
}

// errNoTopology guards the file names made from it.
var errNoTopology = fault.New(fault.Bug, "request without a valid topology name")
