package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/fault"
)

// Outcome is what a check came to.
type Outcome string

// The outcomes. A failed check beats an unknown one, wherever they are put
// together.
const (
	Passed  Outcome = "passed"  // the evidence is there, and all of it is as it must be
	Failed  Outcome = "failed"  // some of the evidence is not
	Unknown Outcome = "unknown" // nothing is wrong, and some of the evidence is missing
)

// together is the outcome of several; of none it is unknown.
func together(outcomes []Outcome) Outcome {
	switch {
	case slices.Contains(outcomes, Failed):
		return Failed
	case len(outcomes) == 0 || slices.Contains(outcomes, Unknown):
		return Unknown
	default:
		return Passed
	}
}

// finding is what a check found in the evidence. The outcome follows from it,
// and so does the text.
type finding struct {
	wrong   []string       // what is not as it must be
	open    []string       // what the evidence cannot tell, though everybody was asked
	missing []*fault.Error // who could not be asked
	untold  []string       // what is open, too, if nobody is missing who would have told it
	seen    string         // what was seen; empty: nothing
	facts   Facts
}

// check draws the conclusion.
func (f finding) check(name string) Check {
	out := Check{Name: name, Facts: f.facts, Missing: f.missing}
	if len(f.missing) == 0 {
		f.open = slices.Concat(f.open, f.untold)
	}
	texts := slices.Concat(f.wrong, f.open)
	for _, m := range f.missing {
		texts = append(texts, m.Message)
	}
	switch {
	case len(f.wrong) != 0:
		out.Outcome = Failed
	case len(texts) != 0:
		out.Outcome = Unknown
	case f.seen == "":
		out.Outcome, texts = Unknown, []string{"there is no evidence"}
	default:
		out.Outcome = Passed
	}
	if f.seen != "" {
		texts = append(texts, f.seen)
	}
	out.Evidence = strings.Join(texts, "; ")
	return out
}

// check is the check with what could not be asked for it, and for others that it
// rests on.
func (e *evidence) check(name string, f finding, restsOn ...string) Check {
	for _, n := range append(restsOn, name) {
		f.missing = append(f.missing, e.missing[n]...)
	}
	return f.check(name)
}

// Facts are the numbers a check rests on. What is zero is left out.
type Facts struct {
	Counted  int      `json:"counted,omitempty"`  // probes, clients, echoes or questions that the check looked at
	Right    int      `json:"right,omitempty"`    // how many of them were as they must be
	Repeated int      `json:"repeated,omitempty"` // how many of them had their request sent again because a packet was lost
	Late     int      `json:"late,omitempty"`     // how many more had it sent again though nothing was lost
	Requests int      `json:"requests,omitempty"` // packets of requests that the directors saw
	Replies  int      `json:"replies,omitempty"`  // packets of replies that the directors saw
	Octets   int      `json:"octets,omitempty"`   // of the largest IP packet that was acknowledged
	Shares   []Share  `json:"shares,omitempty"`   // what each real server got of what was counted
	Answers  []Answer `json:"answers,omitempty"`  // who has the VIP, as somebody found who asked
}

// Share is what one real server got.
type Share struct {
	RealServer string `json:"real_server"` // host
	Got        int    `json:"got"`
	Due        *Range `json:"due,omitempty"` // not there when the scheduler promises no number
}

// Range is from the least to the most.
type Range struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

func (r Range) String() string {
	if r.Least == r.Most {
		return fmt.Sprint(r.Least)
	}
	return fmt.Sprintf("%d to %d", r.Least, r.Most)
}

// Answer is what one host found when it asked who has an address: the VIP, or a
// local address.
type Answer struct {
	Host   string   `json:"host"`
	Device string   `json:"device"`
	MACs   []string `json:"macs"` // that answered, or of its neighbour entry
	// Address is what it asked for, where that is not the VIP.
	Address netip.Addr `json:"address,omitzero"`
}

// Stage is how far a probe came on its way, as far as somebody saw it.
type Stage string

// The stages, in their order. A probe that was seen nowhere but at its client
// has been sent; where a host could not be asked, it may have come farther.
const (
	StageNotSent      Stage = "not-sent"       // the client has no route, or no port
	StageSent         Stage = "sent"           // by the client
	StageAtDirector   Stage = "at-director"    // the director saw its packets
	StageScheduled    Stage = "scheduled"      // the director's connection table has it
	StageAtRealServer Stage = "at-real-server" // it came in there; of a tunnel, in the outer packet
	StageDecapsulated Stage = "decapsulated"   // it came out of the tunnel
	StageAccepted     Stage = "accepted"       // a socket of the real server has it
	StageAnswered     Stage = "answered"       // the director saw a reply
	StageBack         Stage = "back-at-client" // the client has the reply
)

// stage is how far the probe came.
func (p *probe) stage() Stage {
	switch {
	case p.failed == "" && !p.silent:
		return StageBack
	case p.replies != 0:
		return StageAnswered
	case p.socket != nil:
		return StageAccepted
	case p.arrived != nil && p.wrapped != nil:
		return StageDecapsulated
	case p.arrived != nil, p.wrapped != nil:
		return StageAtRealServer
	case p.row != nil:
		return StageScheduled
	case p.requests != 0:
		return StageAtDirector
	case p.local.IsValid():
		return StageSent
	default:
		return StageNotSent
	}
}
