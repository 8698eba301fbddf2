package importer

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

// at is a place in an inventory: one of its values, by pointer, and a key of
// it. Without a key it is the value as a whole.
type at struct {
	of  any
	key string
}

// comments are what stands behind values.
type comments map[at]string

// writer makes the text of an inventory, without the keys whose values are the
// defaults. Every line of head is a comment at the top.
type writer struct {
	inv      *inventory.Inventory
	comments comments
	head     []string
	values   values // filled as they are written
}

// text also returns where it wrote what.
func (w writer) text() ([]byte, values, error) {
	w.values = values{}
	var b bytes.Buffer
	for _, line := range w.head {
		b.WriteString(strings.TrimRight("# "+printable(line), " ") + "\n")
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(w.document().node()); err != nil {
		return nil, nil, err
	}
	return b.Bytes(), w.values, e.Close()
}

// printable keeps a comment a comment, whatever a source had in it.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffd {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
}

// with puts the comment of a place behind a value.
func (w writer) with(n *yaml.Node, of any, key string) *yaml.Node {
	if c := w.comments[at{of, key}]; c != "" && n != nil {
		n.LineComment = "# " + printable(c)
	}
	return n
}

func (w writer) document() *mapping {
	networks := &mapping{}
	for _, n := range w.inv.Networks {
		networks.put(n.Name, w.with(oneOrList(n.Prefixes, func(p netip.Prefix) *yaml.Node { return plain(p.String()) }), n, ""))
	}
	common := commonSSH(w.inv.Hosts)
	hosts := &mapping{}
	for _, h := range w.inv.Hosts {
		hosts.put(h.Name, w.host(h, common).node())
	}
	return (&mapping{}).
		put("version", number(1)).
		put("name", w.with(plain(w.inv.Name), w.inv, "name")).
		put("networks", networks.node()).
		put("ssh", ssh(common, inventory.SSH{}).node()).
		put("hosts", hosts.node()).
		put("tunnels", noteEach(w.values, "tunnels", w.inv.Tunnels, w.tunnel, false)).
		put("services", noteEach(w.values, "services", w.inv.Services, w.service, false))
}

// commonSSH is what all hosts have, to be written once.
func commonSSH(hosts []*inventory.Host) inventory.SSH {
	var out inventory.SSH
	for i, h := range hosts {
		s := h.SSH
		s.Address = ""
		if i == 0 {
			out = s
			continue
		}
		if s.Port != out.Port {
			out.Port = 0
		}
		if s.User != out.User {
			out.User = ""
		}
		if s.Key != out.Key {
			out.Key = ""
		}
		if s.Jump != out.Jump {
			out.Jump = ""
		}
		out.Sudo = out.Sudo && s.Sudo
	}
	return out
}

func ssh(s, common inventory.SSH) *mapping {
	m := &mapping{flow: true}
	m.put("address", wordUnless(s.Address, common.Address))
	m.put("port", numberUnless(s.Port, common.Port))
	m.put("user", wordUnless(s.User, common.User))
	m.put("key", wordUnless(s.Key, common.Key))
	m.put("jump", wordUnless(s.Jump, common.Jump))
	return m.put("sudo", yes(s.Sudo && !common.Sudo))
}

func (w writer) host(h *inventory.Host, common inventory.SSH) *mapping {
	path := "hosts." + h.Name
	nics := &mapping{}
	for _, n := range h.NICs {
		nics.put(n.Name, w.with(nic(n), n, ""))
	}
	route := func(_ string, r *inventory.Route) *yaml.Node {
		return (&mapping{flow: true}).put("to", plain(r.To.String())).put("via", address(r.Via)).node()
	}
	forward := func(_ string, f *inventory.PortForward) *yaml.Node {
		return (&mapping{flow: true}).
			put("listen", plain(f.Listen.String())).
			put("to", plain(f.To.String())).
			put("protocol", wordUnless(f.Protocol, inventory.TCP)).node()
	}
	return (&mapping{}).
		put("role", w.with(oneOrList(h.Roles, func(r inventory.Role) *yaml.Node { return plain(string(r)) }), h, "role")).
		put("nics", nics.node()).
		put("gateway", w.values.note(path+".gateway", &h.Gateways, w.with(oneOrList(h.Gateways, address), h, "gateway"))).
		put("routes", noteEach(w.values, path+".routes", h.Routes, route, false)).
		put("manage_addresses", yes(h.ManageAddresses)).
		put("forwards", noteEach(w.values, path+".forwards", h.Forwards, forward, false)).
		put("ipvs", w.ipvs(path+".ipvs", h).node()).
		put("ssh", ssh(h.SSH, common).node()).
		put("serve", w.with(serve(h.Serve).node(), h, "serve"))
}

func nic(n *inventory.NIC) *yaml.Node {
	m := (&mapping{flow: true}).put("network", plain(n.Network.Name))
	bare := func(p netip.Prefix) *yaml.Node { return plain(p.Addr().String()) }
	if len(n.Addresses) == 1 {
		return m.put("address", bare(n.Addresses[0])).node()
	}
	return m.put("addresses", list(n.Addresses, bare, true)).node()
}

func serve(s inventory.Serve) *mapping {
	m := &mapping{flow: true}
	for _, ports := range []struct {
		key string
		of  []uint16
	}{{"http", s.HTTP}, {"tcp", s.TCP}, {"udp", s.UDP}} {
		m.put(ports.key, oneOrList(ports.of, number[uint16]))
	}
	return m
}

func (w writer) ipvs(path string, h *inventory.Host) *mapping {
	m := &mapping{}
	if t := h.IPVS.Timeouts; t != nil {
		m.put("timeouts", w.values.note(path+".timeouts", &h.IPVS.Timeouts, (&mapping{flow: true}).
			put("tcp", number(t.TCP)).put("tcpfin", number(t.TCPFin)).put("udp", number(t.UDP)).node()))
	}
	sysctls := &mapping{flow: true}
	for _, name := range slices.Sorted(maps.Keys(h.IPVS.Sysctls)) {
		words := strings.Fields(h.IPVS.Sysctls[name])
		whole := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: s} }
		sysctls.put(name, oneOrList(words, whole))
	}
	m.put("sysctls", w.values.note(path+".sysctls", &h.IPVS.Sysctls, sysctls.node()))
	preset := inventory.SyncDefaults()
	return m.put("sync", noteEach(w.values, path+".sync", h.IPVS.Sync, func(_ string, s *inventory.Sync) *yaml.Node {
		return (&mapping{flow: true}).
			put("role", plain(s.Role)).
			put("interface", plain(s.Interface)).
			put("id", numberUnless(s.ID, 0)).
			put("max_len", numberUnless(s.MaxLen, 0)).
			put("group", addressUnless(s.Group, preset.Group)).
			put("port", numberUnless(s.Port, preset.Port)).
			put("ttl", numberUnless(s.TTL, preset.TTL)).node()
	}, false))
}

func addressUnless(a, preset netip.Addr) *yaml.Node {
	if a == preset {
		return nil
	}
	return address(a)
}

func (w writer) tunnel(_ string, t *inventory.Tunnel) *yaml.Node {
	ends := &mapping{}
	for _, e := range t.Ends {
		ends.put(e.Host.Name, (&mapping{flow: true}).
			put("address", address(e.Address)).
			put("outer", address(e.Outer)).
			put("routes", list(e.Routes, func(p netip.Prefix) *yaml.Node { return plain(p.String()) }, true)).node())
	}
	return (&mapping{}).
		put("name", plain(t.Name)).
		put("type", plain(t.Type)).
		put("ttl", numberUnless(t.TTL, 64)).
		put("ends", ends.node()).node()
}

func (w writer) service(path string, s *inventory.Service) *yaml.Node {
	m := (&mapping{}).
		put("name", w.with(wordUnless(s.Name, unnamed(s)), s, "name")).
		put("vip", w.with(address(s.VIP), s, "vip"))
	if s.FWMark != 0 {
		m.put("fwmark", number(s.FWMark)).put("ports", list(s.Ports, number[uint16], true))
	} else {
		m.put("port", number(s.Port))
	}
	uses := func(trait func(modes.Traits) bool) bool {
		return trait(modes.TraitsOf(s.Mode)) || anyServer(s, trait)
	}
	m.put("protocol", wordUnless(s.Protocol, inventory.TCP)).
		put("vip_device", w.with(word(s.VIPDevice), s, "vip_device")).
		put("mode", plain(string(s.Mode)))
	if uses(func(t modes.Traits) bool { return t.KeepsDestination }) {
		m.put("arp", w.with(wordUnless(s.ARP, inventory.ARPSysctl), s, "arp"))
	}
	if uses(func(t modes.Traits) bool { return t.Tunnelled }) {
		m.put("tunnel", encapsulation(s.Encapsulation, inventory.Encapsulation{Type: "ipip"}))
	}
	if uses(translatesSource) {
		m.put("local_addresses", list(s.LocalAddresses, address, true))
	}
	if uses(modes.Traits.RoutesBack) {
		m.put("return_route", w.with(wordUnless(s.ReturnRoute, inventory.ReturnDefault), s, "return_route"))
	}
	server := func(_ string, r *inventory.RealServer) *yaml.Node { return w.realServer(s, r) }
	bare := !slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return says(s, r).node() != nil })
	return m.put("scheduler", plain(s.Scheduler)).
		put("scheduler_flags", list(s.Flags, plain, true)).
		put("persistence", persistence(s)).
		put("one_packet", yes(s.OnePacket)).
		put("replies", w.with(wordUnless(s.Replies, inventory.RepliesExpected), s, "replies")).
		put("directors", list(s.Directors, func(h *inventory.Host) *yaml.Node { return plain(h.Name) }, true)).
		put("real_servers", noteEach(w.values, path+".real_servers", s.RealServers, server, bare)).node()
}

// unnamed is the name of a service whose inventory gives it none.
func unnamed(s *inventory.Service) string {
	if s.FWMark != 0 {
		return fmt.Sprintf("fwmark-%d-%s", s.FWMark, s.VIP)
	}
	return fmt.Sprintf("%s-%s-%d", s.Protocol, s.VIP, s.Port)
}

// encapsulation is nil when it is the one in force already.
func encapsulation(e, preset inventory.Encapsulation) *yaml.Node {
	if e == preset {
		return nil
	}
	return (&mapping{flow: true}).
		put("type", plain(e.Type)).put("port", numberUnless(e.Port, 0)).put("checksum", yes(e.Checksum)).node()
}

func persistence(s *inventory.Service) *yaml.Node {
	p := s.Persistence
	if p.Timeout == 0 {
		return nil
	}
	narrowed := p.Bits != 0 && p.Bits != s.VIP.BitLen()
	if !narrowed && p.Engine == "" {
		return number(p.Timeout)
	}
	m := (&mapping{flow: true}).put("timeout", number(p.Timeout))
	if narrowed {
		m.put("netmask", number(p.Bits))
	}
	return m.put("engine", word(p.Engine)).node()
}

func (w writer) realServer(s *inventory.Service, r *inventory.RealServer) *yaml.Node {
	own := says(s, r)
	if own.node() == nil {
		return w.with(plain(r.Host.Name), r, "")
	}
	m := &mapping{flow: true}
	m.put("host", plain(r.Host.Name))
	m.pairs = append(m.pairs, own.pairs...)
	return w.with(m.node(), r, "")
}

// anyServer reports whether the mode of some real server has a trait.
func anyServer(s *inventory.Service, trait func(modes.Traits) bool) bool {
	return slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return trait(modes.TraitsOf(r.Mode)) })
}

func translatesSource(t modes.Traits) bool { return t.Source == modes.SourceDirector }

// says is what a real server has for itself, beside its host.
func says(s *inventory.Service, r *inventory.RealServer) *mapping {
	m := (&mapping{flow: true}).
		put("address", address(r.Address)).
		put("port", numberUnless(r.Port, s.Port)).
		put("weight", numberUnless(r.Weight, 1)).
		put("upper_threshold", numberUnless(r.UpperThreshold, 0)).
		put("lower_threshold", numberUnless(r.LowerThreshold, 0)).
		put("mode", wordUnless(r.Mode, s.Mode))
	if modes.TraitsOf(r.Mode).Tunnelled {
		m.put("tunnel", encapsulation(r.Encapsulation, s.Encapsulation))
	}
	return m.put("redirect", numberUnless(r.Redirect, 0))
}
