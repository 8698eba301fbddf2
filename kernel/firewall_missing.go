package kernel

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

// rulesMissing lists the rules among the items that cannot be set here: their
// program is not installed, or writes into a table that it cannot print. The
// programs are looked up; one runs only where nftables has a table of the name.
func rulesMissing(ctx context.Context, asked []state.ID) ([]state.Missing, error) {
	var tables nftTables
	type place struct{ family, table string }
	whys := map[place]string{}
	var out []state.Missing
	for _, id := range asked {
		if !id.Kind.Traits().ByProgram {
			continue
		}
		family, table := state.TableOf(id.Key)
		p := place{family, table}
		why, known := whys[p]
		if !known {
			var err error
			if tables == nil {
				if tables, err = readNFTables(); err != nil {
					return nil, err
				}
			}
			if why, err = whyNoRule(ctx, family, table, tables); err != nil {
				return nil, err
			}
			whys[p] = why
		}
		if why != "" {
			out = append(out, state.Missing{ID: id, Why: why})
		}
	}
	return out, nil
}

// whyNoRule says why no rule can be set in a table; empty: it can.
func whyNoRule(ctx context.Context, family, table string, tables nftTables) (string, error) {
	x, ok := xtablesOf(family)
	if !ok {
		return fmt.Sprintf("there is no family %q of firewall rules", family), nil
	}
	names := x.variants(tables.family(x.nft))
	path, err := toolPath(names...)
	if err == nil {
		_, err = toolPath(x.printers(names)...)
	}
	if err != nil {
		return err.Error(), nil
	}
	if _, there := tables[nftTable{x.nft, table}]; !there {
		return "", nil
	}
	version, err := runTool(ctx, toolLimit, path, "--version")
	if err != nil || !strings.Contains(version, "nf_tables") {
		return "", err // the legacy tool has tables of its own
	}
	text, err := x.save(ctx, names)
	if err == nil && notPrinted(text, table) {
		err = x.unprintable(table)
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return err.Error(), nil
	}
	return "", nil
}

// notPrinted reports whether iptables-save left a table out: it is one of
// nftables with something in it that the tool has no words for.
func notPrinted(text, table string) bool {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 4 && slices.Equal(words[:2], []string{"#", "Table"}) && strings.Trim(words[2], "`'") == table && strings.HasPrefix(words[4], "incompatible") {
			return true
		}
	}
	return false
}

// unprintable is the error for such a table.
func (x xtables) unprintable(table string) error {
	return fault.New(fault.Unsupported, "%s cannot print the table %s, because something made with nft is in it (nft list table %s shows it); lvsform cannot tell which rules are there", x.tool, table, nftTable{x.nft, table})
}
