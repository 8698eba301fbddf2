package plan

import (
	"fmt"
	"slices"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plain"
	"github.com/lvsform/lvsform/state"
)

// Unrecorded is what a host has as the inventory says, without a journal, though
// the journals of others name the host: its own may have been lost.
type Unrecorded struct {
	NamedBy []string   `json:"named_by"` // the hosts whose journals name it, in the order of the inventory
	Items   []state.ID `json:"items"`    // as the inventory says
}

// unrecorded are the hosts that may have lost their journals, by name. One to
// which the topology was never applied is among them only if it has something
// just so by chance.
func unrecorded(inv *inventory.Inventory, desired modes.Desired, observed map[string]Observation) map[string]*Unrecorded {
	naming := map[string][]string{}
	for _, h := range inv.Hosts {
		if o := observed[h.Name]; o.Err == nil && len(o.Journal.Entries) != 0 {
			for _, m := range o.Journal.Members {
				naming[m.Name] = append(naming[m.Name], h.Name)
			}
		}
	}
	out := map[string]*Unrecorded{}
	for _, h := range inv.Hosts {
		o := observed[h.Name]
		if o.Err != nil || len(o.Journal.Entries)+len(o.Journal.Members) != 0 || naming[h.Name] == nil {
			continue
		}
		others := elsewhere(o.Observed)
		var items []state.ID
		for _, w := range desired[h.Name] {
			id := state.IDOf(w.Item)
			if w.Checked == nil && id.Kind.Traits().Journalled && o.State.Has(w.Item) && others[id].topology == "" {
				items = append(items, id)
			}
		}
		if items != nil {
			slices.SortFunc(items, state.Compare)
			out[h.Name] = &Unrecorded{naming[h.Name], items}
		}
	}
	return out
}

// text is what people read of it; empty for nil.
func (u *Unrecorded) text() string {
	if u == nil {
		return ""
	}
	whose, names := "that of "+u.NamedBy[0], "names"
	if n := len(u.NamedBy) - 1; n != 0 {
		whose, names = fmt.Sprintf("those of %s and %s", u.NamedBy[0], quantity(n, "other", "others")), "name"
	}
	return plain.Text(fmt.Sprintf("no journal here, though %s %s this host, and %s as the inventory says: if lvsform set that, it no longer knows it, and destroy leaves it",
		whose, names, quantity(len(u.Items), "item is", "items are")))
}
