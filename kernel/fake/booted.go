package fake

import (
	"net/netip"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// Booted is a kernel as it comes: the loopback device, the settings that
// lvsform may change, at their defaults, and modules it could load, with what
// appears with them.
func Booted() *Kernel {
	k := &Kernel{
		State: statetest.Host(
			state.Link{Name: "lo", MTU: 65536, Up: true}, state.Up{Link: "lo"},
			state.Sysctl{Name: "net.ipv4.ip_forward", Setting: "0"},
		),
		Modules: []string{"fou", "fou6", "ip6_tunnel", "ip6_gre", "ip_gre", "ipip", "sit", "ip_vs"},
		Appears: map[string][]state.Item{"ip_vs": {
			state.Sysctl{Name: "net.ipv4.vs.conntrack", Setting: "0"},
			state.Sysctl{Name: "net.ipv4.vs.expire_nodest_conn", Setting: "0"},
			state.Sysctl{Name: "net.ipv4.vs.sync_threshold", Setting: "3 50"},
			state.Sysctl{Name: "net.ipv4.vs.am_droprate", Setting: "10"},
			state.Timeouts{TCP: 900, TCPFin: 120, UDP: 300},
		}},
	}
	for _, device := range []string{"all", "default"} {
		k.put(deviceSettings(device)...)
	}
	for _, scheduler := range []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"} {
		k.Modules = append(k.Modules, "ip_vs_"+scheduler)
	}
	for module, device := range map[string]string{"ipip": "tunl0", "ip_gre": "gre0", "sit": "sit0"} {
		k.Appears[module] = append(deviceSettings(device), state.Link{Name: device, MTU: 1480})
	}
	return k
}

// Plug adds a network device that is up, with its settings and addresses.
func (k *Kernel) Plug(name, mac string, addresses ...netip.Prefix) {
	k.put(state.Link{Name: name, MAC: mac, MTU: 1500, Up: true}, state.Up{Link: name})
	k.put(deviceSettings(name)...)
	for _, a := range addresses {
		k.put(state.Address{Link: name, Prefix: a})
	}
}

func (k *Kernel) put(items ...state.Item) {
	for _, i := range items {
		k.State.Put(i)
	}
}

func deviceSettings(device string) []state.Item {
	var out []state.Item
	for name, setting := range map[string]string{"arp_ignore": "0", "arp_announce": "0", "rp_filter": "0", "send_redirects": "1"} {
		out = append(out, state.Sysctl{Name: state.ConfSysctl("ipv4", device, name), Setting: setting})
	}
	for name, setting := range map[string]string{"accept_redirects": "1", "forwarding": "0"} {
		out = append(out, state.Sysctl{Name: state.ConfSysctl("ipv6", device, name), Setting: setting})
	}
	return out
}
