package kernel

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/lvsform/lvsform/state"
)

// foreignLimit bounds the whole look for signs of others. What was found by
// then is the answer.
const foreignLimit = 15 * time.Second

// Foreign looks for what others than lvsform run and have set on this host,
// as far as it may concern virtual services: programs, devices, firewall
// chains and rules, and who the given addresses and the routes to them are
// of. A piece that cannot be read has no signs; the only error is that of a
// context that has ended. A program (iptables-save) runs only where a rule of
// others names one of the addresses, or IPVS.
func (k *Kernel) Foreign(ctx context.Context, vips []netip.Addr) ([]state.Foreign, error) {
	limited, cancel := context.WithTimeout(ctx, foreignLimit)
	defer cancel()
	vips = unmapped(vips)
	signs := foreignPrograms(limited, os.DirFS("/proc"))
	if links, err := dump(k.route.LinkList); err == nil {
		names := linkNames(links)
		signs = append(signs, foreignDevices(slices.Collect(maps.Values(names)))...)
		signs = append(signs, foreignAddresses(limited, vips, names)...)
		signs = append(signs, foreignRoutes(limited, vips, names)...)
	}
	signs = append(signs, foreignFirewall(limited, vips)...)
	slices.SortFunc(signs, state.CompareForeign)
	return slices.Compact(signs), ctx.Err()
}

func unmapped(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if a.IsValid() {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// foreignDevices finds devices that carry the name some program gives its own.
// A program has one sign for each of its patterns, however many devices.
func foreignDevices(names []string) []state.Foreign {
	type pattern struct{ owner, glob string }
	found := map[pattern][]string{}
	patterns := []pattern{
		{"calico", "cali*"}, {"calico", "vxlan.calico"},
		{"cilium", "cilium_*"},
		{"cni", "cni[0-9]*"},
		{"docker", "docker[0-9]*"}, {"docker", "docker_gwbridge"},
		{"flannel", "flannel*"},
		{"kube-proxy", "kube-ipvs[0-9]*"},
		{"kube-router", "kube-bridge"}, {"kube-router", "kube-dummy-if"},
		{"libvirt", "virbr*"},
		{"lxd", "lxdbr*"},
		{"podman", "podman[0-9]*"}, {"podman", "cni-podman*"},
		{"weave", "weave"},
	}
	for _, name := range names {
		for _, p := range patterns {
			if ok, _ := path.Match(p.glob, name); ok {
				found[p] = append(found[p], name)
				break
			}
		}
	}
	var signs []state.Foreign
	for p, names := range found {
		signs = append(signs, state.Foreign{Owner: p.owner, What: listed("device", names)})
	}
	return signs
}

// listed names up to four things, and counts the rest.
func listed(noun string, names []string) string {
	slices.SortFunc(names, state.CompareNatural)
	names = slices.Compact(names)
	const most = 4
	if len(names) > 1 {
		noun += "s"
	}
	rest := ""
	if n := len(names) - most; n > 0 {
		names, rest = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return noun + " " + strings.Join(names, ", ") + rest
}
