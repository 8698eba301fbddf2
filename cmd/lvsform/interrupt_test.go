package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/fault"
)

// An interrupt while a host keeps silent is of its own kind, in text and as
// JSON, whatever the command waits for.
func TestInterrupt(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for command, says := range map[string]string{
		"plan --json": "nothing was changed", "apply --yes --json": "nothing was changed", "destroy --yes": "nothing was changed", "drift --json": "nothing was changed",
		"list --json": "nothing was changed", "verify --json": "there is no verdict", "verify": "there is no verdict",
		"import live lb=127.0.0.1:PORT": "nothing was written",
	} {
		t.Run(command, func(t *testing.T) {
			silent, port, file := silentHosts(t)
			args := strings.Fields(strings.Replace(command, "PORT", port, 1))
			if args[0] != "import" {
				args = append(args, file)
			}
			var out, errs bytes.Buffer
			cmd := exec.Command(self)
			cmd.Args = append([]string{"lvsform"}, args...)
			cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			conn, err := silent.Accept() // it is connecting, and hears of signals
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close() //nolint:errcheck // nothing is written
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitError {
				t.Errorf("%v", err)
			}
			if want := "lvsform: interrupted: " + says + "\n"; errs.String() != want {
				t.Errorf("says %q, want %q", errs.String(), want)
			}
			if !strings.Contains(command, "--json") {
				return
			}
			var doc Failures
			if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Errors) != 1 || doc.Errors[0].Kind != fault.Interrupted {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}

// silentHosts is an inventory of hosts that take connections and say nothing.
func silentHosts(t *testing.T) (silent net.Listener, port, file string) {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	_, port, _ = net.SplitHostPort(silent.Addr().String())
	file = filepath.Join(t.TempDir(), "lvsform.yaml")
	text := fmt.Sprintf(`
version: 1
name: silent
networks: {lan: 192.0.2.0/24}
ssh: {port: %s}
hosts:
  client: {role: client, nics: {eth0: {network: lan, address: 192.0.2.7}}}
  lb: {role: director, nics: {eth0: {network: lan, address: 192.0.2.3}}}
  web1: {role: real-server, nics: {eth0: {network: lan, address: 192.0.2.4}}}
services:
  - {name: web, vip: 192.0.2.30, port: 80, mode: dr, directors: [lb], real_servers: [web1]}
`, port)
	text = strings.ReplaceAll(text, ": {role:", ": {ssh: {address: 127.0.0.1}, role:")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return silent, port, file
}
