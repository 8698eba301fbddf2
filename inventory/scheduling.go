package inventory

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// schedulers are those of the kernel (net/netfilter/ipvs), by their names in
// ipvsadm(8).
func schedulers() []string {
	return []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"}
}

// schedulerFlag is a name of ipvsadm(8) for one of the three flags a
// scheduler has.
type schedulerFlag struct {
	name, flag string
	scheduler  string // whose name it is; empty: anybody's
}

func schedulerFlags() []schedulerFlag {
	return []schedulerFlag{
		{"sh-fallback", "flag-1", "sh"}, {"sh-port", "flag-2", "sh"},
		{"mh-fallback", "flag-1", "mh"}, {"mh-port", "flag-2", "mh"},
		{"flag-1", "flag-1", ""}, {"flag-2", "flag-2", ""}, {"flag-3", "flag-3", ""},
	}
}

func schedulerFlagsOf(s *Service, fine *serviceParts) form {
	var names []string
	for _, f := range schedulerFlags() {
		names = append(names, f.name)
	}
	return listOf("a list of scheduler flags", &s.Flags, func(to *string) form {
		return choiceOf("scheduler flag", names, to).and(func(d *decoder, v value, ok bool) bool {
			i := slices.Index(names, *to)
			if !ok || i < 0 {
				return true
			}
			f := schedulerFlags()[i]
			if f.scheduler != "" && f.scheduler != s.Scheduler && fine.scheduler {
				return d.problem(v, fmt.Sprintf("%s is a flag of scheduler %s, and the scheduler here is %s", f.name, f.scheduler, s.Scheduler),
					"leave it out, or write scheduler: "+f.scheduler)
			}
			if slices.Contains(s.Flags, f.flag) {
				return d.again(v, fmt.Sprintf("%s again", f.name), "want each flag once")
			}
			*to = f.flag
			return true
		})
	}).and(func(_ *decoder, _ value, _ bool) bool {
		slices.Sort(s.Flags)
		return true
	})
}

func persistenceOf(s *Service) form {
	const usual = 300 // ipvsadm(8), --persistent without a value
	p := &s.Persistence
	timeout := func() form { return numberOf("seconds, 1 to 2678400", 1, maxTimeout, &p.Timeout) }
	whole := objectOf(object{
		name: "Persistence",
		fields: []field{
			{key: "timeout", preset: usual, form: timeout(),
				doc: "How long a client without connections is remembered."},
			{key: "netmask", form: netmaskOf(s, &p.Bits),
				doc: "How much of a client's address counts: clients that differ in the rest only are one. All of it when there is none."},
			{key: "engine", form: choiceOf("persistence engine", []string{"sip"}, &p.Engine),
				doc: "Tells clients apart by the SIP Call-ID in place of their addresses. udp."},
		},
	}).and(func(_ *decoder, _ value, _ bool) bool {
		if p.Timeout == 0 {
			p.Timeout = usual
		}
		return true
	})
	return either("seconds, or a mapping with timeout, netmask and engine", timeout(), whole)
}

// netmaskOf reads a prefix length, or an IPv4 netmask as ipvsadm(8) has it.
func netmaskOf(s *Service, to *int) form {
	is := "a prefix length, or an IPv4 netmask"
	return form{
		is: is,
		schema: func() jsonSchema {
			return jsonSchema{"anyOf": []jsonSchema{
				{"type": "integer", "minimum": 1, "maximum": 128},
				{"type": "string", "format": "ipv4"},
			}}
		},
		read: func(d *decoder, v value) bool {
			four := !s.VIP.IsValid() || s.VIP.Is4()
			mask, err := netip.ParseAddr(v.node.Value)
			switch {
			case err == nil && mask.Is4() && four:
				m := mask.As4()
				ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(m[:]))
				if ones == 0 || binary.BigEndian.Uint32(m[:])<<ones != 0 {
					return d.problem(v, fmt.Sprintf("%s is not a netmask", mask), "want one such as 255.255.255.0, or a prefix length, 1 to 32")
				}
				*to = ones
				return true
			case s.VIP.IsValid() && four:
				return numberOf("a prefix length, 1 to 32, or a netmask such as 255.255.255.0", 1, 32, to).read(d, v)
			default:
				return numberOf("a prefix length, 1 to 128", 1, 128, to).read(d, v)
			}
		},
	}
}
