package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/journal"
	"github.com/lvsform/lvsform/plain"
)

// run is what the hosts of one run share.
type run struct {
	opts     Options
	home     string
	config   *sshConfig
	hostKeys hostKeys
	keys     *keyring
	binaries binaries

	mu    sync.Mutex
	jumps map[string]func() (*link, error) // by the way that leads there
}

func newRun(o *Options) (*run, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	opts := o.withDefaults(home)
	if err := checkAgentDir(opts.AgentDir); err != nil {
		return nil, err
	}
	config, err := readConfig(home, opts.ConfigFiles)
	if err != nil {
		return nil, err
	}
	return &run{
		opts:     opts,
		home:     home,
		config:   config,
		keys:     newKeyring(opts.Passphrase),
		binaries: binaries{executable: opts.Executable},
		jumps:    make(map[string]func() (*link, error)),
	}, nil
}

// close ends what the hosts shared. The hosts are closed before.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, get := range r.jumps {
		if l, err := get(); err == nil {
			l.close()
		}
	}
	r.keys.close()
}

// connect goes the whole way to a host: jumps, connection, agent.
func (r *run) connect(ctx context.Context, t journal.Member) (*Host, error) {
	way, err := r.route(ctx, t)
	if err != nil {
		return nil, &Error{t.Name, StepConfig, err}
	}
	l, err := r.follow(ctx, way)
	if err != nil {
		return nil, err
	}
	h, err := r.startAgent(ctx, l)
	if err != nil {
		l.close()
		return nil, err
	}
	return h, nil
}

// follow connects to the last endpoint of a way.
func (r *run) follow(ctx context.Context, way []*endpoint) (*link, error) {
	e := way[len(way)-1]
	var through *link
	if hops := way[:len(way)-1]; len(hops) > 0 {
		var names []string
		for _, h := range hops {
			names = append(names, h.user+"@"+h.address()+" "+h.alias)
		}
		r.opts.Progress(e.name, string(StepJump))
		// All hosts behind a jump share one connection to it.
		var err error
		through, err = once(&r.mu, r.jumps, strings.Join(names, ","), func() (*link, error) { return r.follow(ctx, hops) })
		if err != nil {
			return nil, &Error{e.name, StepJump, err}
		}
	}
	return r.dial(ctx, e, through)
}

// dialTries is how often a server is connected to that drops connections.
const dialTries = 6

// dial opens an authenticated SSH connection to one endpoint. A server that has
// too many logins at a time drops connections before it says a word: it is
// asked again, each time after twice the wait, give or take a half.
func (r *run) dial(ctx context.Context, e *endpoint, through *link) (*link, error) {
	r.opts.Progress(e.name, string(StepConnect))
	for try, wait := 1, r.opts.backoff; ; try, wait = try+1, 2*wait {
		l, err := r.dialOnce(ctx, e, through)
		var dropped *droppedError
		if !errors.As(err, &dropped) || !dropped.again() {
			return l, err
		}
		if try == dialTries {
			dropped.times = try
			return nil, err
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return nil, &Error{e.name, StepConnect, context.Cause(ctx)}
		}
	}
}

// droppedError is a connection that the server closed before its SSH greeting.
type droppedError struct {
	address string
	said    string // what it said instead
	times   int    // how often, if more than once
}

func (e *droppedError) Error() string {
	text := e.address + " closed the connection before its SSH greeting"
	if e.times > 1 {
		text += fmt.Sprintf(", %d times", e.times)
	}
	if e.said != "" {
		text += ", and said: " + e.said
	}
	if e.again() {
		text += "; it may have too many logins at a time (MaxStartups in its sshd_config; a smaller --parallel makes fewer)"
	}
	return text
}

// again tells whether a later connection may fare better. sshd drops one
// without a word, and since 9.8 with words that name MaxStartups; a client that
// it punishes (PerSourcePenalties) hears other ones.
func (e *droppedError) again() bool { return e.said == "" || strings.Contains(e.said, "MaxStartups") }

// greeted notes how a server begins to speak.
type greeted struct {
	net.Conn
	mu    sync.Mutex
	first []byte
}

func (g *greeted) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.first = append(g.first, p[:min(n, maxText-len(g.first))]...)
	return n, err
}

// dropped returns the error for a server that has not greeted, or nil.
func (g *greeted) dropped(address string, err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if !lost || bytes.HasPrefix(g.first, []byte("SSH-")) || bytes.Contains(g.first, []byte("\nSSH-")) {
		return nil
	}
	return &droppedError{address: address, said: plain.Words(string(g.first))}
}

func (r *run) dialOnce(ctx context.Context, e *endpoint, through *link) (*link, error) {
	conn, err := openStream(ctx, e, through)
	if err != nil {
		step := StepConnect
		switch dns := (*net.DNSError)(nil); {
		case errors.As(err, &dns):
			step = StepResolve
		case errors.Is(err, syscall.ECONNRESET):
			err = &droppedError{address: e.address()}
		}
		return nil, &Error{e.name, step, err}
	}
	client, err := r.handshake(ctx, e, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	l := &link{endpoint: e, conn: conn, client: client, ended: make(chan struct{})}
	go l.watch(r.opts.keepAlive)
	return l, nil
}

// openStream makes the byte stream that SSH runs over.
func openStream(ctx context.Context, e *endpoint, through *link) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.timeout, fmt.Errorf("%s does not answer within %v", e.address(), e.timeout))
	defer cancel()
	if through == nil {
		d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: defaultKeepAlive, Interval: defaultKeepAlive, Count: 3}}
		conn, err := d.DialContext(ctx, "tcp", e.address())
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		return prompt(conn), nil
	}
	far, err := through.client.DialContext(ctx, "tcp", e.address())
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("through %s: %w", through.endpoint.name, err)
	}
	// A forwarded connection is closed only when the jump host agrees, which
	// it cannot when it is gone. The near end of a pipe closes at once.
	near, inner := net.Pipe()
	pump := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = inner.Close() // first: far may take its time
		_ = far.Close()
	}
	go pump(far, inner)
	go pump(inner, far)
	return near, nil
}

// handshake agrees on keys, verifies the host's and logs in. A server that
// says nothing is given up after the endpoint's time limit.
func (r *run) handshake(ctx context.Context, e *endpoint, conn net.Conn) (*ssh.Client, error) {
	db, err := r.hostKeys.database(e.knownHosts)
	if err != nil {
		return nil, &Error{e.name, StepHostKey, err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var typing atomic.Bool
	limit := time.AfterFunc(e.timeout, func() {
		if typing.Load() {
			cancel(fault.New(fault.Permission, "no passphrase, touch or confirmation within %v", typingTime))
			return
		}
		cancel(fmt.Errorf("%s does not go on with the SSH handshake within %v", e.address(), e.timeout))
	})
	defer limit.Stop()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })

	var (
		verified   atomic.Bool
		hostKeyErr error
	)
	login := &login{
		endpoint: e,
		keys:     func() ([]*identity, []string) { return r.keys.identities(e, r.home) },
		ctx:      ctx,
		hold:     func() { typing.Store(true); limit.Reset(typingTime) },
		going:    func() { typing.Store(false); limit.Reset(e.timeout) },
	}
	config := &ssh.ClientConfig{
		User: e.user,
		// SupportedAlgorithms leaves out what is known to be weak, SHA-1
		// above all, which the library's default still has at its end. Its
		// order is kept: mlkem768x25519 first costs both sides together 0.23 ms of CPU
		// more than curve25519 (measured), and keeps what is recorded today
		// unreadable later.
		Config:            ssh.Config{KeyExchanges: ssh.SupportedAlgorithms().KeyExchanges},
		HostKeyAlgorithms: algorithms(db, e),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if hostKeyErr = r.hostKeys.check(e, db, key); hostKeyErr == nil {
				verified.Store(true)
			}
			return hostKeyErr
		},
		AuthCallback: login.next,
	}
	stream := &greeted{Conn: conn}
	c, channels, requests, err := ssh.NewClientConn(stream, e.address(), config)
	if !stop() { // closed because of the context
		if c != nil {
			_ = c.Close()
		}
		step := StepConnect
		if verified.Load() {
			step = StepAuth
		}
		return nil, &Error{e.name, step, context.Cause(ctx)}
	}
	switch {
	case hostKeyErr != nil:
		return nil, &Error{e.name, StepHostKey, hostKeyErr}
	case err != nil && !verified.Load():
		if dropped := stream.dropped(e.address(), err); dropped != nil {
			return nil, &Error{e.name, StepConnect, dropped}
		}
		return nil, &Error{e.name, StepConnect, fmt.Errorf("%s: %s", e.address(), handshakeText(err))}
	case err != nil:
		return nil, &Error{e.name, StepAuth, login.failure(err)}
	}
	return ssh.NewClient(c, channels, requests), nil
}

// typingTime is how long a signature may take: a person types a passphrase or
// touches a key. sshd hangs up after two minutes (LoginGraceTime).
const typingTime = 2 * time.Minute

// handshakeText shortens the library's error; parts of it are the server's.
func handshakeText(err error) string {
	return plain.Words(strings.TrimPrefix(err.Error(), "ssh: handshake failed: "))
}

// link is an authenticated connection to one endpoint.
type link struct {
	endpoint *endpoint
	conn     net.Conn
	client   *ssh.Client
	sessions int // opened so far; they are opened one after the other
	once     sync.Once
	ended    chan struct{}
}

// close cuts the connection; everything that waits on it ends at once.
func (l *link) close() {
	l.once.Do(func() {
		close(l.ended)
		_ = l.conn.Close() // first: the client's own Close may wait for a write
		_ = l.client.Close()
	})
}

// watch cuts the connection when the host no longer answers. A busy host
// answers: it is sshd that is asked, not the agent.
func (l *link) watch(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
		}
		answer := make(chan error, 1)
		go func() {
			_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
			answer <- err
		}()
		limit := time.NewTimer(3 * every)
		select {
		case err := <-answer:
			limit.Stop()
			if err == nil {
				continue
			}
		case <-limit.C:
		case <-l.ended:
			limit.Stop()
			return
		}
		_ = l.conn.Close()
		return
	}
}

// lateError is the error of what was not done in time.
type lateError struct {
	limit time.Duration
}

func (e *lateError) Error() string { return fmt.Sprintf("not done within %v", e.limit) }

// after adds what the host printed until then.
func (e *lateError) after(printed, stderr string) error {
	if words := strings.TrimSpace(printed + " " + stderr); words != "" {
		return fmt.Errorf("%w; the host printed: %s", e, words)
	}
	return e
}

// within runs f, and cuts the connection when the context ends or the limit
// has passed before it returns.
func (l *link) within(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &lateError{limit})
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
	err := f()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}
