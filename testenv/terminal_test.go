package testenv_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/lvsform/lvsform/testenv"
)

// TestTerminal types at a shell at the workstation.
func TestTerminal(t *testing.T) {
	kernels(t, func(t *testing.T, o testenv.Options) {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), helperVariable+"="+string(o.Kernel), "TERM=xterm-256color")
		terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 100})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = terminal.Close() }()
		stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer stop.Stop()

		var seen strings.Builder
		expect := func(want string) {
			t.Helper()
			b := make([]byte, 4096)
			for !strings.Contains(seen.String(), want) {
				n, err := terminal.Read(b)
				if err != nil {
					t.Fatalf("%q does not come (%v); on the screen:\n%s", want, err, seen.String())
				}
				seen.Write(b[:n])
			}
			rest := seen.String()[strings.Index(seen.String(), want)+len(want):]
			seen.Reset()
			seen.WriteString(rest)
		}
		enter := func(line string) {
			t.Helper()
			if _, err := terminal.WriteString(line); err != nil {
				t.Fatal(err)
			}
		}
		// the echo of what is typed must not be what is expected
		enter("PS1=; echo $((40+2)) $TERM $(stty size) $(tty) $PWD\r")
		expect("42 xterm-256color 40 100 /dev/pts/0 " + testenv.Work)
		if err := pty.Setsize(terminal, &pty.Winsize{Rows: 50, Cols: 120}); err != nil {
			t.Fatal(err)
		}
		enter("until stty size | grep '50 120'; do sleep 0.1; done; echo $((50+5))\r")
		expect("55")
		enter("sh -c 'echo $((60+6)); exec sleep 1000'\r")
		expect("66")
		enter("\x03")
		enter("echo status $?\r")
		expect("status 130")
		enter("exit 5\r")
		_ = cmd.Wait() // the status is what counts
		if status := cmd.ProcessState.ExitCode(); status != 5 {
			t.Errorf("status %d, want 5", status)
		}
	})
}
