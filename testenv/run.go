package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// Command is a program to run in a lab.
type Command struct {
	Args   []string // none: a shell
	Dir    string   // empty: Work
	Env    []string // KEY=value, added to the workstation's own
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Terminal is the terminal that Stdin and Stdout are: the command gets
	// one of its own, of the same size and type. nil: pipes.
	Terminal *os.File
}

// interruptTimeout is what a command has to end after an interrupt.
const interruptTimeout = 10 * time.Second

// Run runs a command at the workstation and returns its exit status; 128 and
// the signal's number if a signal ended it. When the context ends, the command
// is interrupted, then hung up.
func (l *Lab) Run(ctx context.Context, c Command) (int, error) {
	session, err := l.client.NewSession()
	if err != nil {
		return 0, l.lost(err)
	}
	defer func() { _ = session.Close() }()
	session.Stdout, session.Stderr = c.Stdout, c.Stderr
	stdin, err := session.StdinPipe()
	if err != nil {
		return 0, err
	}
	for _, v := range c.Env {
		name, value, _ := strings.Cut(v, "=")
		if err := session.Setenv(name, value); err != nil {
			return 0, l.lost(err)
		}
	}
	if c.Terminal != nil {
		restore, err := joinTerminals(session, c.Terminal)
		if err != nil {
			return 0, err
		}
		defer restore()
	}
	if err := session.Start(c.shellLine()); err != nil {
		return 0, l.lost(err)
	}
	go func() {
		// a session waits for its own copying of standard input, which may
		// never end; this one it does not know of
		if c.Stdin != nil {
			_, _ = io.Copy(stdin, c.Stdin)
		}
		_ = stdin.Close()
	}()
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		go func() { _ = session.Signal(ssh.SIGINT) }() // may block as long as the stream does
		select {
		case <-ended:
		case <-time.After(interruptTimeout):
			_ = l.super.stream.Close()
		}
	})
	defer stop()
	err = session.Wait()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	}
	return 0, l.lost(err)
}

// lost explains the loss of the workstation.
func (l *Lab) lost(err error) error {
	return fmt.Errorf("the lab ended: %w%s", err, l.super.keepLog())
}

// shellLine is the command as the shell at the workstation reads it.
func (c Command) shellLine() string {
	dir := c.Dir
	if dir == "" {
		dir = Work
	}
	line := "cd " + shellQuote(dir) + " && "
	if len(c.Args) == 0 {
		return line + `exec "$SHELL"` // interactive if it has a terminal
	}
	line += "exec"
	for _, arg := range c.Args {
		line += " " + shellQuote(arg)
	}
	return line
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// joinTerminals gives the session a terminal like this one, which turns raw so
// that every key goes there. The function returned undoes that.
func joinTerminals(session *ssh.Session, terminal *os.File) (func(), error) {
	fd := int(terminal.Fd())
	width, height, err := term.GetSize(fd)
	if err != nil {
		return nil, fmt.Errorf("size of the terminal: %w", err)
	}
	kind := os.Getenv("TERM")
	if kind == "" {
		kind = "dumb"
	}
	if err := session.RequestPty(kind, height, width, ssh.TerminalModes{}); err != nil {
		return nil, fmt.Errorf("terminal at the workstation: %w", err)
	}
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("make the terminal raw: %w", err)
	}
	resized := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(resized, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-resized:
				if width, height, err := term.GetSize(fd); err == nil {
					_ = session.WindowChange(height, width)
				}
			}
		}
	}()
	return func() {
		signal.Stop(resized)
		close(done)
		_ = term.Restore(fd, state)
	}, nil
}

// Dial opens an SSH connection to a host of the inventory, through the
// workstation. The caller closes it.
func (l *Lab) Dial(host string) (*ssh.Client, error) {
	key, ok := l.access.hostKeys[host]
	if !ok {
		return nil, fmt.Errorf("no host %q in the lab", host)
	}
	conn, err := l.client.Dial("tcp", net.JoinHostPort(host, "22"))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	config := l.access.clientConfig()
	config.HostKeyCallback = ssh.FixedHostKey(key)
	c, channels, requests, err := ssh.NewClientConn(conn, host, config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	return ssh.NewClient(c, channels, requests), nil
}
