package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lvsform/lvsform/testenv"
)

// dumpScript prints everything lvsform could have touched on a host, a line a
// thing, in the words of the kernel's own tools. It starts few programs: that
// is what takes time in User-Mode Linux.
const dumpScript = `
printf '%s\n' link addr rule 'route show table all' 'neigh show nud permanent' | ip -o -d -batch -
ip -6 rule
cd /proc/sys && grep -rs . net
test ! -e /proc/net/ip_vs || ipvsadm -Sn
test ! -e /proc/net/ip_tables_names || iptables-legacy-save
test ! -e /proc/net/ip6_tables_names || ip6tables-legacy-save
test ! -e /proc/net/arp_tables_names || arptables-legacy-save
test "$(hostname)" = workstation || find /etc /var/lib -maxdepth 1 -printf 'file %p %M\n'
test "$(hostname)" = workstation || find /root /tmp /run /var/lib/lvsform '(' -type d -printf 'file %p %M\n' ')' -o -printf 'file %p %M %s\n' 2>/dev/null
true`

// stable is a line of a dump without what changes by itself, empty if nothing
// of it is left: the number of a device, its queue and whether its carrier is there yet,
// whether an address is still being checked for duplicates, the chains and
// counters of an empty firewall table, the date it was listed, and settings
// below /proc/sys that are measurements, random, or come with a device.
func stable(line string) string {
	for _, prefix := range []string{
		"#", ":", "*", "COMMIT",
		"file /run/xtables.lock", // of any run of iptables
		"net/netfilter/nf_conntrack_count:", "net/ipv4/tcp_fastopen_key:", "net/core/netdev_rss_key:",
	} {
		if strings.HasPrefix(line, prefix) {
			return ""
		}
	}
	// A module's fallback device gets the first the first time it is up, and
	// keeps them when it is down again. The second it has from the host it
	// appears on.
	fallback := regexp.MustCompile(`/(tunl0|gre0|gretap0|erspan0|sit0|ip6tnl0|ip6gre0)/`)
	if regexp.MustCompile(`^net/(ipv6/(conf|neigh)/F/|ipv4/conf/F/forwarding:)`).MatchString(fallback.ReplaceAllString(line, "/F/")) {
		return ""
	}
	return strings.TrimSpace(regexp.MustCompile(`^\d+: | state [A-Z]+| tentative| qdisc \w+| addrgenmode \w+| permaddr \S+`).ReplaceAllString(line, ""))
}

// dump is what every host of a lab looks like, the workstation among them.
type dump map[string][]string

func takeDump(ctx context.Context, l *testenv.Lab, hosts []string) (dump, error) {
	texts := make([]string, len(hosts))
	var g errgroup.Group
	for i, h := range hosts {
		g.Go(func() (err error) {
			texts[i], err = onHost(ctx, l, h, dumpScript)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := dump{}
	for i, h := range hosts {
		for line := range strings.Lines(texts[i]) {
			if line = stable(line); line != "" {
				out[h] = append(out[h], line)
			}
		}
	}
	return out, nil
}

// sinceThen lists what is different now, a line a difference. Loading a module
// adds devices and settings to every host of its kernel, and modules stay
// loaded. The workstation, which lvsform never changes, shows what these look
// like untouched: what it has, too, is no difference.
func (before dump) sinceThen(now dump) []string {
	untouched := linesOf(now[workstation])
	var out []string
	for h := range before {
		if h == workstation {
			continue
		}
		was, is := linesOf(before[h]), linesOf(now[h])
		for _, line := range before[h] {
			if !is[line] {
				out = append(out, h+" - "+line)
			}
		}
		for _, line := range now[h] {
			if !was[line] && !untouched[line] {
				out = append(out, h+" + "+line)
			}
		}
	}
	return out
}

func linesOf(lines []string) map[string]bool {
	out := map[string]bool{}
	for _, l := range lines {
		out[l] = true
	}
	return out
}

func TestSinceThen(t *testing.T) {
	before := dump{workstation: {"a = 1"}, "lb": {"a = 1", "b = 1"}}
	for _, c := range []struct {
		name string
		now  dump
		want string
	}{
		{"the same", dump{workstation: {"a = 1"}, "lb": {"b = 1", "a = 1"}}, ""},
		{"a module was loaded", dump{workstation: {"a = 1", "m = 0"}, "lb": {"a = 1", "b = 1", "m = 0"}}, ""},
		{"its setting is left", dump{workstation: {"a = 1", "m = 0"}, "lb": {"a = 1", "b = 1", "m = 1"}}, "lb + m = 1"},
		{"a setting is left", dump{workstation: {"a = 1"}, "lb": {"a = 1", "b = 2"}}, "lb - b = 1, lb + b = 2"},
		{"something is gone", dump{workstation: {"a = 1"}, "lb": {"b = 1"}}, "lb - a = 1"},
	} {
		if got := strings.Join(before.sinceThen(c.now), ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// onHost runs a shell script on a host and returns its standard output.
func onHost(ctx context.Context, l *testenv.Lab, host, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	if host == workstation {
		status, err := l.Run(ctx, testenv.Command{Args: []string{"sh", "-c", script}, Stdout: &stdout, Stderr: &stderr})
		if err == nil && status != 0 {
			err = fmt.Errorf("exit status %d", status)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w: %s", host, err, stderr.String())
		}
		return stdout.String(), nil
	}
	client, err := l.Dial(host)
	if err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("%s: %w", host, err)
	}
	session.Stdout, session.Stderr = &stdout, &stderr
	if err := session.Run(script); err != nil {
		return "", fmt.Errorf("%s: %w: %s", host, err, stderr.String())
	}
	return stdout.String(), nil
}
