package read

import (
	"fmt"
	"strings"
	"testing"
)

// What a source has that could be a secret is told nowhere, however it is
// written: neither as not carried over, nor as a mistake.
func TestSecretsHoweverWritten(t *testing.T) {
	const secret = "Zx9q7"
	service := func(check string) string {
		return "virtual_server 192.0.2.30 80 {\nprotocol TCP\nreal_server 192.0.2.4 80 {\n" + check + "\n}\n}\n"
	}
	section := func(line string) string {
		return "virtual=192.0.2.30:80\n    real=192.0.2.4:80 gate\n    " + line + "\n"
	}
	for _, c := range []struct {
		name string
		read reader
		text string
		told string // of the line with the secret
	}{
		{"several keywords in a line", keepalived, "vrrp_instance v {\nauthentication { auth_type PASS auth_pass Zx9q7 }\n}\n", "authentication { auth_type PASS **** }"},
		{"options of a check", keepalived, service(`MISC_CHECK { misc_path "/bin/probe -u root -pZx9q7 -p Zx9q7" }`), "misc_path /bin/probe …"},
		{"arguments of a check", keepalived, service(`MISC_CHECK { misc_path "/bin/probe root Zx9q7" }`), "misc_path /bin/probe …"},
		{"a variable of a check", keepalived, service(`MISC_CHECK { misc_path "PGDATA=Zx9q7 psql" }`), "misc_path PGDATA=**** …"},
		{"arguments without quotes", keepalived, "vrrp_instance v {\nnotify_master /bin/up Zx9q7\n}\n", "notify_master /bin/up …"},
		{"user of curl", keepalived, "vrrp_script s {\nscript \"curl -u user:Zx9q7 https://192.0.2.9\"\n}\n", "script curl …"},
		{"query", keepalived, service("HTTP_GET { url { path /up?apikey=Zx9q7&key=Zx9q7 } }"), "path /up?…"},
		{"header", keepalived, service(`HTTP_GET { http_header "Authorization: Basic Zx9q7" }`), "http_header ****"},
		{"header of an unknown keyword", keepalived, service(`HTTP_GET { add "Authorization: Basic Zx9q7" }`), "add Authorization:****"},
		{"options of an unknown keyword", keepalived, "vrrp_fancy /bin/x -p Zx9q7\n", "vrrp_fancy /bin/x …"},
		{"repeated lines", keepalived, "vrrp_instance v {\n~SEQ(N, 1, 3) auth_pass Zx9q7\n}\n", "auth_pass ****"},
		{"one host's lines", keepalived, "vrrp_instance v {\n@lb1 notify \"/bin/x -p Zx9q7\"\n}\n", "@lb1 notify /bin/x …"},
		{"beside a definition of several lines", keepalived, "$L=a \\\nb\nvrrp_instance v {\nauth_pass Zx9q7 $L\n}\n", "auth_pass ****"},
		{"check command", Ldirectord, section(`checkcommand="/bin/probe -p Zx9q7"`), "checkcommand=/bin/probe …"},
		{"check command without quotes", Ldirectord, section("checkcommand=/bin/probe Zx9q7"), "checkcommand=/bin/probe …"},
		{"request", Ldirectord, section(`request="up?id=Zx9q7"`), "request=up?…"},
		{"request of a real server", Ldirectord, "virtual=192.0.2.30:80\n    real=192.0.2.4:80 gate 1 \"up?id=Zx9q7\", \"OK\"\n", `"up?…`},
		{"callback", Ldirectord, "callback=\"curl https://user:Zx9q7@192.0.2.9\"\n", "callback=curl …"},
		{"user of a URL", Ldirectord, section("request=https://user:Zx9q7@192.0.2.9/up"), "request=https://****@192.0.2.9/up"},
		{"comment", Ldirectord, "virtual=7 # password Zx9q7\n    real=192.0.2.4:80 gate\n", "fwmark 7"},
		{"a mistake", Ldirectord, "virtual=192.0.2.30:80\n    real=192.0.2.4:80 gate \"up?id=Zx9q7\"\n", `up?…`},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := c.read("f", []byte(c.text))
			told := fmt.Sprint(err)
			if err == nil {
				told = dumpFound(found)
			}
			if strings.Contains(told, secret) || !strings.Contains(told, c.told) {
				t.Errorf("want %s, without the secret:\n%s", c.told, told)
			}
		})
	}
}
