package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/journal"
)

// testRun is a run that reads one ssh_config in a home of its own.
func testRun(t *testing.T, config string, o Options) (*run, error) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	t.Setenv("OTHER_SOCK", "/run/other")
	for name, text := range map[string]string{
		"config":       config,
		"more/1.conf":  "Host inc*\n  User one\n",
		"more/2.conf":  "Host inc2\n  User two\n  Port 2\nMatch final all\n  Port 3\n",
		"broken":       "Port\n",
		"writable":     "User evil\n",
		"loop":         "Include loop\n",
		"second":       "User second\nPort 22\n",
		"broken-match": "Match exec \"exit 1\"\n  User evil\nHost *\n  User good\n",
	} {
		path := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(home, ".ssh", "writable"), 0o620); err != nil {
		t.Fatal(err)
	}
	o.ConfigFiles = []string{filepath.Join(home, ".ssh", "config"), filepath.Join(home, ".ssh", "second"), filepath.Join(home, "none")}
	return newRun(&o)
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		config string
		target journal.Member
		opts   Options
		want   func(e *endpoint) // changes to what is expected without any words
	}{
		{name: "nothing said", target: journal.Member{Name: "web1"}, want: func(*endpoint) {}},
		{name: "fallback", target: journal.Member{Name: "web1", Fallback: "192.0.2.4"},
			want: func(e *endpoint) { e.host = "192.0.2.4" }},
		{name: "HostName over fallback", config: "HostName %h.example.net\n", target: journal.Member{Name: "web1", Fallback: "192.0.2.4"},
			want: func(e *endpoint) { e.host = "web1.example.net" }},
		{name: "inventory over ssh_config",
			config: "Host web1\n HostName 192.0.2.9\n Port 9\n User nine\n IdentityFile ~/nine\n ProxyJump nine\n ConnectTimeout 9\n",
			target: journal.Member{Name: "web1", Address: "192.0.2.1", Port: 2022, User: "admin", Key: "~/one", Jump: "gate"},
			opts:   Options{ConnectTimeout: time.Second},
			want: func(e *endpoint) {
				e.host, e.port, e.user, e.jump, e.timeout = "192.0.2.1", "2022", "admin", []string{"gate"}, time.Second
				e.keys, e.noDefaultKeys = []string{"HOME/one", "HOME/nine"}, true
			}},
		{name: "everything in ssh_config",
			config: `Host web*
 HostName=192.0.2.9
 Port 9
 User nine
 IdentityFile %d/.ssh/%h-%r
 IdentityFile "~/a b"
 IdentitiesOnly yes
 IdentityAgent $OTHER_SOCK
 ProxyJump a, root@b:22
 HostKeyAlias web
 UserKnownHostsFile ~/known /etc/known
 GlobalKnownHostsFile none
 StrictHostKeyChecking accept-new
 HashKnownHosts yes
 ConnectTimeout 9
`,
			target: journal.Member{Name: "web1"},
			want: func(e *endpoint) {
				e.host, e.port, e.user, e.jump = "192.0.2.9", "9", "nine", []string{"a", "root@b:22"}
				e.keys, e.identitiesOnly, e.agentSocket = []string{"HOME/.ssh/192.0.2.9-nine", "HOME/a b"}, true, "/run/other"
				e.noDefaultKeys = true
				e.alias, e.acceptNew, e.hashNames, e.timeout = "web", true, true, 9*time.Second
				e.knownHosts, e.newKeys = []string{"HOME/known", "/etc/known"}, "HOME/known"
			}},
		{name: "no checking is taken as checking", config: "StrictHostKeyChecking no\n", target: journal.Member{Name: "web1"}, want: func(*endpoint) {}},
		{name: "no agent, no jump, no user file", config: "IdentityAgent none\nUserKnownHostsFile none\nGlobalKnownHostsFile /g\n",
			target: journal.Member{Name: "web1", Jump: "none"},
			want:   func(e *endpoint) { e.agentSocket, e.knownHosts, e.newKeys = "", []string{"/g"}, "" }},
		{name: "included, then the section again", config: "Host inc2\n Include more/*.conf\n Port 44\nHost *\n User last\n", target: journal.Member{Name: "inc2"},
			want: func(e *endpoint) { e.host, e.user, e.port = "inc2", "one", "2" }},
		{name: "section after an include", config: "Host web1\n Include more/*.conf\n Port 44\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.port = "44" }},
		{name: "Match that cannot be decided", config: "Include broken-match\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.user = "good" }},
		{name: "Match host with a criterion that is false", config: "Match host web1 exec \"false\"\n Port 5\nMatch host x localuser *\n Port 6\n", target: journal.Member{Name: "web1"},
			want: func(*endpoint) {}},
		{name: "what the inventory settles is matched", config: "Match user admin host 192.0.2.1\n Port 5\nHostName never%n\n",
			target: journal.Member{Name: "web1", User: "admin", Address: "192.0.2.1"},
			want:   func(e *endpoint) { e.user, e.host, e.port = "admin", "192.0.2.1", "5" }},
		{name: "tokens and variables", config: "HostKeyAlias ali\nIdentityFile ${OTHER_SOCK}/%k-%n-%i%%\nCertificateFile ~root/c\nIdentityAgent ${OTHER_SOCK}\nProxyJump gate-%n:%p\nGlobalKnownHostsFile ~/%h\n",
			target: journal.Member{Name: "web1"},
			want: func(e *endpoint) {
				e.alias, e.agentSocket, e.jump = "ali", "/run/other", []string{"gate-web1:22"}
				e.keys, e.noDefaultKeys = []string{fmt.Sprintf("/run/other/ali-web1-%d%%", os.Getuid())}, true
				e.certificates = []string{"/root/c"}
				e.knownHosts[2], e.knownHosts = "~/%h", e.knownHosts[:3] // ssh(1) expands nothing in it
			}},
		{name: "no key file at all", config: "IdentityFile none\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.noDefaultKeys = true }},
		{name: "yes is also true", config: "IdentitiesOnly true\nHashKnownHosts TRUE\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.identitiesOnly, e.hashNames = true, true }},
		{name: "time with a unit", config: "ConnectTimeout 1m3s\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.timeout = 63 * time.Second }},
		{name: "the first of ProxyCommand and ProxyJump", config: "ProxyCommand none\nProxyJump gate\n", target: journal.Member{Name: "web1"},
			want: func(*endpoint) {}},
		{name: "Match host", config: "Match host web1\n Port 5\nMatch all\n Port 6\n", target: journal.Member{Name: "web1"},
			want: func(e *endpoint) { e.port = "5" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := testRun(t, c.config, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.endpoint(t.Context(), c.target)
			if err != nil {
				t.Fatal(err)
			}
			want := &endpoint{name: c.target.Name, host: "web1", port: "22", user: "second", agentSocket: "/run/agent",
				knownHosts: []string{"HOME/.ssh/known_hosts", "HOME/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"},
				newKeys:    "HOME/.ssh/known_hosts", timeout: defaultConnectTimeout}
			c.want(want)
			for _, list := range [][]string{want.keys, want.knownHosts} {
				for i := range list {
					list[i] = strings.Replace(list[i], "HOME", r.home, 1)
				}
			}
			want.newKeys = strings.Replace(want.newKeys, "HOME", r.home, 1)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(endpoint{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{"User a\nInclude broken\n", "/.ssh/broken:1: "},
		{"Include loop\n", "Include goes deeper than 16 files"},
		{"Host web1\nPort ssh\n", `/.ssh/config:2: Port "ssh" is no port number`},
		{"ProxyCommand nc %h %p\n", "/.ssh/config:1: ProxyCommand is not supported"},
		{"ProxyJump root@:22\n", `jump "root@:22" names no host`},
		{"ProxyJump gate:ssh\n", `"ssh" is no port number`},
		{"ProxyJump ssh://root@gate:22/path\n", `jump "ssh://root@gate:22/path": "22/path" is no port number`},
		{"ProxyJump ssh://gate/path\n", `jump "ssh://gate/path" is neither a host of the inventory, nor `},
		{"ProxyJump ssh://ro%%6ft@gate\n", `jump "ssh://ro%6ft@gate": escapes and parameters are not supported`},
		{"ProxyCommand nc %h %p\nProxyJump gate\n", "/.ssh/config:1: ProxyCommand is not supported"},
		{"IdentityFile ~/%x\n", "/.ssh/config:1: the token %x is not supported"},
		{"HostName %n\n", "/.ssh/config:1: the token %n is not supported"},
		{"IdentityFile ${NOT_SET_ANYWHERE}/a\n", "/.ssh/config:1: the environment variable NOT_SET_ANYWHERE is not set"},
		{"ConnectTimeout soon\n", `/.ssh/config:1: ConnectTimeout "soon" is no time`},
		{"IdentitiesOnly perhaps\n", `/.ssh/config:1: IdentitiesOnly "perhaps" is neither yes nor no`},
		{"User a b\n", "/.ssh/config:1: User has more than one value"},
		{"Include writable\n", "/.ssh/writable: bad owner or permissions (0620)"},
	} {
		r, err := testRun(t, c.config, Options{})
		if err == nil {
			_, err = r.route(t.Context(), journal.Member{Name: "web1"})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.config, err, c.want)
		}
	}
}

func TestTextIsKeptInPart(t *testing.T) {
	var kept text
	for range 3 {
		if n, err := kept.Write([]byte(strings.Repeat("x", maxText-1))); n != maxText-1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := len(kept.String()); got != maxText {
		t.Errorf("%d bytes kept, want %d", got, maxText)
	}
}

func TestConfigThatOthersCanWrite(t *testing.T) {
	r, err := testRun(t, "User a\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.home, ".ssh", "config")
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(r.home, []string{file}); err == nil || !strings.Contains(err.Error(), file+": bad owner or permissions (0664)") {
		t.Errorf("a file that the group can write: %v", err)
	}
}

func TestJumpWords(t *testing.T) {
	r, err := testRun(t, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]journal.Member{
		"gate":                             {Name: "gate"},
		"root@gate:2022":                   {Name: "gate", User: "root", Port: 2022},
		"ssh://root@gate:2022":             {Name: "gate", User: "root", Port: 2022},
		"ssh://gate/":                      {Name: "gate"},
		"ssh://root@[2001:db8::1]:2022":    {Name: "2001:db8::1", User: "root", Port: 2022},
		"root@2001:db8::1":                 {Name: "2001:db8::1", User: "root"},
		"corp\\root@example.com@gate:2022": {Name: "gate", User: "corp\\root@example.com", Port: 2022},
	} {
		if got, err := r.jumpTarget(word); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", word, got, err, want)
		}
	}
}
