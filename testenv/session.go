package testenv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// session is one SSH session: an environment, perhaps a terminal, and one
// command. RFC 4254, 6.
type session struct {
	server      *sshServer
	channel     ssh.Channel
	environment []string
	terminal    *terminal // nil without a pty
	pid         int       // of the command; 0 before it runs
}

func (s *sshServer) serveSession(c ssh.NewChannel, connection []string) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	x := &session{server: s, channel: channel}
	x.environment = append([]string{"USER=root", "LOGNAME=root", "SHELL=" + loginShell()}, s.environment...)
	x.environment = append(x.environment, connection...)
	for r := range requests {
		err := x.handle(r)
		if err != nil {
			// where a user looks for it
			_, _ = fmt.Fprintf(channel.Stderr(), "lvsform lab: %s: %v\r\n", r.Type, err)
		}
		if r.WantReply {
			_ = r.Reply(err == nil, nil)
		}
	}
	// the channel is closed: the connection ended, or the command did
	if x.terminal != nil {
		x.terminal.close()
	}
}

// handle carries out one request of the client.
func (x *session) handle(r *ssh.Request) error {
	switch r.Type {
	case "env":
		var v struct{ Name, Value string }
		if err := ssh.Unmarshal(r.Payload, &v); err != nil {
			return err
		}
		if x.server.acceptEnv || v.Name == "LANG" || strings.HasPrefix(v.Name, "LC_") {
			x.environment = append(x.environment, v.Name+"="+v.Value)
		}
		return nil // sshd ignores the others in silence as well
	case "pty-req":
		return x.openTerminal(r.Payload)
	case "window-change":
		return x.resize(r.Payload)
	case "signal":
		return x.signal(r.Payload)
	case "shell":
		shell := loginShell()
		// the dash makes it a login shell
		return x.start(shell, "-"+shell[strings.LastIndex(shell, "/")+1:])
	case "exec":
		var v struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &v); err != nil {
			return err
		}
		return x.start("/bin/sh", "sh", "-c", v.Command)
	case "subsystem":
		var v struct{ Name string }
		if err := ssh.Unmarshal(r.Payload, &v); err != nil {
			return err
		}
		if v.Name != "sftp" {
			return fmt.Errorf("unknown subsystem %q", v.Name)
		}
		return x.start("/usr/lib/openssh/sftp-server", "sftp-server")
	}
	return errNotSupported
}

var errNotSupported = errors.New("not supported")

// openTerminal makes a pty of the size the client says.
func (x *session) openTerminal(payload []byte) error {
	var v struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if err := ssh.Unmarshal(payload, &v); err != nil {
		return err
	}
	if x.terminal != nil {
		return errors.New("there is a terminal already")
	}
	var err error
	if x.terminal, err = newTerminal(); err != nil {
		return err
	}
	x.environment = append(x.environment, "TERM="+v.Term)
	return x.terminal.resize(v.Columns, v.Rows)
}

func (x *session) resize(payload []byte) error {
	var v struct{ Columns, Rows, Width, Height uint32 }
	if err := ssh.Unmarshal(payload, &v); err != nil {
		return err
	}
	if x.terminal == nil {
		return errors.New("there is no terminal")
	}
	return x.terminal.resize(v.Columns, v.Rows)
}

func (x *session) signal(payload []byte) error {
	var v struct{ Name string }
	if err := ssh.Unmarshal(payload, &v); err != nil {
		return err
	}
	number, ok := signals()[ssh.Signal(v.Name)]
	if !ok || x.pid == 0 {
		return fmt.Errorf("signal %q: %w", v.Name, errNotSupported)
	}
	return syscall.Kill(-x.pid, number)
}

func signals() map[ssh.Signal]syscall.Signal {
	return map[ssh.Signal]syscall.Signal{
		ssh.SIGABRT: syscall.SIGABRT, ssh.SIGALRM: syscall.SIGALRM, ssh.SIGFPE: syscall.SIGFPE,
		ssh.SIGHUP: syscall.SIGHUP, ssh.SIGILL: syscall.SIGILL, ssh.SIGINT: syscall.SIGINT,
		ssh.SIGKILL: syscall.SIGKILL, ssh.SIGPIPE: syscall.SIGPIPE, ssh.SIGQUIT: syscall.SIGQUIT,
		ssh.SIGSEGV: syscall.SIGSEGV, ssh.SIGTERM: syscall.SIGTERM,
		ssh.SIGUSR1: syscall.SIGUSR1, ssh.SIGUSR2: syscall.SIGUSR2,
	}
}

// start runs the session's one command.
func (x *session) start(name string, args ...string) error {
	if x.pid != 0 {
		return errors.New("the session has a command already")
	}
	if x.terminal != nil {
		return x.startInTerminal(name, args)
	}
	var inner, outer [3]*os.File
	for i := range inner {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if i == 0 {
			inner[i], outer[i] = r, w
		} else {
			inner[i], outer[i] = w, r
		}
	}
	exit, err := x.startProcess(name, args, inner[:], &syscall.SysProcAttr{Setsid: true})
	for _, f := range inner {
		_ = f.Close()
	}
	if err != nil {
		for _, f := range outer {
			_ = f.Close()
		}
		return err
	}
	go func() {
		_, _ = io.Copy(outer[0], x.channel)
		_ = outer[0].Close()
	}()
	var output sync.WaitGroup
	output.Go(func() { drain(x.channel, outer[1]) })
	output.Go(func() { drain(x.channel.Stderr(), outer[2]) })
	go func() {
		status := <-exit
		output.Wait()
		x.end(status)
	}()
	return nil
}

// drain copies a pipe to the client. Its closing tells the command that nobody
// reads any more.
func drain(to io.Writer, from *os.File) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
}

func (x *session) startInTerminal(name string, args []string) error {
	exit, err := x.startProcess(name, args, []*os.File{x.terminal.slave, x.terminal.slave, x.terminal.slave},
		&syscall.SysProcAttr{Setsid: true, Setctty: true})
	if err != nil {
		return err
	}
	_ = x.terminal.slave.Close()
	go func() { _, _ = io.Copy(x.terminal.master, x.channel) }()
	go func() {
		// ends when no process has the terminal open, or it is hung up:
		// at the latest when the command, its session's leader, exits
		_, _ = io.Copy(x.channel, x.terminal.master)
		x.end(<-exit)
	}()
	return nil
}

func (x *session) startProcess(name string, args []string, files []*os.File, attr *syscall.SysProcAttr) (<-chan syscall.WaitStatus, error) {
	home := "/"
	for _, v := range x.environment {
		if value, ok := strings.CutPrefix(v, "HOME="); ok {
			home = value
		}
	}
	pid, exit, err := x.server.processes.start(name, args, &os.ProcAttr{
		Dir: home, Env: x.environment, Files: files, Sys: attr,
	})
	if err != nil {
		return nil, err
	}
	x.pid = pid
	return exit, nil
}

// end tells the client how the command ended and closes the session.
func (x *session) end(status syscall.WaitStatus) {
	_ = x.channel.CloseWrite()
	if status.Signaled() {
		name := ssh.SIGKILL
		for s, number := range signals() {
			if number == status.Signal() {
				name = s
			}
		}
		_, _ = x.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}{string(name), status.CoreDump(), "", ""}))
	} else {
		_, _ = x.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status.ExitStatus())}))
	}
	_ = x.channel.Close()
}

// loginShell is root's shell.
func loginShell() string {
	for _, shell := range []string{"/bin/bash", "/bin/sh"} {
		if _, err := os.Stat(shell); err == nil {
			return shell
		}
	}
	return "/bin/sh"
}
