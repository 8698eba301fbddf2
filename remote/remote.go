// Package remote reaches hosts over SSH: it connects, sees that the agent is
// there, starts it, and carries calls to it.
//
// One connection and one exec a host is all that a warm start takes. Everything
// that hosts share (ssh_config, known_hosts, keys, the agent's binary, a jump
// host) is read or opened once for a whole run.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
)

// Options are the choices that all hosts of a run share. The zero value, and a
// nil pointer, mean the defaults.
type Options struct {
	// Executable returns the path of the agent's binary for a Go architecture.
	// Default: the running program for its own architecture, and
	// lvsform-linux-<arch> beside it for any other.
	Executable func(arch string) (path string, err error)
	// AgentDir is where agents live on a host; root's alone. Default:
	// /var/lib/lvsform/agent.
	AgentDir string
	// ConfigFiles are ssh_config(5) files, of which the first to say something
	// wins. nil means ~/.ssh/config and /etc/ssh/ssh_config.
	ConfigFiles []string
	// KnownHosts are known_hosts files; new keys go to the first. nil means
	// what ssh_config says, or OpenSSH's own default files.
	KnownHosts []string
	// AcceptNew adds the keys of unknown hosts to known_hosts, as OpenSSH's
	// StrictHostKeyChecking=accept-new does. A changed key is still refused.
	AcceptNew bool
	// ConnectTimeout limits the TCP connection and then the SSH handshake.
	// Default: ssh_config's ConnectTimeout, or 10 seconds.
	ConnectTimeout time.Duration
	// Parallel is how many hosts are connected to, and called, at a time.
	// Default: 32.
	Parallel int
	// Passphrase asks for the passphrase of a key, once per key and run. It may
	// be called while connections wait. nil: encrypted keys are not used.
	Passphrase func(prompt string) ([]byte, error)
	// Jumps finds the host of the inventory that a jump names. nil: none.
	Jumps func(name string) (journal.Member, bool)
	// Progress is told when a host enters a step, and with an empty step that it
	// is through, connected or not; calls come from several goroutines at once.
	// nil: nobody is told.
	Progress func(host, step string)

	// Tests shorten these.
	keepAlive  time.Duration // how often a silent host is asked for a sign of life
	startLimit time.Duration // for the start of the agent
	backoff    time.Duration // before the second try of a connection that the server dropped
}

const (
	defaultAgentDir       = journal.Dir + "/" + journal.AgentDir
	defaultConnectTimeout = 10 * time.Second
	defaultParallel       = 32
	defaultKeepAlive      = 15 * time.Second
	defaultBackoff        = 100 * time.Millisecond
)

// withDefaults returns a copy in which nothing is left open but what
// ssh_config may still say.
func (o *Options) withDefaults(home string) Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Executable == nil {
		d.Executable = executable
	}
	d.AgentDir = cmp.Or(d.AgentDir, defaultAgentDir)
	if d.ConfigFiles == nil {
		d.ConfigFiles = []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	}
	if d.Parallel < 1 {
		d.Parallel = defaultParallel
	}
	if d.Progress == nil {
		d.Progress = func(string, string) {}
	}
	if d.Jumps == nil {
		d.Jumps = func(string) (journal.Member, bool) { return journal.Member{}, false }
	}
	d.keepAlive = cmp.Or(d.keepAlive, defaultKeepAlive)
	d.startLimit = cmp.Or(d.startLimit, defaultStartLimit)
	d.backoff = cmp.Or(d.backoff, defaultBackoff)
	return d
}

// executable is the default of Options.Executable.
func executable(arch string) (string, error) {
	if runtime.GOOS == "linux" && arch == runtime.GOARCH {
		// Not its name: the file may have been replaced since this program
		// was started, and both ends must be the same.
		return "/proc/self/exe", nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), "lvsform-linux-"+arch), nil
}

// Step is a stage on the way to a host.
type Step string

// The steps, in their order.
const (
	StepConfig  Step = "configuration"
	StepJump    Step = "jump"
	StepResolve Step = "resolve"
	StepConnect Step = "connect"
	StepHostKey Step = "host key"
	StepAuth    Step = "authentication"
	StepStart   Step = "start agent"
	StepPush    Step = "push agent"
)

// Error is a failure with one host.
type Error struct {
	Host string
	Step Step // empty: none in particular
	Err  error
}

func (e *Error) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("%s: %v", e.Host, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Host, e.Step, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// FaultKind implements fault.Kinded.
func (e *Error) FaultKind() fault.Kind {
	var given fault.Kinded
	switch {
	case errors.As(e.Err, &given):
		return given.FaultKind()
	case errors.Is(e.Err, context.Canceled): // by whoever waits for it, whatever the step
		return fault.Of(context.Canceled)
	case e.Step == StepConfig:
		return fault.Input
	default:
		return fault.Connection
	}
}
