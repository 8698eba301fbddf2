package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// Modes lists the forwarding modes that can be written. Each is a file of
// package modes.
func Modes() []Mode { return []Mode{ModeNAT, ModeDR, ModeTUN, ModeFullNAT} }

// modeKey is a key of a service or real server that only some modes have a
// use for.
type modeKey struct {
	key   string
	modes []Mode
}

// checkServiceModes reports keys of modes that neither the service nor one of
// its real servers has.
func (d *decoder) checkServiceModes(s *Service, fine *serviceParts) bool {
	if !fine.mode || !fine.realServers {
		return true // which modes there are is not known
	}
	used := []Mode{s.Mode}
	for _, r := range s.RealServers {
		used = append(used, r.Mode)
	}
	return d.checkModeKeys(s.Path, used, []modeKey{
		{"arp", []Mode{ModeDR, ModeTUN}},
		{"tunnel", []Mode{ModeTUN}},
		{"local_addresses", []Mode{ModeFullNAT}},
		{"return_route", []Mode{ModeNAT}},
	})
}

// checkRealServerModes reports keys that are not the real server's mode's.
func (d *decoder) checkRealServerModes(r *RealServer) bool {
	if r.Mode == "" {
		return true // reported there
	}
	return d.checkModeKeys(r.Path, []Mode{r.Mode}, []modeKey{
		{"tunnel", []Mode{ModeTUN}},
		{"redirect", []Mode{ModeDR, ModeTUN}},
	})
}

func (d *decoder) checkModeKeys(path string, used []Mode, keys []modeKey) bool {
	ok := true
	for _, k := range keys {
		useful := slices.ContainsFunc(used, func(m Mode) bool { return slices.Contains(k.modes, m) })
		if useful || !d.written(path+"."+k.key) {
			continue
		}
		what := fmt.Sprintf("belongs to mode %s, and here there is %s", words(k.modes, " or "), words(used, " and "))
		ok = d.problemAt(path+"."+k.key, what, "leave it out, or change the mode")
	}
	return ok
}

// words names the modes, each once.
func words(modes []Mode, and string) string {
	var names []string
	for _, m := range modes {
		if !slices.Contains(names, string(m)) {
			names = append(names, string(m))
		}
	}
	return strings.Join(names, and)
}

// encapsulationOf reads a whole encapsulation: what it does not say has the
// default, also where a real server's stands in place of the service's.
func encapsulationOf(to *Encapsulation) form {
	e := Encapsulation{Type: "ipip"}
	return objectOf(object{
		name: "Encapsulation",
		fields: []field{
			{key: "type", preset: e.Type, form: choiceOf("tunnel type", []string{"ipip", "gre", "gue"}, &e.Type),
				doc: "The tunnel's protocol."},
			{key: "port", form: portOf(&e.Port),
				doc: "The UDP port on which real servers receive; gue needs it, and nothing else has it."},
			{key: "checksum", preset: false, form: flagOf(&e.Checksum),
				doc: "Whether the outer header has a checksum: of gre and gue."},
		},
	}).and(func(d *decoder, v value, ok bool) bool {
		*to = e
		switch {
		case !ok:
		case e.Type == "gue" && e.Port == 0: // ip_vs_add_dest refuses it
			return d.problem(v, "port is missing", "gue is carried over UDP: write the real servers' port, such as 6080")
		case e.Type != "gue" && e.Port != 0:
			return d.problemAt(v.path+".port", e.Type+" has no port", "leave it out, or write type: gue")
		case e.Type == "ipip" && e.Checksum:
			return d.problemAt(v.path+".checksum", "ipip has no checksum", "leave it out, or write type: gre or type: gue")
		}
		return true
	})
}
