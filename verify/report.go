package verify

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
)

// ReportVersion is the format_version of a Report.
const ReportVersion = "1"

// Report is the verdict on a topology.
type Report struct {
	FormatVersion string    `json:"format_version"`
	Passed        bool      `json:"passed"` // every service did, and there is one
	Services      []Service `json:"services"`
}

// Service is the verdict on a virtual service.
type Service struct {
	Name   string  `json:"name"`
	Mode   string  `json:"mode"`
	Passed bool    `json:"passed"` // every check did, and there is one
	Probes []Probe `json:"probes"`
	Checks []Check `json:"checks"`
	// Notes tell what was left out, and why.
	Notes []string `json:"notes,omitempty"`
}

// Probe is one connection of a client to the service.
type Probe struct {
	Client     string `json:"client"`                // host
	RealServer string `json:"real_server,omitempty"` // host; empty: not known
	// Source and Destination are what the real server saw; not set when no
	// real server had the connection.
	Source      netip.AddrPort `json:"source,omitzero"`
	Destination netip.AddrPort `json:"destination,omitzero"`
	Error       string         `json:"error,omitempty"` // why it did not connect
}

// Check is one thing that was checked. Names are stable.
type Check struct {
	Name     string `json:"name"`
	Passed   bool   `json:"passed"`
	Evidence string `json:"evidence"`
}

func newReport(services []Service) *Report {
	r := &Report{FormatVersion: ReportVersion, Passed: len(services) != 0, Services: services}
	if services == nil {
		r.Services = []Service{} // an array in JSON, not null
	}
	for _, s := range services {
		r.Passed = r.Passed && s.Passed
	}
	return r
}

// probesShown is how many probes of a service the text lists; the JSON has all.
const probesShown = 8

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	passed := 0
	for _, s := range r.Services {
		if s.Passed {
			passed++
		}
		s.writeText(&b)
		b.WriteByte('\n')
	}
	switch {
	case len(r.Services) == 0:
		b.WriteString("FAILED: there is no service to verify\n")
	case r.Passed:
		fmt.Fprintf(&b, "passed: %s\n", count(passed, "service"))
	default:
		fmt.Fprintf(&b, "FAILED: %d of %s passed\n", passed, count(len(r.Services), "service"))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (s Service) writeText(b *bytes.Buffer) {
	verdict := "passed"
	if !s.Passed {
		verdict = "FAILED"
	}
	fmt.Fprintf(b, "%s  %s  %s\n", s.Name, s.Mode, verdict)
	for i, p := range s.Probes {
		if i == probesShown {
			fmt.Fprintf(b, "  ... %d more\n", len(s.Probes)-i)
			break
		}
		fmt.Fprintf(b, "  %s\n", p.text())
	}
	width := 0
	for _, c := range s.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range s.Checks {
		mark := "ok    "
		if !c.Passed {
			mark = "FAILED"
		}
		fmt.Fprintf(b, "  %s  %-*s  %s\n", mark, width, c.Name, c.Evidence)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
}

func (p Probe) text() string {
	server := p.RealServer
	if server == "" {
		server = "unknown real server"
	}
	switch {
	case p.Error != "":
		return fmt.Sprintf("%s: %s", p.Client, p.Error)
	case p.Source.IsValid():
		return fmt.Sprintf("%s -> %s, which saw %s -> %s", p.Client, server, p.Source, p.Destination)
	default:
		return fmt.Sprintf("%s -> %s", p.Client, server)
	}
}

// count is a number with its noun: 1 probe, 2 probes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
