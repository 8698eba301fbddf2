package read

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lvsform/lvsform/inventory"
)

// With its config-id told, a director has the lines for it, and braces are
// those that its keepalived sees.
func TestConfigID(t *testing.T) {
	const text = `@lb1 vrrp_instance VI_1 {
@lb2 vrrp_instance VI_2 {
    @lb1 interface eth0
    @^lb1	interface eth1
    virtual_ipaddress {
        192.0.2.30/24
    }
}
@lb1 $WEIGHT=3
@lb2 $WEIGHT=5
@lb2 include web.conf
@lb2
virtual_server 192.0.2.30 80 {
    protocol TCP
    lb_kind DR
    real_server 192.0.2.11 80 {
        weight $WEIGHT
    }
}
`
	for id, want := range map[string]string{
		"lb1": `director "" nic "eth0" address invalid IP
6: vip 192.0.2.30/24 on eth0
13: service "" tcp 192.0.2.30:80 wlc [] persistence {Timeout:0 Bits:32 Engine:} one packet false
16:   192.0.2.11:80 dr weight 3 thresholds 0 0
2: left @lb2 vrrp_instance VI_2 { # the line is not for config-id lb1, the director's
4: left @^lb1 interface eth1 # the line is not for config-id lb1, the director's
10: left @lb2 $WEIGHT=5 # the line is not for config-id lb1, the director's
11: left @lb2 include web.conf # the line is not for config-id lb1, the director's
`,
		"lb2": `director "" nic "eth1" address invalid IP
6: vip 192.0.2.30/24 on eth1
13: service "" tcp 192.0.2.30:80 wlc [] persistence {Timeout:0 Bits:32 Engine:} one packet false
16:   192.0.2.11:80 dr weight 5 thresholds 0 0
1: left @lb1 vrrp_instance VI_1 { # the line is not for config-id lb2, the director's
3: left @lb1 interface eth0 # the line is not for config-id lb2, the director's
9: left @lb1 $WEIGHT=3 # the line is not for config-id lb2, the director's
11: left include web.conf # the source is no file, so that there is no folder to look in
`,
	} {
		found, err := Keepalived("f", []byte(text), Around{ConfigID: id})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if diff := cmp.Diff(want, dumpFound(found)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}

// listed is what is left with its place.
func listed(l Left) string {
	where := fmt.Sprintf("line %d", l.Line)
	if l.File != "" {
		where += " of " + l.File
	}
	return where + ": " + l.Text + ": " + l.Why
}

// kept is a folder with a configuration in several files.
func kept(files map[string]string) Around {
	all := fstest.MapFS{}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	if f := all["run.conf"]; f != nil {
		f.Mode = 0o755
	}
	return Around{Dir: "/etc/keepalived", Folders: []Folder{{Path: "/etc/keepalived", Name: "copy", Files: all}}}
}

// Files are read where they are included, and lines are those of their file.
func TestInclude(t *testing.T) {
	around := kept(map[string]string{
		"conf.d/a.conf":     "virtual_server 192.0.2.30 81 {\n    include ../servers/*\n}\n",
		"conf.d/b.conf":     "$WEIGHT=7\nvirtual_server 192.0.2.30 $PORT {\nprotocol TCP\nlb_kind DR\nalpha\ninclude /etc/keepalived/servers/{1,2}\n}",
		"conf.d/.old.conf":  "nonsense {",
		"conf.d/other":      "nonsense {",
		"servers/1":         "real_server 192.0.2.11 {\n}\n",
		"servers/2":         "protocol TCP\nlb_kind DR\nreal_server 192.0.2.12 { weight 2\n}\n",
		"run.conf":          "nonsense {",
		"vips/instance.inc": "\ufeffinterface ens33\r\nvirtual_ipaddress {\r\n192.0.2.30/24\r\n}\r\n",
	})
	const text = `$PORT=82
vrrp_instance VI_1 {
    includea vips/instance.inc
    virtual_ipaddress {
        192.0.2.30/24
    }
}
include $DIR/none/*.conf
include /etc/keepalived/conf.d/*.conf
include run.conf
include /usr/share/keepalived/*.conf
include conf.d
virtual_server 192.0.2.30 83 {
    protocol TCP
    lb_kind DR
    quorum 1
    real_server 192.0.2.13 { weight $WEIGHT
    }
}
`
	found, err := Keepalived("copy/keepalived.conf", []byte(text), around)
	if err != nil {
		t.Fatal(err)
	}
	checkFound(t, found)
	const want = `director "" nic "ens33" address invalid IP
6: vip 192.0.2.30/24 on ens33
15: service "" tcp 192.0.2.30:81 wlc [] persistence {Timeout:0 Bits:32 Engine:} one packet false
17:   192.0.2.11:81 dr weight 1 thresholds 0 0
22:   192.0.2.12:81 dr weight 2 thresholds 0 0
28: service "" tcp 192.0.2.30:82 wlc [] persistence {Timeout:0 Bits:32 Engine:} one packet false
33:   192.0.2.11:82 dr weight 1 thresholds 0 0
38:   192.0.2.12:82 dr weight 2 thresholds 0 0
45: service "" tcp 192.0.2.30:83 wlc [] persistence {Timeout:0 Bits:32 Engine:} one packet false
49:   192.0.2.13:83 dr weight 7 thresholds 0 0
`
	services, _, _ := strings.Cut(dumpFound(found), ": left")
	if diff := cmp.Diff(want, services[:strings.LastIndexByte(services, '\n')+1]); diff != "" {
		t.Error(diff)
	}
	var left []string
	for _, l := range found.Left {
		left = append(left, listed(l))
	}
	if diff := cmp.Diff([]string{
		"line 5: 192.0.2.30/24: line 3 of copy/vips/instance.inc has the address already",
		"line 8: include $DIR/none/*.conf: there is no such file",
		"line 3 of copy/conf.d/b.conf: protocol TCP: line 1 of copy/servers/2 says it again, and counts",
		"line 4 of copy/conf.d/b.conf: lb_kind DR: line 2 of copy/servers/2 says it again, and counts",
		"line 5 of copy/conf.d/b.conf: alpha: no health checks in an inventory: real servers stay until it says otherwise",
		"line 10: include run.conf: copy/run.conf is executable, or no regular file: keepalived does not read it",
		"line 11: include /usr/share/keepalived/*.conf: it is outside of the file's own folder; --include FOLDER, or --include PATH=FOLDER for a copy, lets it be read",
		"line 12: include conf.d: copy/conf.d is executable, or no regular file: keepalived does not read it",
		"line 16: quorum 1: no health checks in an inventory: real servers stay until it says otherwise",
	}, left); diff != "" {
		t.Error(diff)
	}
}

// What is wrong in an included file is told with that file and its line.
func TestIncludeProblems(t *testing.T) {
	around := kept(map[string]string{
		"bad.conf":   "\nvirtual_server 192.0.2.30 80 {\nreal_server web1 80 { }\n",
		"again.conf": "virtual_server 192.0.2.31 80 {\nprotocol TCP\nlb_kind DR\nreal_server 192.0.2.11 80 { }\n}\n",
		"binary":     "router_id lb1\n\x00",
		"self.conf":  "include self.conf\ninclude self.conf\n",
		"empty":      "",
	})
	for _, c := range []struct{ name, text, want string }{
		{"mistakes", "include bad.conf\n}\ninclude again.conf\ninclude again.conf\nvirtual_server\n", `copy/bad.conf:3: real server "web1" is not an address; host names are not looked up: write the address
copy/again.conf:1: duplicate virtual service tcp 192.0.2.31:80, first in line 1; want each once
copy/keepalived.conf:5: the block of virtual_server is missing; want { after it`},
		{"not closed", "include bad.conf", `copy/bad.conf:2: the block of virtual_server is not closed; a } is missing
copy/bad.conf:3: real server "web1" is not an address; host names are not looked up: write the address`},
		{"binary", "\ninclude binary", "copy/binary:2: a NUL byte: this is not a text file"},
		{"itself", "include self.conf", "copy/self.conf:1: more than 16 files included in one another; does a file include itself?"},
		{"braces", "include {1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}", "copy/keepalived.conf:1: the braces of this include make more than 1024 names; write several lines"},
		{"many", strings.Repeat("include empty\n", maxIncluded+1), "copy/keepalived.conf:1025: more than 1024 files are included; does a file include itself?"},
	} {
		_, err := Keepalived("copy/keepalived.conf", []byte(c.text), around)
		if err == nil {
			t.Errorf("%s: no problem", c.name)
			continue
		}
		if diff := cmp.Diff(c.want, err.Error()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// A copy stands in for the folder that the configuration names, and only what
// is told is read.
func TestIncludeFolders(t *testing.T) {
	deep := kept(map[string]string{"web.conf": "include ../extra.conf", "extra.conf": "router_id no"}).Folders[0].Files
	for _, c := range []struct {
		around Around
		want   string
	}{
		{Around{}, "line 1: include /srv/conf.d/*.conf: it is outside of the file's own folder; --include FOLDER, or --include PATH=FOLDER for a copy, lets it be read"},
		{Around{Dir: "/home", Folders: []Folder{{"/home", "", deep}}}, "line 1: include /srv/conf.d/*.conf: it is outside of the file's own folder; --include FOLDER, or --include PATH=FOLDER for a copy, lets it be read"},
		{Around{Folders: []Folder{{"/srv/conf.d", "backup", deep}}}, "line 1 of backup/web.conf: include ../extra.conf: it is outside of the file's own folder; --include FOLDER, or --include PATH=FOLDER for a copy, lets it be read"},
		{Around{Folders: []Folder{{"/", "backup", deep}}}, "line 1: include /srv/conf.d/*.conf: there is no such file"},
	} {
		found, err := Keepalived("f", []byte("include /srv/conf.d/*.conf"), c.around)
		if err != nil {
			t.Error(err)
			continue
		}
		var left []string
		for _, l := range found.Left {
			if !strings.Contains(l.Text, "router_id") {
				left = append(left, listed(l))
			}
		}
		if got := strings.Join(left, "\n"); got != c.want {
			t.Errorf("%v: %q, want %q", c.around, got, c.want)
		}
	}
}

// Two files that include each other, and a config-id.
func FuzzInclude(f *testing.F) {
	f.Add("include other.conf\n@lb1 vrrp_instance x {\n}\n", "$X= \\\n b\n\ninclude main.conf\nvirtual_server fwmark 3 {\n", "")
	f.Add("virtual_server 192.0.2.1 80 {\ninclude {other,main}.conf\n}\n", "protocol TCP\nreal_server 192.0.2.3 80 { }\n", "lb1")
	f.Fuzz(func(t *testing.T, main, other, id string) {
		around := kept(map[string]string{"main.conf": main, "other.conf": other})
		around.ConfigID = id
		of := func(file string) []byte {
			switch file {
			case "", "main.conf", "copy/main.conf":
				return []byte(main)
			case "copy/other.conf":
				return []byte(other)
			}
			t.Errorf("file %q", file)
			return nil
		}
		found, err := Keepalived("main.conf", []byte(main), around)
		if err == nil {
			checkFound(t, found)
			for _, l := range found.Left {
				checkLine(t, of(l.File), l.Line, l.Text+l.Why)
			}
			return
		}
		var problems inventory.Problems
		if found != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("found %v, %#v; want problems", found, err)
		}
		for _, p := range problems {
			checkLine(t, of(p.Pos.File), p.Pos.Line, p.What+p.Fix)
		}
	})
}

// A line that is not put in and opens or closes a block leaves unknown which
// lines are in which block: that is said, and nothing of the braces after it.
func TestBlocksOfLinesNotPutIn(t *testing.T) {
	const repeated = "a repeated line opens or closes a block, and repeated lines are not put in; write out the lines that it stands for"
	const long = "a line with $RS opens or closes a block, and definitions of several lines are not put in; write the definition in one line"
	for _, c := range []struct {
		lines string // from line 4 on
		want  string
	}{
		{"~SEQ(i,4,6) real_server 192.0.2.$i 80 {\nweight 5\n}\n", "f:4: " + repeated},
		{"~LST(a,192.0.2.4,192.0.2.5) real_server $a 80\n{\nweight 5\n}\n", "f:4: " + repeated},
		{"real_server 192.0.2.4 80 {\n~SEQ(i,1,2) }\n", "f:5: " + repeated},
		{"$S=~SEQ(i,4,6)\n$S real_server 192.0.2.$i 80 {\n}\n~SEQ(i,7,8) real_server 192.0.2.$i 80 {\n}\n", "f:5: " + repeated + "\nf:7: " + repeated},
		{"$RS=192.0.2.4 \\\n80\n\nreal_server $RS {\nweight 5\n}\n", "f:7: " + long},
		{"$RS=192.0.2.4 \\\n80\n\nreal_server $RS\n{\nweight 5\n}\n", "f:7: " + long},
	} {
		_, err := Keepalived("f", []byte("virtual_server 192.0.2.30 80 {\nprotocol TCP\nlb_kind DR\n"+c.lines+"}\nvirtual_server 192.0.2.30 81 {\n"), Around{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.lines, err, c.want)
		}
	}
	// A whole block in such a line is left out with it.
	found, err := Keepalived("f", []byte("virtual_server 192.0.2.30 80 {\nprotocol TCP\nlb_kind DR\n~SEQ(i,4,6) real_server 192.0.2.${i} 80 { weight 5 }\nreal_server 192.0.2.9 80 {\n}\n}\n"), Around{})
	if err != nil || len(found.Services) != 1 || len(found.Services[0].RealServers) != 1 || len(found.Left) != 1 {
		t.Errorf("%v %v", found, err)
	}
}
