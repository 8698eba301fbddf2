package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel/traffic"
	"github.com/lvsform/lvsform/state"
)

const (
	// probeStagger is how long a connection that is slow to open holds up the
	// next one. The director sees them in their order, and a dead real server
	// costs its probes this much and the time limit once.
	probeStagger = 250 * time.Millisecond
	// silentStagger is the pause between datagrams that nobody answers, and
	// silentWait how long each may be refused.
	silentStagger = 10 * time.Millisecond
	silentWait    = 500 * time.Millisecond
	// probePoll bounds one wait for sockets, to notice a request's end.
	probePoll = 100 * time.Millisecond
)

// heldProbes are the open connections of MethodProbeOpen.
type heldProbes struct {
	mu    sync.Mutex
	fds   []int
	limit *time.Timer
}

// hold keeps sockets until close is called or the limit has passed.
func (h *heldProbes) hold(fds []int, limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fds = append(h.fds, fds...)
	if h.limit != nil {
		h.limit.Stop()
	}
	h.limit = time.AfterFunc(limit, h.close)
}

// open calls a function with the sockets, none of which is closed meanwhile.
func (h *heldProbes) open(f func(fds []int)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h.fds)
}

func (h *heldProbes) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fd := range h.fds {
		_ = unix.Close(fd) // nothing was written that could be lost
	}
	h.fds = nil
	if h.limit != nil {
		h.limit.Stop()
	}
}

func (a *Agent) probeClose(context.Context, wire.Nothing) (wire.Nothing, error) {
	return wire.Nothing{}, a.Traffic.CloseProbes()
}

// CloseProbes implements Traffic.
func (h *HostTraffic) CloseProbes() error {
	h.probes.close()
	return nil
}

func (a *Agent) probeOpen(ctx context.Context, req wire.ProbeOpenRequest) (wire.ProbeOpened, error) {
	if !req.Address.IsValid() || req.Count < 1 || req.Count > wire.MaxProbes || req.Timeout <= 0 || req.Hold <= 0 || req.Hold > maxWatch {
		return wire.ProbeOpened{}, fmt.Errorf("%d probes to %s with a limit of %s, held for %s, are not possible", req.Count, req.Address, req.Timeout, req.Hold)
	}
	probes, err := a.Traffic.OpenProbes(ctx, req)
	return wire.ProbeOpened{Probes: probes}, err
}

// OpenProbes implements Traffic.
func (h *HostTraffic) OpenProbes(ctx context.Context, req wire.ProbeOpenRequest) ([]wire.Probe, error) {
	begin, err := opening(req)
	if err != nil {
		return nil, err
	}
	stagger := min(probeStagger, req.Timeout)
	if req.Silent {
		stagger = silentStagger
	}
	attempts := make([]*attempt, req.Count)
	for i := range attempts {
		attempts[i] = begin()
		// Earlier ones may still be opening; their answers are taken on the way.
		wait(ctx, attempts[:i+1], attempts[i], time.Now().Add(stagger))
	}
	wait(ctx, attempts, nil, time.Now().Add(req.Timeout))
	waitForLate(ctx, attempts)
	waitForLateOpenings(ctx, attempts)

	var out []wire.Probe
	var open []int
	for _, t := range attempts {
		p := wire.Probe{Local: t.local, Mark: t.mark, Repeats: t.repeats, Took: t.took, Late: t.late}
		if t.err != nil {
			p.Failed, p.Took, p.Late = t.err.Error(), 0, false
		} else {
			open = append(open, t.fd)
		}
		out = append(out, p)
	}
	h.probes.hold(open, req.Hold)
	return out, ctx.Err()
}

// opening returns the function that begins one attempt.
func opening(req wire.ProbeOpenRequest) (func() *attempt, error) {
	switch req.Protocol {
	case state.TCP:
		return func() *attempt { return begin(req.Address, req.Timeout, unix.SOCK_STREAM) }, nil
	case state.UDP:
		next := datagrams(req.Address.Port())
		return func() *attempt {
			t := begin(req.Address, req.Timeout, unix.SOCK_DGRAM)
			t.silent, t.once = req.Silent, req.Once || req.Silent
			if t.silent {
				t.expires = time.Now().Add(min(silentWait, req.Timeout))
			}
			if t.err == nil {
				t.send(next())
			}
			return t
		}, nil
	default:
		return nil, fmt.Errorf("there is no probe for %s", req.Protocol)
	}
}

// attempt is one connection on its way. Not a net.Dialer: that does not tell
// the local port of a connection that failed, by which the director knows it.
type attempt struct {
	fd      int
	local   netip.AddrPort
	timeout time.Duration
	begun   time.Time
	expires time.Time
	pending bool
	err     error
	mark    uint32 // flow.Sighting; 0: not known
	repeats int
	took    time.Duration // once it is open, or answered
	late    bool          // nothing was lost: the answer to each request came, the first after a repeat

	// Of TCP only. What opened it may have answered the first request, as its
	// timestamp says. So may the answer to a repeat, which the first one's time
	// is given back in, too (tcp_check_req).
	doubt   bool
	answers int // that had come soon after it was open

	// Of UDP only.
	datagram datagram
	silent   bool          // no answer is none too few
	once     bool          // never sent again
	repeat   time.Time     // when it is sent again
	pause    time.Duration // before that
}

// begin sends the request to connect; of UDP it sends nothing.
func begin(to netip.AddrPort, timeout time.Duration, kind int) *attempt {
	t := newAttempt(to, timeout, kind)
	if t.err == nil {
		t.connect(to, kind)
	}
	return t
}

// newAttempt has a socket, and nothing is sent yet.
func newAttempt(to netip.AddrPort, timeout time.Duration, kind int) *attempt {
	t := &attempt{timeout: timeout, begun: time.Now()}
	t.expires = t.begun.Add(timeout)
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	t.fd, t.err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return t
}

func (t *attempt) connect(to netip.AddrPort, kind int) {
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	switch err := unix.Connect(t.fd, sa); {
	case err == nil && kind == unix.SOCK_STREAM: // to this host itself
		t.opened()
	case err == nil:
	case errors.Is(err, unix.EINPROGRESS):
		t.pending = true
	default:
		t.fail(err)
		return
	}
	// Address, port and sequence number are chosen by now.
	if t.local = localOf(t.fd); !t.local.IsValid() {
		t.fail(errors.New("the kernel names no local address"))
		return
	}
	if kind == unix.SOCK_STREAM {
		// Without it the probe is known by its address, where nobody rewrites that.
		if first, err := traffic.InitialSequence(t.fd); err == nil {
			t.mark = first
		}
	}
}

func (t *attempt) fail(err error) {
	t.countRepeats()
	_ = unix.Close(t.fd)
	t.pending, t.err = false, err
}

// countRepeats asks the kernel how often it has sent a packet of the connection
// again. Nothing but the one with SYN has been sent.
func (t *attempt) countRepeats() {
	if t.datagram != nil {
		return
	}
	info, err := unix.GetsockoptTCPInfo(t.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return
	}
	t.repeats = int(info.Total_retrans)
	// The round trip is that of the request which was answered, where both ends
	// use timestamps (tcp_ack_update_rtt); 0 where the kernel cannot tell.
	roundTrip := time.Duration(info.Rtt) * time.Microsecond
	t.doubt = t.repeats != 0 && roundTrip != 0 && time.Since(t.begun)-roundTrip < synRepeat/2
}

// synRepeat is after how long the kernel sends a request to connect again
// (TCP_TIMEOUT_INIT).
const synRepeat = time.Second

// opened notes that the connection is open, or the datagram answered.
func (t *attempt) opened() {
	t.countRepeats()
	t.took = max(time.Since(t.begun), time.Microsecond)
	t.lookForLate(time.Now())
}

// events are what poll waits for: a connection that opens becomes writable, an
// answer makes a datagram's socket readable.
func (t *attempt) events() int16 {
	if t.datagram != nil {
		return unix.POLLIN
	}
	return unix.POLLOUT
}

// take takes in what poll has found.
func (t *attempt) take() {
	t.pending = false
	if t.datagram != nil {
		// An ICMP error, as of a closed port, comes as the read's.
		if _, err := unix.Read(t.fd, make([]byte, 1)); err != nil {
			t.fail(err)
			return
		}
		t.opened()
		return
	}
	if errno, err := unix.GetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
		t.fail(err)
	} else if errno != 0 {
		t.fail(unix.Errno(errno))
	} else {
		t.opened()
	}
}

// wait takes in how the pending attempts end, until none is left, or the one
// that is named has ended, or the time has come.
func wait(ctx context.Context, attempts []*attempt, one *attempt, until time.Time) {
	for {
		var pending []*attempt
		var fds []unix.PollFd
		now := time.Now()
		next := min(probePoll, until.Sub(now))
		for _, t := range attempts {
			t.lookForLate(now)
			if t.pending && t.datagram != nil && !t.once && now.After(t.repeat) {
				t.again()
			}
			switch {
			case !t.pending:
			case ctx.Err() != nil:
				t.fail(ctx.Err())
			case now.After(t.expires) && t.silent:
				t.pending = false
			case now.After(t.expires):
				t.fail(fmt.Errorf("no answer within %s", t.timeout))
			default:
				pending = append(pending, t)
				fds = append(fds, unix.PollFd{Fd: int32(t.fd), Events: t.events()})
				next = min(next, t.expires.Sub(now))
			}
		}
		if len(pending) == 0 || one != nil && !one.pending || !now.Before(until) {
			return
		}
		if _, err := unix.Poll(fds, int(next.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			for _, t := range pending {
				t.fail(err)
			}
			return
		}
		for i, t := range pending {
			if fds[i].Revents != 0 {
				t.take()
			}
		}
	}
}
