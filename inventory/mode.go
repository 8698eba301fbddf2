package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// Mode is a forwarding mode.
type Mode string

// The forwarding modes. Each is a file of package modes.
const (
	ModeNAT     Mode = "nat"
	ModeDR      Mode = "dr"
	ModeTUN     Mode = "tun"
	ModeFullNAT Mode = "fullnat"
)

// modeRow is what the inventory's language has for a mode: the keys of a service
// and of a real server that no other modes have a use for, but those that name
// them, too.
type modeRow struct {
	mode                Mode
	service, realServer []string
}

// modeRows has one row a mode. A test of package modes holds the keys against
// what the modes do.
func modeRows() []modeRow {
	return []modeRow{
		{mode: ModeNAT, service: []string{"return_route"}},
		{mode: ModeDR, service: []string{"arp"}, realServer: []string{"redirect"}},
		{mode: ModeTUN, service: []string{"arp", "tunnel"}, realServer: []string{"tunnel", "redirect"}},
		{mode: ModeFullNAT, service: []string{"local_addresses"}},
	}
}

// Modes lists the forwarding modes that can be written.
func Modes() []Mode {
	var out []Mode
	for _, r := range modeRows() {
		out = append(out, r.mode)
	}
	return out
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
	return d.checkModeKeys(s.Path, used, func(r modeRow) []string { return r.service })
}

// checkRealServerModes reports keys that are not the real server's mode's.
func (d *decoder) checkRealServerModes(r *RealServer) bool {
	if r.Mode == "" {
		return true // reported there
	}
	return d.checkModeKeys(r.Path, []Mode{r.Mode}, func(r modeRow) []string { return r.realServer })
}

// checkModeKeys reports the keys that are written below a path, and belong to
// none of the modes that are used there.
func (d *decoder) checkModeKeys(path string, used []Mode, keysOf func(modeRow) []string) bool {
	owners := map[string][]Mode{} // by key
	for _, r := range modeRows() {
		for _, key := range keysOf(r) {
			owners[key] = append(owners[key], r.mode)
		}
	}
	ok := true
	for key, modes := range owners {
		useful := slices.ContainsFunc(used, func(m Mode) bool { return slices.Contains(modes, m) })
		if useful || !d.written(path+"."+key) {
			continue
		}
		what := fmt.Sprintf("belongs to mode %s, and here there is %s", words(modes, " or "), words(used, " and "))
		ok = d.problemAt(path+"."+key, what, "leave it out, or change the mode")
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
