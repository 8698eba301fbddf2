package kernel

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lvsform/lvsform/state"
)

// process is what /proc tells of one. Command has spaces for zeros.
type process struct{ pid, comm, command, ns string }

func procOf(own string, processes ...process) fstest.MapFS {
	link := func(ns string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(ns), Mode: fs.ModeSymlink} }
	out := fstest.MapFS{"uptime": {Data: []byte("1 1\n")}}
	if own != "" {
		out["thread-self/ns/net"] = link(own)
	}
	for _, p := range processes {
		out[p.pid+"/comm"] = &fstest.MapFile{Data: []byte(p.comm + "\n")}
		out[p.pid+"/cmdline"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(p.command, " ", "\x00"))}
		if p.ns != "" {
			out[p.pid+"/ns/net"] = link(p.ns)
		}
	}
	return out
}

func TestForeignPrograms(t *testing.T) {
	const here, there = "net:[4026531840]", "net:[4026532000]"
	for name, test := range map[string]struct {
		proc fstest.MapFS
		want []state.Foreign
	}{
		"one": {
			proc: procOf(here, process{"812", "keepalived", "/usr/sbin/keepalived -n", here}, process{"1", "systemd", "/sbin/init", here}),
			want: []state.Foreign{{Owner: "keepalived", What: "process 812"}},
		},
		"several processes of one program": {
			proc: procOf(here, process{"1002", "keepalived_vrrp", "", here}, process{"812", "keepalived", "", here}, process{"813", "keepalived_ipvs", "", here}),
			want: []state.Foreign{{Owner: "keepalived", What: "process 812 and 2 more"}},
		},
		"another network namespace": {
			proc: procOf(here, process{"812", "keepalived", "", there}, process{"813", "kube-proxy", "", here}),
			want: []state.Foreign{{Owner: "kube-proxy", What: "process 813"}},
		},
		"scripts": {
			proc: procOf(here,
				process{"20", "perl", "/usr/bin/perl -w /usr/sbin/ldirectord start ", here},
				process{"21", "python3", "/usr/bin/python3 -Es /usr/sbin/firewalld --nofork ", here},
				process{"22", "python3", "python3 ", here},
				process{"23", "perl", "perl /root/keepalived-report.pl ", here},
				process{"24", "python3", "python3 exabgp.py ", here},
			),
			want: []state.Foreign{
				{Owner: "exabgp", What: "process 24"},
				{Owner: "firewalld", What: "process 21"},
				{Owner: "ldirectord", What: "process 20"},
			},
		},
		"a script that sets its title": {
			proc: procOf(here, process{"20", "ldirectord /etc", "ldirectord /etc/ha.d/ldirectord.cf ", here}),
			want: []state.Foreign{{Owner: "ldirectord", What: "process 20"}},
		},
		"a name of fifteen letters": {
			proc: procOf(here, process{"20", "fail2ban-server", "", here}),
			want: []state.Foreign{{Owner: "fail2ban", What: "process 20"}},
		},
		"a program of which only the argument is known": {
			proc: procOf(here, process{"20", "less", "less /etc/keepalived", here}),
		},
		"a process that has ended meanwhile": {
			proc: procOf(here, process{"812", "keepalived", "", ""}),
		},
		"no namespace of our own": {
			proc: procOf("", process{"812", "keepalived", "", here}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := foreignPrograms(t.Context(), test.proc)
			if diff := cmp.Diff(test.want, got, cmpopts.SortSlices(before)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func before(a, b state.Foreign) bool { return state.CompareForeign(a, b) < 0 }
