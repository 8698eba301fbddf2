package inventory

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// maxTimeout is the longest time ipvsadm(8) sets, 31 days in seconds.
const maxTimeout = 31 * 24 * 60 * 60

func ipvsOf(h *Host) form {
	return objectOf(object{
		name: "IPVS",
		fields: []field{
			{key: "timeouts", form: timeoutsOf(&h.IPVS.Timeouts),
				doc: "How long connections are remembered, as `ipvsadm --set`."},
			{key: "sysctls", form: sysctlsOf(&h.IPVS.Sysctls),
				doc: "Kernel settings below `net.ipv4.vs.`"},
			{key: "sync", form: listOf("a list of a master, a backup or both", &h.IPVS.Sync,
				func(to **Sync) form { return syncOf(h, to) }),
				doc: "Connection synchronisation daemons, as `ipvsadm --start-daemon`."},
		},
	}).and(func(d *decoder, v value, _ bool) bool { return d.needsRole(v, h, RoleDirector) })
}

func timeoutsOf(to **Timeouts) form {
	t := &Timeouts{}
	seconds := func(to *uint32) form { return numberOf("seconds, 1 to 2678400", 1, maxTimeout, to) }
	return objectOf(object{
		name: "Timeouts",
		fields: []field{
			{key: "tcp", required: true, form: seconds(&t.TCP), doc: "Of a TCP connection without packets."},
			{key: "tcpfin", required: true, form: seconds(&t.TCPFin), doc: "Of a TCP connection after a FIN."},
			{key: "udp", required: true, form: seconds(&t.UDP), doc: "Of a UDP exchange without packets."},
		},
	}).and(func(_ *decoder, _ value, ok bool) bool {
		if ok {
			*to = t
		}
		return true
	})
}

// SyncDefaults is a daemon of which nothing is said: the kernel's own values
// (start_sync_thread in ip_vs_sync.c).
func SyncDefaults() Sync {
	return Sync{Group: netip.AddrFrom4([4]byte{224, 0, 0, 81}), Port: 8848, TTL: 1}
}

func syncOf(h *Host, to **Sync) form {
	defaults := SyncDefaults()
	s := &defaults
	*to = s
	return objectOf(object{
		name: "Sync daemon",
		fields: []field{
			{key: "role", required: true, form: choiceOf("sync role", []string{"master", "backup"}, &s.Role),
				doc: "`master` sends the director's connections, `backup` takes in those of another."},
			{key: "interface", required: true, form: ownNIC(h, &s.Interface),
				doc: "The NIC the daemon sends or listens on."},
			{key: "id", preset: 0, form: numberOf("0 to 255", 0, math.MaxUint8, &s.ID),
				doc: "The number that marks the messages; a backup whose own is not 0 takes no others."},
			{key: "max_len", form: numberOf("bytes, 1 to 65507", 1, 65507, &s.MaxLen),
				doc: "The longest message; the NIC's MTU decides when there is none."},
			{key: "group", preset: s.Group, form: groupOf(&s.Group),
				doc: "The multicast group."},
			{key: "port", preset: s.Port, form: portOf(&s.Port),
				doc: "The UDP port."},
			{key: "ttl", preset: s.TTL, form: numberOf("1 to 255", 1, math.MaxUint8, &s.TTL),
				doc: "The TTL or hop limit of the messages."},
		},
	}).and(func(d *decoder, v value, ok bool) bool {
		s.Path = v.path
		if !ok {
			return true
		}
		if slices.ContainsFunc(h.IPVS.Sync, func(other *Sync) bool { return other.Role == s.Role }) {
			return d.again(v, fmt.Sprintf("a second %s", s.Role), "the kernel runs at most one master and one backup")
		}
		return d.checkMaxLen(s)
	})
}

// checkMaxLen reports a length the kernel would not keep (start_sync_thread
// in ip_vs_sync.c).
func (d *decoder) checkMaxLen(s *Sync) bool {
	least, most := uint16(1), uint16(65507) // 65535 less the headers of UDP and IPv4
	if s.Group.Is6() {
		most = 65487
	}
	if s.Role == "backup" {
		least = 1024
	}
	if s.MaxLen == 0 || s.MaxLen >= least && s.MaxLen <= most {
		return true
	}
	return d.problemAt(s.Path+".max_len", fmt.Sprintf("%d is out of range for this daemon", s.MaxLen),
		fmt.Sprintf("want %d to %d", least, most))
}

// ownNIC reads the name of one of the host's NICs.
func ownNIC(h *Host, to *string) form {
	return textOf("the name of one of the host's NICs", nil, func(_ *decoder, _ value, text string) (what, fix string) {
		*to = text
		var names []string
		for _, n := range h.NICs {
			if n.Name == text {
				return "", ""
			}
			names = append(names, n.Name)
		}
		if names == nil {
			return "", "" // reported there
		}
		return fmt.Sprintf("host %s has no NIC %q", h.Name, text), suggest(text, names, "its NICs")
	})
}

// groupOf reads a multicast group.
func groupOf(to *netip.Addr) form {
	schema := jsonSchema{"anyOf": []jsonSchema{{"format": "ipv4"}, {"format": "ipv6"}}}
	return textOf("a multicast address", schema, func(_ *decoder, _ value, text string) (what, fix string) {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.IsMulticast() || a.Zone() != "" {
			return fmt.Sprintf("%q is not a multicast address", text), "want one such as 224.0.0.81 or ff02::51"
		}
		*to = a
		return "", ""
	})
}
