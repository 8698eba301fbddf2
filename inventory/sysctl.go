package inventory

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// vsSysctl is a kernel setting below net.ipv4.vs.
type vsSysctl struct {
	name       string
	from, last int64
	doc        string
}

// vsSysctls are the settings of one whole number. The source is the kernel's
// Documentation/networking/ipvs-sysctl.rst, and ip_vs_ctl.c for what is not
// there. What is on or off there is 0 or 1 here.
func vsSysctls() []vsSysctl {
	const large = math.MaxInt32
	return []vsSysctl{
		{"am_droprate", 0, large, "Mode 3 of `drop_packet` drops one packet in so many."},
		{"amemthresh", 0, large, "Pages of free memory below which the automatic defences start."},
		{"backup_only", 0, 1, "Do not schedule while a backup sync daemon runs: it keeps packets from going round between directors."},
		{"cache_bypass", 0, 1, "Send packets on to their destination when no cache server is there."},
		{"conn_reuse_mode", 0, 3, "What becomes of a new connection with a port in use: 0 keeps the real server, bit 1 reschedules when that is safe, bit 2 also in FIN_WAIT."},
		{"conntrack", 0, 1, "Keep conntrack entries of IPVS connections. fullnat needs it."},
		{"debug_level", 0, 12, "How much is logged, in kernels that are built with it."},
		{"drop_entry", 0, 3, "Drop half-open connections at random: 0 never, 1 and 2 when memory is short, 3 always."},
		{"drop_packet", 0, 3, "Drop packets at a rate: 0 never, 1 and 2 when memory is short, 3 always."},
		{"est_nice", -20, 19, "The niceness of the threads that estimate rates."},
		{"expire_nodest_conn", 0, 1, "End a connection at its next packet when its real server is gone."},
		{"expire_quiescent_template", 0, 1, "With weight 0, also clients that persistence keeps are sent elsewhere."},
		{"ignore_tunneled", 0, 1, "Leave packets of protocols IPVS does not know alone, so that tunneled ones are not scheduled again."},
		{"nat_icmp_send", 0, 1, "Answer a real server's packet without a connection with ICMP port unreachable."},
		{"pmtu_disc", 0, 1, "Answer packets over the path MTU with ICMP; 0 lets tun fragment them."},
		{"run_estimation", 0, 1, "Estimate the rates in the statistics."},
		{"schedule_icmp", 0, 1, "Schedule ICMP errors for connections that are not there yet."},
		{"secure_tcp", 0, 3, "The stricter table of TCP states: 0 never, 1 and 2 when memory is short, 3 always."},
		{"sloppy_sctp", 0, 1, "Make a connection on any SCTP packet, not on INIT alone."},
		{"sloppy_tcp", 0, 1, "Make a connection on any TCP packet, not on SYN alone."},
		{"snat_reroute", 0, 1, "Route replies as the director's own packets."},
		{"sync_persist_mode", 0, 1, "With 1, only the templates of persistent services are synchronised."},
		{"sync_ports", 1, large, "Threads and UDP ports of a sync daemon; a power of two."},
		{"sync_qlen_max", 0, math.MaxInt64, "The most sync messages that wait."},
		{"sync_refresh_period", 0, large, "Seconds a connection's timer must have moved for a new sync message."},
		{"sync_retries", 0, 3, "How often a sync message is sent again."},
		{"sync_sock_size", 0, large, "The buffer of the sync socket in bytes; 0 is the system's."},
		{"sync_version", 0, 1, "The version of the sync protocol."},
	}
}

// sysctlsOf reads settings as the text the kernel has for them.
func sysctlsOf(to *map[string]string) form {
	settings := map[string]string{}
	o := object{name: "IPVS sysctls"}
	for _, s := range vsSysctls() {
		o.fields = append(o.fields, field{key: s.name, form: sysctlOf(s, settings), doc: s.doc})
	}
	o.fields = append(o.fields, field{key: "sync_threshold", form: syncThresholdOf(settings),
		doc: "A connection is synchronised at the packet with the first number, and again that far into every period of packets."})
	slices.SortFunc(o.fields, func(a, b field) int { return cmp.Compare(a.key, b.key) })
	return objectOf(o).and(func(_ *decoder, _ value, ok bool) bool {
		if ok && len(settings) > 0 {
			*to = settings
		}
		return true
	})
}

func sysctlOf(s vsSysctl, to map[string]string) form {
	is := fmt.Sprintf("%d to %d", s.from, s.last)
	switch {
	case s.last >= math.MaxInt32:
		is = fmt.Sprintf("%d or more", s.from)
	case s.last == 1:
		is = "0 or 1"
	}
	var n int64
	return numberOf(is, s.from, s.last, &n).and(func(d *decoder, v value, ok bool) bool {
		if ok && s.name == "sync_ports" && n&(n-1) != 0 {
			return d.problem(v, fmt.Sprintf("%d is not a power of two", n), "want 1, 2, 4, 8 and so on")
		}
		to[s.name] = strconv.FormatInt(n, 10)
		return true
	})
}

func syncThresholdOf(to map[string]string) form {
	var both []int64
	packets := func(to *int64) form { return numberOf("0 or more", 0, math.MaxInt32, to) }
	f := listOf("a list of two numbers, threshold and period", &both, packets)
	schema := f.schema
	f.schema = func() jsonSchema {
		s := schema()
		s["minItems"], s["maxItems"] = 2, 2
		return s
	}
	return f.and(func(d *decoder, v value, ok bool) bool {
		switch {
		case !ok:
			return true
		case len(both) != 2:
			return d.problem(v, fmt.Sprintf("%d numbers", len(both)), "want two, threshold and period: [3, 50]")
		case both[1] != 0 && both[0] >= both[1]: // proc_do_sync_threshold
			return d.problem(v, "the threshold is not below the period", "write the smaller one first, or 0 for the period")
		}
		to["sync_threshold"] = fmt.Sprintf("%d %d", both[0], both[1])
		return true
	})
}
