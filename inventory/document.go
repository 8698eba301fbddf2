package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// document is the whole file. The order of its fields is the order in which
// they are read: hosts name networks and take the SSH defaults, tunnels and
// services name hosts.
func document(inv *Inventory) form {
	var defaults SSH
	return objectOf(object{
		name: "The file",
		fields: []field{
			{key: "version", required: true, form: versionOf(&inv.Version),
				doc: "The version of this format."},
			{key: "name", required: true, form: nameOf(plainName(), &inv.Name),
				doc: "The topology's name. It names the journal on the hosts, so it is one of a kind among the topologies that share a host."},
			{key: "networks", required: true, form: networksOf(&inv.Networks),
				doc: "The layer 2 segments and their prefixes, by name."},
			{key: "ssh", form: sshOf(&defaults, false),
				doc: "How to reach the hosts, unless a host says otherwise."},
			{key: "hosts", required: true, form: hostsOf(&inv.Hosts, &defaults),
				doc: "The machines, by name."},
			{key: "tunnels", form: listOf("a list of tunnels", &inv.Tunnels, tunnelOf),
				doc: "Point-to-point tunnels between hosts."},
			{key: "services", form: listOf("a list of virtual services", &inv.Services, serviceOf),
				doc: "The virtual services."},
		},
		hints: map[string]string{"service": "did you mean services?"},
	})
}

func versionOf(to *int) form {
	f := numberOf("1, the only version there is", 1, 1, to)
	f.schema = func() jsonSchema { return jsonSchema{"const": 1} }
	return f
}

func networksOf(to *[]*Network) form {
	return mappingOf("a mapping from network names to prefixes", "network", plainName(), to, networkOf).
		and(func(d *decoder, _ value, ok bool) bool { return d.overlaps(*to) && ok })
}

func networkOf(name string, to **Network) form {
	n := &Network{Name: name}
	*to = n
	prefix := func(p *netip.Prefix) form {
		return networkPrefixOf(p).and(func(d *decoder, v value, ok bool) bool {
			same := slices.IndexFunc(n.Prefixes, func(q netip.Prefix) bool { return q.Addr().Is4() == p.Addr().Is4() })
			if ok && same >= 0 {
				return d.again(v, fmt.Sprintf("%s is a second prefix of its family", *p), "want at most one for IPv4 and one for IPv6")
			}
			return true
		})
	}
	return oneOrList("a prefix, or a list of one for IPv4 and one for IPv6", &n.Prefixes, prefix).
		and(func(d *decoder, _ value, ok bool) bool {
			if !ok {
				n.Prefixes = nil // what is in the network is not known
			}
			if d.networks == nil {
				d.networks = map[string]*Network{}
			}
			if d.networks[name] == nil {
				d.networks[name] = n
			}
			return true
		})
}

// overlaps reports the networks that have addresses in common.
func (d *decoder) overlaps(networks []*Network) bool {
	type owned struct {
		prefix netip.Prefix
		index  int
		path   string
	}
	var all []owned
	for i, n := range networks {
		for j, p := range n.Prefixes {
			path := join("networks", n.Name)
			if item := fmt.Sprintf("%s[%d]", path, j); d.inv.positions[item] != (Pos{}) {
				path = item
			}
			all = append(all, owned{p, i, path})
		}
	}
	// Two prefixes overlap when one holds the other, and then it is sorted
	// before it with nothing between them but others it holds.
	slices.SortStableFunc(all, func(a, b owned) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), a.prefix.Bits()-b.prefix.Bits())
	})
	ok := true
	for i, outer := 1, 0; i < len(all); i++ {
		if !all[outer].prefix.Overlaps(all[i].prefix) {
			outer = i
			continue
		}
		first, second := all[outer], all[i]
		if second.index < first.index {
			first, second = second, first
		}
		ok = d.repeated(second.path, first.path, fmt.Sprintf("%s overlaps %s", second.prefix, first.prefix))
	}
	return ok
}
