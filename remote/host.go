package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/plain"
)

// Host is a host whose agent runs and answers.
type Host struct {
	link  *link
	agent *process
	wire  *wire.Client
}

var _ wire.Caller = (*Host)(nil)

// Call implements wire.Caller. Any error but a *fault.Error, which the agent
// itself has told, means that the connection is closed. The error does not name
// the host: the caller knows it.
func (h *Host) Call(ctx context.Context, method wire.Method, req, resp any) error {
	err := h.wire.Call(ctx, method, req, resp)
	var told *fault.Error
	if err != nil && !errors.As(err, &told) && ctx.Err() == nil {
		err = h.agent.lastWords(err)
	}
	return err
}

// Close ends the agent and the connection. It does not wait for the host and
// never fails; a second call does nothing.
func (h *Host) Close() error {
	cut := time.AfterFunc(time.Second, h.link.close) // a dead host takes no goodbye
	_ = h.agent.in.Close()
	cut.Stop()
	h.link.close()
	return nil
}

// process is a program that runs on a host.
type process struct {
	in     io.WriteCloser
	out    io.Reader
	stderr text
	ended  chan struct{} // closed once status is set
	status error
}

// sessionTries is how often a session is asked for that the server refuses. It
// still counts one that has just ended, for as long as it takes it to notice.
const sessionTries = 6

// session opens a session.
func (l *link) session() (*ssh.Session, error) {
	for try, wait := 1, 20*time.Millisecond; ; try, wait = try+1, 2*wait {
		s, err := l.client.NewSession()
		var refused *ssh.OpenChannelError
		switch {
		case err == nil:
			l.sessions++
			return s, nil
		case !errors.As(err, &refused):
			return nil, err
		case l.sessions == 0 || try == sessionTries:
			return nil, fault.New(fault.Permission, "the server opens no session: %s; see MaxSessions in its sshd_config", plain.Words(err.Error()))
		}
		time.Sleep(wait)
	}
}

// exec starts a command on the host.
func (l *link) exec(command string) (*process, error) {
	s, err := l.session()
	if err != nil {
		return nil, err
	}
	p := &process{ended: make(chan struct{})}
	s.Stderr = &p.stderr
	if p.in, err = s.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = s.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := s.Start(command); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	go func() {
		p.status = s.Wait()
		close(p.ended)
	}()
	return p, nil
}

// exitStatus is the process's, or -1; after ended is closed.
func (p *process) exitStatus() int {
	var exit *ssh.ExitError
	if errors.As(p.status, &exit) && exit.Signal() == "" {
		return exit.ExitStatus()
	}
	return -1
}

// end says how the process ended, after ended is closed.
func (p *process) end() string {
	var text string
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case p.status == nil:
		text = "exit status 0"
	case errors.As(p.status, &exit) && exit.Signal() != "":
		text = "killed by signal " + plain.Words(exit.Signal())
	case errors.As(p.status, &exit):
		text = fmt.Sprintf("exit status %d", exit.ExitStatus())
	case errors.As(p.status, &missing):
		text = "the connection was lost"
	default:
		text = plain.Words(p.status.Error())
	}
	if words := p.stderr.String(); words != "" {
		text += ": " + words
	}
	return text
}

// lastWords adds to a broken conversation's error how the process ended, if
// that is known within a second.
func (p *process) lastWords(err error) error {
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-p.ended:
		return fmt.Errorf("%w (%s)", err, p.end())
	case <-limit.C:
		return err
	}
}
