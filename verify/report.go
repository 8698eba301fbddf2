package verify

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// ReportVersion is the format_version of a Report.
const ReportVersion = "1"

// Report is the verdict on a topology.
type Report struct {
	FormatVersion string    `json:"format_version"`
	Passed        bool      `json:"passed"` // every service and tunnel did, and there is one
	Services      []Service `json:"services"`
	Tunnels       []Tunnel  `json:"tunnels,omitempty"`
}

// Tunnel is the verdict on a point-to-point tunnel.
type Tunnel struct {
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Passed bool    `json:"passed"` // every check did
	Checks []Check `json:"checks"`
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
	Mode       string `json:"mode,omitempty"`        // of the real server, where it is not the service's
	// Entry is where the client sent it, where that is not the VIP.
	Entry netip.AddrPort `json:"entry,omitzero"`
	// Tunnel is the outer packet in which it came to the real server.
	Tunnel string `json:"tunnel,omitempty"`
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

func newReport(services []Service, tunnels []Tunnel) *Report {
	r := &Report{FormatVersion: ReportVersion, Passed: len(services)+len(tunnels) != 0, Services: services, Tunnels: tunnels}
	if services == nil {
		r.Services = []Service{} // an array in JSON, not null
	}
	for _, s := range services {
		r.Passed = r.Passed && s.Passed
	}
	for _, t := range tunnels {
		r.Passed = r.Passed && t.Passed
	}
	return r
}

// probesShown is how many probes of a service the text lists; the JSON has all.
const probesShown = 8

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	services, tunnels := 0, 0
	for _, t := range r.Tunnels {
		if t.Passed {
			tunnels++
		}
		fmt.Fprintf(&b, "%s  %s tunnel  %s\n", t.Name, t.Type, verdict(t.Passed))
		writeChecks(&b, t.Checks)
		b.WriteByte('\n')
	}
	for _, s := range r.Services {
		if s.Passed {
			services++
		}
		s.writeText(&b)
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
		b.WriteString("FAILED: there is no service and no tunnel, so there is nothing to verify\n")
	case r.Passed:
		fmt.Fprintf(&b, "passed: %s\n", strings.Join(passed, ", "))
	default:
		fmt.Fprintf(&b, "FAILED: %s passed\n", strings.Join(of, " and "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func verdict(passed bool) string {
	if passed {
		return "passed"
	}
	return "FAILED"
}

func (s Service) writeText(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s  %s  %s\n", s.Name, s.Mode, verdict(s.Passed))
	for i, p := range s.Probes {
		if i == probesShown {
			fmt.Fprintf(b, "  ... %d more\n", len(s.Probes)-i)
			break
		}
		fmt.Fprintf(b, "  %s\n", p.text())
	}
	writeChecks(b, s.Checks)
	for _, n := range s.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
}

func writeChecks(b *bytes.Buffer, checks []Check) {
	width := 0
	for _, c := range checks {
		width = max(width, len(c.Name))
	}
	for _, c := range checks {
		mark := "ok    "
		if !c.Passed {
			mark = "FAILED"
		}
		fmt.Fprintf(b, "  %s  %-*s  %s\n", mark, width, c.Name, c.Evidence)
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
	if p.Tunnel != "" {
		text += " in " + p.Tunnel
	}
	switch {
	case p.Error != "":
		return fmt.Sprintf("%s: %s", p.Client, p.Error)
	case p.Source.IsValid():
		return fmt.Sprintf("%s, which saw %s -> %s", text, p.Source, p.Destination)
	default:
		return text
	}
}

// count is a number with its noun: 1 probe, 2 probes.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
