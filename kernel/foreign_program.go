package kernel

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/lvsform/lvsform/state"
)

// programOwner tells whose a program is that sets addresses, firewall rules or
// IPVS itself. The kernel cuts names after 15 letters.
func programOwner(name string) string {
	switch name {
	case "keepalived", "keepalived_vrrp", "keepalived_ipvs", "keepalived_bfd":
		return "keepalived" // under these names with its option process_names
	case "k3s", "k3s-server", "k3s-agent":
		return "k3s" // kube-proxy is within it
	case "kubelite":
		return "microk8s" // the same
	case "seesaw_engine", "seesaw_ncc", "seesaw_ha":
		return "seesaw"
	case "pulse", "lvsd", "nanny":
		return "piranha"
	case "calico-node", "calico-felix":
		return "calico"
	case "fail2ban-server":
		return "fail2ban"
	case "dockerd":
		return "docker"
	case "ldirectord", "kube-proxy", "kube-router", "cilium-agent", "flanneld", "firewalld", "surealived", "gorb",
		"ucarp", "vrrpd", "pacemakerd", "heartbeat", "bird", "bird6", "zebra", "bgpd", "ospfd", "gobgpd", "exabgp":
		return name
	default:
		return ""
	}
}

// foreignPrograms looks for known programs in the network namespace of the
// calling thread. Processes that end meanwhile, and those that may not be
// looked at, are left out.
func foreignPrograms(ctx context.Context, proc fs.FS) []state.Foreign {
	own, err := fs.ReadLink(proc, "thread-self/ns/net")
	if err != nil {
		return nil
	}
	entries, _ := fs.ReadDir(proc, ".")
	pids := map[string][]int{}
	for _, e := range entries {
		if ctx.Err() != nil {
			break
		}
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		owner := processOwner(proc, e.Name())
		if owner == "" {
			continue
		}
		if ns, err := fs.ReadLink(proc, e.Name()+"/ns/net"); err == nil && ns == own {
			pids[owner] = append(pids[owner], pid)
		}
	}
	var signs []state.Foreign
	for owner, pids := range pids {
		what := fmt.Sprintf("process %d", slices.Min(pids))
		if n := len(pids) - 1; n > 0 {
			what += fmt.Sprintf(" and %d more", n)
		}
		signs = append(signs, state.Foreign{Owner: owner, What: what})
	}
	return signs
}

func processOwner(proc fs.FS, pid string) string {
	// A script that is run by itself has its own name here; one that sets its
	// title (ldirectord does, in Perl) has the title's beginning.
	comm := strings.TrimSpace(readSome(proc, pid+"/comm"))
	name, _, _ := strings.Cut(comm, " ")
	if owner := programOwner(name); owner != "" {
		return owner
	}
	if strings.HasPrefix(comm, "perl") || strings.HasPrefix(comm, "python") {
		return programOwner(scriptName(readSome(proc, pid+"/cmdline")))
	}
	return ""
}

// scriptName is that of the script in an interpreter's command line, whose
// words end with a zero each.
func scriptName(cmdline string) string {
	words := strings.Split(cmdline, "\x00")
	for _, word := range words[1:] {
		if word == "" || strings.HasPrefix(word, "-") {
			continue
		}
		name := path.Base(word)
		return cmp.Or(strings.TrimSuffix(name, path.Ext(name)), name)
	}
	return ""
}

// readSome reads the beginning of a small file: a process chooses the length
// of its command line.
func readSome(fsys fs.FS, name string) string {
	f, err := fsys.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	const most = 4096
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return string(text)
}
