package verify

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plain"
)

// ReportVersion is the format_version of a Report.
const ReportVersion = "2"

// Report is the verdict on a topology.
type Report struct {
	FormatVersion string    `json:"format_version"`
	Outcome       Outcome   `json:"outcome"` // of all services and tunnels together; of none it is unknown
	Services      []Service `json:"services"`
	Tunnels       []Tunnel  `json:"tunnels,omitempty"`
}

// Tunnel is the verdict on a point-to-point tunnel.
type Tunnel struct {
	Name    string  `json:"name"`
	Type    string  `json:"type"`
	Outcome Outcome `json:"outcome"` // of all checks together
	Checks  []Check `json:"checks"`
}

// Service is the verdict on a virtual service.
type Service struct {
	Name    string  `json:"name"`
	Mode    string  `json:"mode"`
	Outcome Outcome `json:"outcome"` // of all checks together
	Probes  []Probe `json:"probes"`
	Checks  []Check `json:"checks"`
	// Notes tell what was left out, and why.
	Notes []string `json:"notes,omitempty"`
}

// Probe is one connection of a client to the service.
type Probe struct {
	Client     string `json:"client"`                // host
	RealServer string `json:"real_server,omitempty"` // host; empty: not known
	Mode       string `json:"mode,omitempty"`        // of the real server, where it is not the service's
	Stage      Stage  `json:"stage"`                 // how far it came, as far as somebody saw it
	// Entry is where the client sent it, where that is not the VIP.
	Entry netip.AddrPort `json:"entry,omitzero"`
	// Tunnel is the outer packet in which it came to the real server.
	Tunnel   *modes.Outer `json:"tunnel,omitempty"`
	Requests int          `json:"requests,omitempty"` // packets of it that the directors saw
	Replies  int          `json:"replies,omitempty"`  // packets of the answer that the directors saw
	Repeats  int          `json:"repeats"`            // how often its request was sent again: the packet with SYN, or the datagram
	// Microseconds is the time from the first request until the connection was
	// open, or the answer there; not there when neither came.
	Microseconds int  `json:"microseconds,omitempty"`
	Late         bool `json:"late,omitempty"` // nothing was lost: each request was answered, the first after it had been sent again
	// Source and Destination are what the real server saw; not set when no
	// real server had the connection, or it is known only how it came in at a
	// director that is the real server, and changes the destination after.
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
	Error       string         `json:"error,omitempty"` // why it did not connect
}

// Check is one thing that was checked. Names are stable.
type Check struct {
	Name     string  `json:"name"`
	Outcome  Outcome `json:"outcome"`
	Evidence string  `json:"evidence"` // for people
	Facts    Facts   `json:"facts"`
	// Missing is what could not be asked; what follows from it is unknown.
	Missing []*fault.Error `json:"missing,omitempty"`
}

func newReport(services []Service, tunnels []Tunnel) *Report {
	r := &Report{FormatVersion: ReportVersion, Services: services, Tunnels: tunnels}
	if services == nil {
		r.Services = []Service{} // an array in JSON, not null
	}
	var outcomes []Outcome
	for _, s := range services {
		outcomes = append(outcomes, s.Outcome)
	}
	for _, t := range tunnels {
		outcomes = append(outcomes, t.Outcome)
	}
	r.Outcome = together(outcomes)
	return r
}

// Fault is why the report is not good: of kind verification where test traffic
// failed, and where something is unknown, of the kind of what could not be asked
// first. It is nil when all passed.
func (r *Report) Fault() *fault.Error {
	switch r.Outcome {
	case Passed:
		return nil
	case Failed:
		return fault.New(fault.Verification, "test traffic did not pass; the report says why")
	}
	kind := fault.Verification
	if missing := r.missing(); len(missing) != 0 {
		kind = missing[0].Kind
	}
	return fault.New(kind, "not all could be verified; the report says why")
}

// missing is all that could not be asked.
func (r *Report) missing() []*fault.Error {
	var out []*fault.Error
	for _, t := range r.Tunnels {
		for _, c := range t.Checks {
			out = append(out, c.Missing...)
		}
	}
	for _, s := range r.Services {
		for _, c := range s.Checks {
			out = append(out, c.Missing...)
		}
	}
	return out
}

// probesShown is how many probes of a service the text lists; the JSON has all.
const probesShown = 8

// WriteText writes the report for people, for a terminal of so many columns; 0:
// there is none, and no line is broken.
func (r *Report) WriteText(w io.Writer, width int) error {
	var b bytes.Buffer
	services, tunnels := 0, 0
	for _, t := range r.Tunnels {
		if t.Outcome == Passed {
			tunnels++
		}
		fmt.Fprintf(&b, "%s  %s tunnel  %s\n", t.Name, t.Type, t.Outcome.headline())
		writeChecks(&b, t.Checks, width)
		b.WriteByte('\n')
	}
	for _, s := range r.Services {
		if s.Outcome == Passed {
			services++
		}
		s.writeText(&b, width)
		b.WriteByte('\n')
	}
	var passed, of []string
	for _, kind := range []struct {
		noun      string
		passed, n int
	}{{"service", services, len(r.Services)}, {"tunnel", tunnels, len(r.Tunnels)}} {
		if kind.n != 0 {
			passed = append(passed, count(kind.passed, kind.noun))
			of = append(of, fmt.Sprintf("%d of %s", kind.passed, count(kind.n, kind.noun)))
		}
	}
	switch {
	case len(of) == 0:
		b.WriteString("UNKNOWN: there is no service and no tunnel, so there is nothing to verify\n")
	case r.Outcome == Passed:
		fmt.Fprintf(&b, "passed: %s\n", strings.Join(passed, ", "))
	default:
		fmt.Fprintf(&b, "%s: %s passed\n", r.Outcome.headline(), strings.Join(of, " and "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headline is the outcome as a verdict ends with it: what is not good stands out.
func (o Outcome) headline() string {
	if o == Passed {
		return string(o)
	}
	return strings.ToUpper(string(o))
}

func (s Service) writeText(b *bytes.Buffer, width int) {
	fmt.Fprintf(b, "%s  %s  %s\n", s.Name, s.Mode, s.Outcome.headline())
	for i, p := range s.Probes {
		if i == probesShown {
			fmt.Fprintf(b, "  ... %d more\n", len(s.Probes)-i)
			break
		}
		writeLine(b, "  ", p.text(), width)
	}
	writeChecks(b, s.Checks, width)
	for _, n := range s.Notes {
		writeLine(b, "  note: ", n, width)
	}
}

// writeLine writes a line that may be broken into several.
func writeLine(b *bytes.Buffer, begin, text string, width int) {
	b.WriteString(begin + plain.Wrap(text, width, len(begin), "      ") + "\n")
}

// writeChecks writes checks, one below the other. Evidence that does not fit into
// the width is under its check.
func writeChecks(b *bytes.Buffer, checks []Check, width int) {
	names := 0
	for _, c := range checks {
		names = max(names, len(c.Name))
	}
	for _, c := range checks {
		mark := c.Outcome.headline()
		if c.Outcome == Passed {
			mark = "ok"
		}
		const under = "           " // the name
		line := fmt.Sprintf("  %-7s  %-*s  %s", mark, names, c.Name, c.Evidence)
		if width > 0 && utf8.RuneCountInString(line) > width {
			line = fmt.Sprintf("  %-7s  %s\n%s%s", mark, c.Name, under, plain.Wrap(c.Evidence, width, len(under), under))
		}
		b.WriteString(line + "\n")
	}
}

func (p Probe) text() string {
	server := p.RealServer
	if server == "" {
		server = "unknown real server"
	}
	if p.Mode != "" {
		server += " (" + p.Mode + ")"
	}
	client := p.Client
	if p.Entry.IsValid() {
		client += " -> " + p.Entry.String()
	}
	text := fmt.Sprintf("%s -> %s", client, server)
	if p.Tunnel != nil {
		text += " in " + tunnelText(*p.Tunnel)
	}
	switch {
	case p.Error != "":
		return fmt.Sprintf("%s: %s", p.Client, p.Error)
	case p.Source.IsValid():
		text = fmt.Sprintf("%s, which saw %s -> %s", text, p.Source, p.Destination)
	}
	return text + p.delay()
}

// slow is from when on a probe's time stands out: that of a way around the world.
const slow = 200 * time.Millisecond

// delay tells time and repeats where they stand out.
func (p Probe) delay() string {
	took := time.Duration(p.Microseconds) * time.Microsecond
	switch {
	case p.Repeats != 0:
		return fmt.Sprintf("; answered after %d ms, sent %d times", took.Milliseconds(), p.Repeats+1)
	case took >= slow:
		return fmt.Sprintf("; answered after %d ms", took.Milliseconds())
	default:
		return ""
	}
}

// count is a number with its noun: 1 probe, 2 probes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
