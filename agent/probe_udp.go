package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
)

// datagram is what a UDP probe sends. Its octets are no other's of a run, so its
// mark tells it from others wherever it is seen.
type datagram []byte

func (d datagram) mark() uint32 { return flow.DatagramMark(d) }

// datagrams returns a function that makes the next datagram for a port.
func datagrams(port uint16) func() datagram {
	var first [4]byte
	_, _ = rand.Read(first[:]) // never fails
	n := binary.BigEndian.Uint32(first[:])
	return func() datagram {
		n++
		if port == dnsPort {
			return dnsQuery(uint16(n))
		}
		return binary.BigEndian.AppendUint32(nil, n)
	}
}

const dnsPort = 53

// dnsQuery asks for the name servers of the root (RFC 1035 section 4): a DNS
// server does not answer what is no query.
func dnsQuery(id uint16) datagram {
	return append(binary.BigEndian.AppendUint16(nil, id),
		0x01, 0x00, // recursion desired
		0, 1, 0, 0, 0, 0, 0, 0, // one question
		0,    // the root
		0, 2, // NS
		0, 1, // IN
	)
}

// udpRepeat is how long a first answer is waited for; each wait after that is
// twice as long.
const udpRepeat = 500 * time.Millisecond

func (t *attempt) send(d datagram) {
	t.datagram, t.mark, t.pending, t.pause = d, d.mark(), true, udpRepeat
	t.write()
}

// again repeats a datagram that was not answered.
func (t *attempt) again() {
	t.repeats++
	t.pause *= 2
	t.write()
}

func (t *attempt) write() {
	t.repeat = time.Now().Add(t.pause)
	if _, err := unix.Write(t.fd, t.datagram); err != nil && !errors.Is(err, unix.EAGAIN) {
		t.fail(err)
	}
}

// waitForLate waits for the answers to datagrams that were sent again, though one
// was answered: if each was, the answers were only late. It takes no longer than
// the slowest first answer, and none where nothing was sent again.
func waitForLate(ctx context.Context, attempts []*attempt) {
	var waiting []*attempt
	limit := time.Duration(0)
	answers := map[*attempt]int{}
	for _, t := range attempts {
		if t.datagram != nil && t.err == nil && t.repeats != 0 {
			waiting, answers[t], limit = append(waiting, t), 1, max(limit, t.took)
		}
	}
	for until := time.Now().Add(limit); len(waiting) != 0 && time.Now().Before(until) && ctx.Err() == nil; {
		var fds []unix.PollFd
		for _, t := range waiting {
			fds = append(fds, unix.PollFd{Fd: int32(t.fd), Events: unix.POLLIN})
		}
		next := min(probePoll, time.Until(until))
		if _, err := unix.Poll(fds, int(next.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		waiting = slices.DeleteFunc(waiting, func(t *attempt) bool {
			for {
				if _, err := unix.Read(t.fd, make([]byte, 1)); err != nil {
					t.late = answers[t] > t.repeats
					return t.late || !errors.Is(err, unix.EAGAIN)
				}
				answers[t]++
			}
		})
	}
}
