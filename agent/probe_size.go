package agent

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel/traffic"
)

const (
	// fullSizeRounds is how often a packet is sent at most: one can be lost.
	fullSizeRounds = 3
	// fullSizeWait is how long an acknowledgement may take, looked for every
	// fullSizePoll.
	fullSizeWait = 300 * time.Millisecond
	fullSizePoll = 5 * time.Millisecond
)

func (a *Agent) fullSize(ctx context.Context, _ wire.Nothing) (wire.FullSizes, error) {
	sent, err := a.Traffic.FullSize(ctx)
	return wire.FullSizes{Sent: sent}, err
}

// FullSize implements Traffic.
func (h *HostTraffic) FullSize(ctx context.Context) ([]wire.FullSize, error) {
	var out []wire.FullSize
	h.probes.open(func(fds []int) {
		var waiting []*traffic.FullSize
		where := map[*traffic.FullSize]int{} // in out
		for _, fd := range fds {
			if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
				continue
			}
			f, err := traffic.NewFullSize(fd)
			one := wire.FullSize{Local: localOf(fd)}
			if err != nil {
				one.Failed = err.Error()
			} else {
				one.Octets = f.Octets
				where[f], waiting = len(out), append(waiting, f)
			}
			out = append(out, one)
		}
		for range fullSizeRounds {
			for _, f := range waiting {
				if err := f.Send(); err != nil {
					out[where[f]].Failed = err.Error()
				}
			}
			for until := time.Now().Add(fullSizeWait); len(waiting) != 0 && time.Now().Before(until) && ctx.Err() == nil; {
				waiting = slices.DeleteFunc(waiting, func(f *traffic.FullSize) bool {
					one := &out[where[f]]
					done, open := f.Acknowledged()
					one.Acknowledged, one.HungUp = done, !open
					return done || !open || one.Failed != ""
				})
				time.Sleep(fullSizePoll)
			}
		}
	})
	return out, ctx.Err()
}

func localOf(fd int) netip.AddrPort {
	local, _ := unix.Getsockname(fd)
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(local.Addr), uint16(local.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(local.Addr), uint16(local.Port))
	}
	return netip.AddrPort{}
}
