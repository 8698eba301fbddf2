package importer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// sketch is an inventory in the making.
type sketch struct {
	inv      *inventory.Inventory
	comments comments
	assumed  []Note
	told     map[assumption]bool // what is in assumed
	found    *read.Found         // what a text tells; of live hosts, nothing
	left     []read.Left
	origins  map[any]read.Left // where services and real servers come from
}

// assumption is a note and the value that it is about.
type assumption struct {
	at
	Note
}

func newSketch(name string) *sketch {
	return &sketch{
		inv:      &inventory.Inventory{Version: 1, Name: name},
		comments: comments{}, told: map[assumption]bool{}, found: &read.Found{}, origins: map[any]read.Left{},
	}
}

func (d *sketch) leave(line int, what, why string, args ...any) {
	d.left = append(d.left, d.found.Leave(line, what, fmt.Sprintf(why, args...)))
}

// assume notes what is not known. What is the value's name for people: of a
// part of it, "whole: part". The comment stands behind the value itself, after
// those that are there.
func (d *sketch) assume(of any, key, what, why string) {
	place, note := at{of, key}, Note{what, why}
	if d.told[assumption{place, note}] {
		return
	}
	d.told[assumption{place, note}] = true
	d.assumed = append(d.assumed, note)
	switch before := d.comments[place]; before {
	case "":
		d.comments[place] = "assumed: " + why
	case "assumed: " + why: // of the whole
	default:
		if _, part, ok := strings.Cut(what, ": "); ok {
			why = part + ": " + why
		}
		d.comments[place] = before + "; " + why
	}
}

// forget takes back what is assumed of a value.
func (d *sketch) forget(of any, key string) {
	place := at{of, key}
	delete(d.comments, place)
	d.assumed = slices.DeleteFunc(d.assumed, func(n Note) bool {
		told := d.told[assumption{place, n}]
		delete(d.told, assumption{place, n})
		return told
	})
}

// finish writes the sketch, and leaves out what an inventory refuses.
func (d *sketch) finish(hints Hints) (*Result, error) {
	for {
		read.SortLeft(d.left)
		lacks := toVerify(d.inv)
		text, written, err := d.text(hints, lacks)
		if err != nil {
			return nil, err
		}
		inv, err := inventory.Parse(hints.File, text)
		if err == nil && hints.Lab && d.dropServers(modes.Check(inv), written) {
			continue
		}
		if err == nil {
			return &Result{Text: text, Inventory: inv, Left: d.left, Assumed: d.assumed, ToVerify: lacks, Problems: modes.Check(inv)}, nil
		}
		var problems inventory.Problems
		if !errors.As(err, &problems) || !d.drop(problems, written) {
			return nil, fmt.Errorf("what was found makes no inventory: %w", err)
		}
	}
}

// ToVerify is the title of the list of what an inventory without a client lacks.
const ToVerify = "No host is a client, from which verify sends its traffic. These lines make one; words in capitals stand for what you know"

// maxLeft is how many lines of the list of what is left stand in the inventory itself.
const maxLeft = 200

func (d *sketch) text(hints Hints, lacks []Addition) ([]byte, values, error) {
	head := []string{"Imported by lvsform from " + hints.Source + "."}
	if hints.Lab {
		head = append(head, "It is for lvsform lab: what is made up is not on real hosts.")
	}
	if len(d.left) != 0 {
		head = append(head, "", "Not carried over:")
		list := ListLeft(d.left)
		for i, line := range list {
			if i == maxLeft {
				head = append(head, fmt.Sprintf("  and %d lines more", len(list)-i))
				break
			}
			head = append(head, "  "+line)
		}
	}
	if len(lacks) != 0 {
		head = append(head, "", ToVerify+":")
		for _, line := range ListAdditions(lacks) {
			head = append(head, "  "+line)
		}
	}
	return writer{inv: d.inv, comments: d.comments, head: head}.text()
}

// drop takes out of the sketch what the problems are about, and reports whether
// it took anything out.
func (d *sketch) drop(problems inventory.Problems, written values) bool {
	gone := map[any]string{} // and why
	for _, p := range problems {
		if v := written.around(p.Path); v != nil && gone[v] == "" {
			gone[v] = p.What
		}
	}
	before := len(d.left)
	inv := d.inv
	for _, s := range inv.Services {
		s.RealServers = keep(d, s.RealServers, gone)
		if len(s.RealServers) == 0 && gone[s] == "" {
			gone[s] = "no real server of it is left"
		}
	}
	inv.Services = keep(d, inv.Services, gone)
	inv.Tunnels = keep(d, inv.Tunnels, gone)
	for _, h := range inv.Hosts {
		h.Routes = keep(d, h.Routes, gone)
		h.Forwards = keep(d, h.Forwards, gone)
		h.IPVS.Sync = keep(d, h.IPVS.Sync, gone)
		if why := gone[&h.IPVS.Timeouts]; why != "" {
			d.leave(0, h.Name+": timeouts of IPVS", "%s", why)
			h.IPVS.Timeouts = nil
		}
		if why := gone[&h.IPVS.Sysctls]; why != "" {
			d.leave(0, h.Name+": settings of IPVS", "%s", why)
			h.IPVS.Sysctls = nil
		}
		if why := gone[&h.Gateways]; why != "" {
			d.leave(0, h.Name+": default routes", "%s", why)
			h.Gateways = nil
		}
	}
	return len(d.left) != before
}

// dropServers takes the real servers out of the sketch whose service cannot
// work with them, and reports whether there were any.
func (d *sketch) dropServers(problems inventory.Problems, written values) bool {
	var theirs inventory.Problems
	for _, p := range problems {
		switch written.around(p.Path).(type) {
		case *inventory.RealServer, *inventory.Service:
			// The service is told where it is left.
			if why, ok := strings.CutPrefix(p.What, "service "); ok {
				if _, why, ok = strings.Cut(why, ": "); ok {
					p.What = why
				}
			}
			theirs = append(theirs, p)
		}
	}
	return d.drop(theirs, written)
}

// keep is what is not gone.
func keep[T comparable](d *sketch, all []T, gone map[any]string) []T {
	var out []T
	for _, v := range all {
		why := gone[v]
		if why == "" {
			out = append(out, v)
			continue
		}
		from := d.origins[v]
		if from.Text == "" {
			from.Text = fmt.Sprint(describe(v))
		}
		from.Why = why
		d.left = append(d.left, from)
	}
	return out
}

func describe(v any) string {
	switch v := v.(type) {
	case *inventory.Service:
		return "virtual service " + unnamed(v)
	case *inventory.RealServer:
		return "real server " + v.Host.Name
	case *inventory.Route:
		return fmt.Sprintf("route %s via %s", v.To, v.Via)
	case *inventory.PortForward:
		return fmt.Sprintf("port forward %s to %s", v.Listen, v.To)
	case *inventory.Tunnel:
		return "tunnel " + v.Name
	case *inventory.Sync:
		return "sync daemon " + v.Role
	default:
		return "a value"
	}
}
