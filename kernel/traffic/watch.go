// Package traffic shows what this host's kernel sees of traffic: it counts
// packets that come in, reads the tables of connections, sockets and neighbours,
// and sends the few packets that ask or tell a neighbour something. It changes
// no item of package state.
//
// Everything happens in the network namespace of the calling thread.
package traffic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/socket"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
)

// Watch counts packets that come in at this host, on any device. The counters
// of IPVS could not tell: they do not count replies that are merely routed,
// and are two seconds late.
type Watch struct {
	conns   []*socket.Conn
	running sync.WaitGroup

	mu    sync.Mutex
	seen  map[flow.Sighting]int // with Count 0
	ended bool
	err   error
}

const (
	// watchGrace is how long the end of a watch waits for packets that are
	// already on their way through the host.
	watchGrace = 50 * time.Millisecond
	// maxSightings bounds what a watch remembers, maxOthers what it tells apart
	// of packets that may be anybody's.
	maxSightings = 1 << 16
	maxOthers    = 1 << 13
	// watchBuffer is how many octets may wait to be counted. The usual buffer
	// holds some hundred packets, which a busy host has in a millisecond.
	watchBuffer = 4 << 20
)

// StartWatch begins to count. The watch ends with Stop, and by itself when the
// limit has passed.
func StartWatch(patterns []flow.Pattern, limit time.Duration) (*Watch, error) {
	w := &Watch{seen: map[flow.Sighting]int{}}
	var readers []reader
	exact := slices.DeleteFunc(slices.Clone(patterns), func(p flow.Pattern) bool { return p.Others })
	others := slices.DeleteFunc(slices.Clone(patterns), func(p flow.Pattern) bool { return !p.Others })
	for _, r := range []reader{{patterns: exact}, {patterns: others, exact: exact, others: true}} {
		for _, is6 := range []bool{false, true} {
			// Whatever is inside, the outer header of a tunnel can be of either family.
			wanted := slices.DeleteFunc(slices.Clone(r.patterns), func(p flow.Pattern) bool { return !p.Wrapped && p.Is6() != is6 })
			if r.others {
				fit := fitting(is6, wanted)
				if len(fit) < len(wanted) {
					w.seen[flow.Sighting{}] = 1 // or more: nobody counts them
				}
				wanted = fit
			}
			if len(wanted) == 0 {
				continue
			}
			conn, err := watchSocket(is6, wanted, time.Now().Add(limit))
			if err != nil {
				for _, c := range w.conns {
					_ = c.Close()
				}
				return nil, err
			}
			r.conn, w.conns = conn, append(w.conns, conn)
			readers = append(readers, r)
		}
	}
	for _, r := range readers {
		w.running.Go(func() { w.run(r) })
	}
	return w, nil
}

// reader counts what one socket gets.
type reader struct {
	conn     *socket.Conn
	patterns []flow.Pattern
	exact    []flow.Pattern // what others' packets must not match
	others   bool           // what is missed is counted, and no error
}

// fitting are the first patterns whose packet filter is not too long for the kernel,
// without those that would make it so.
func fitting(is6 bool, patterns []flow.Pattern) []flow.Pattern {
	var out []flow.Pattern
	for _, p := range patterns {
		if more := append(slices.Clip(out), p); len(watchFilter(is6, more)) <= unix.BPF_MAXINSNS {
			out = more
		}
	}
	return out
}

func watchSocket(is6 bool, patterns []flow.Pattern, until time.Time) (*socket.Conn, error) {
	filter, err := bpf.Assemble(watchFilter(is6, patterns))
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	if len(filter) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("packet filter of %d instructions: the kernel takes %d; there are too many addresses", len(filter), unix.BPF_MAXINSNS)
	}
	// Protocol 0 receives nothing until Bind, when the filter is in place.
	// SOCK_DGRAM: packets begin with the IP header.
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0, "watch", nil)
	if err != nil {
		return nil, err
	}
	// Root of a container may not have it; packets that are missed are told.
	_ = conn.SetsockoptInt(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer)
	// Bound to one protocol the socket sees every packet once, on the device
	// that takes it in after bridges, bonds and VLANs; ETH_P_ALL would see it
	// on each of those, and the packets this host sends.
	proto := unix.ETH_P_IP
	if is6 {
		proto = unix.ETH_P_IPV6
	}
	err = errors.Join(
		conn.SetBPF(filter),
		conn.Bind(&unix.SockaddrLinklayer{Protocol: htons(uint16(proto))}),
		conn.SetReadDeadline(until),
	)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Stop ends the watch and returns what it has seen, in no order. An error
// means that the watch had ended before, or missed packets, and that nothing
// follows from what it did not see.
func (w *Watch) Stop() ([]flow.Sighting, error) {
	w.mu.Lock()
	ended, err := w.ended, w.err
	w.mu.Unlock()
	if ended {
		return nil, errors.Join(errors.New("the watch ended early"), err)
	}
	for _, c := range w.conns {
		// An error of this would be the reader's, too.
		_ = c.SetReadDeadline(time.Now().Add(watchGrace))
	}
	w.running.Wait()
	out := make([]flow.Sighting, 0, len(w.seen))
	for s, n := range w.seen {
		s.Count = n
		out = append(out, s)
	}
	return out, w.err
}

func (w *Watch) run(r reader) {
	err := w.read(r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	missed := 0
	// Packets that were dropped for want of buffer space would be missing
	// from the count.
	stats, statErr := r.conn.GetsockoptTpacketStats(unix.SOL_PACKET, unix.PACKET_STATISTICS)
	switch {
	case statErr != nil || stats.Drops == 0:
	case r.others:
		missed = int(stats.Drops)
	default:
		err = errors.Join(err, fmt.Errorf("%d packets went uncounted", stats.Drops))
	}
	err = errors.Join(err, r.conn.Close())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.err = true, errors.Join(w.err, err)
	if missed != 0 {
		w.seen[flow.Sighting{}] += missed
	}
}

// read counts until an error, which is that of the time limit at the latest.
func (w *Watch) read(r reader) error {
	buf := make([]byte, watchSnap)
	for {
		n, from, err := r.conn.Recvfrom(context.Background(), buf, 0)
		if err != nil {
			return err
		}
		// A switch floods frames for unknown MAC addresses to everybody.
		if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype != unix.PACKET_HOST {
			continue
		}
		s, ok := sight(buf[:n], r.patterns)
		if _, again := sight(buf[:n], r.exact); !ok || again {
			continue
		}
		if !w.count(s, r.others) {
			return errors.New("more packets than a watch can tell apart")
		}
	}
}

// count reports whether there was room for it.
func (w *Watch) count(s flow.Sighting, others bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.seen[s]
	switch {
	case known:
	case others && len(w.seen) >= maxOthers:
		s = flow.Sighting{}
	case len(w.seen) >= maxSightings:
		return false
	}
	w.seen[s]++
	return true
}
