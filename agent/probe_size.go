package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/kernel/traffic"
)

const (
	// fullSizeRounds is how often a packet is sent at most: some can be lost, and
	// that many in a row hardly are, where it is not for their size.
	fullSizeRounds = 6
	// fullSizeWait is how long an acknowledgement may take beyond two round
	// trips, looked for every fullSizePoll.
	fullSizeWait = 300 * time.Millisecond
	fullSizePoll = 5 * time.Millisecond
	// maxSizeWait is the longest the agent waits for packets of full size.
	maxSizeWait = 10 * time.Second
)

func (a *Agent) fullSize(ctx context.Context, _ wire.Nothing) (wire.FullSizes, error) {
	sent, err := a.Traffic.FullSize(ctx)
	return wire.FullSizes{Sent: sent}, err
}

// FullSize implements Traffic.
func (h *HostTraffic) FullSize(ctx context.Context) ([]wire.FullSize, error) {
	var out []wire.FullSize
	h.probes.open(func(fds []int) {
		var packets traffic.FullSizes
		defer packets.Close()
		var waiting []*traffic.FullSize
		where := map[*traffic.FullSize]int{} // in out
		wait := fullSizeWait
		for _, fd := range fds {
			if !isStream(fd) {
				continue
			}
			f, standing, err := packets.Own(fd)
			one := wire.FullSize{
				Local: localOf(fd), Reply: standing.Reply, Announced: standing.Announced,
				Sequence: standing.Sequence, Acknowledgement: standing.Acknowledgement, RTT: standing.RTT,
				Received: wire.Received{Segments: standing.DataIn, New: standing.OctetsIn},
			}
			if err != nil {
				one.Failed = err.Error()
			} else {
				where[f], waiting = len(out), append(waiting, f)
				wait = max(wait, min(fullSizeWait+2*standing.RTT, maxSizeWait))
			}
			out = append(out, one)
		}
		send := func(list []*traffic.FullSize) {
			for _, f := range list {
				if err := f.Send(); err != nil {
					out[where[f]].Failed = err.Error()
				}
			}
		}
		for range fullSizeRounds {
			send(waiting)
			for until := time.Now().Add(wait); len(waiting) != 0 && time.Now().Before(until) && ctx.Err() == nil; {
				if smaller := packets.Hear(); smaller != nil {
					send(smaller)
				}
				waiting = slices.DeleteFunc(waiting, func(f *traffic.FullSize) bool {
					one := &out[where[f]]
					done, open := f.Acknowledged()
					one.Acknowledged, one.HungUp = done, !open
					return done || !open || one.Failed != ""
				})
				time.Sleep(fullSizePoll)
			}
			for _, f := range waiting {
				out[where[f]].Lost++
			}
		}
		for f, i := range where {
			out[i].Octets, out[i].Told = f.Octets, toldOf(f)
		}
	})
	return out, ctx.Err()
}

func isStream(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && kind == unix.SOCK_STREAM
}

func toldOf(f *traffic.FullSize) *wire.Told {
	if f.Told == 0 {
		return nil
	}
	return &wire.Told{Octets: f.Told, By: f.ToldBy}
}

func (a *Agent) fullReplies(ctx context.Context, req wire.FullRepliesRequest) (wire.FullReplies, error) {
	for _, r := range req.Replies {
		if !r.From.IsValid() || !r.To.IsValid() || r.From.Addr().Is4() != r.To.Addr().Is4() {
			return wire.FullReplies{}, fmt.Errorf("a packet from %s to %s is not possible", r.From, r.To)
		}
	}
	if err := checkWait(len(req.Replies), req.Wait); err != nil {
		return wire.FullReplies{}, err
	}
	sent, err := a.Traffic.FullReplies(ctx, req)
	return wire.FullReplies{Sent: sent}, err
}

// checkWait refuses what would keep the agent too long or too busy.
func checkWait(packets int, wait time.Duration) error {
	if packets > maxReplies || wait < 0 || wait > maxSizeWait {
		return fmt.Errorf("%d packets and a wait of %s are not possible", packets, wait)
	}
	return nil
}

// maxReplies is the most packets of one request: those of many clients.
const maxReplies = 64 * wire.MaxProbes

// FullReplies implements Traffic.
func (h *HostTraffic) FullReplies(ctx context.Context, req wire.FullRepliesRequest) ([]wire.FullReplySent, error) {
	out := make([]wire.FullReplySent, len(req.Replies))
	var packets traffic.FullSizes
	defer packets.Close()
	where := map[*traffic.FullSize]int{} // in out
	send := func(f *traffic.FullSize) {
		if err := f.Send(); err != nil {
			out[where[f]].Failed = err.Error()
		}
	}
	for i, r := range req.Replies {
		f, err := packets.Of(traffic.Segment{From: r.From, To: r.To, Sequence: r.Sequence, Acknowledgement: r.Acknowledgement}, r.Octets)
		if err != nil {
			out[i].Failed = err.Error()
			continue
		}
		where[f] = i
		send(f)
	}
	for until := time.Now().Add(req.Wait); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(fullSizePoll) {
		for _, f := range packets.Hear() {
			send(f)
		}
	}
	for f, i := range where {
		out[i].Octets, out[i].Told = f.Octets, toldOf(f)
	}
	return out, ctx.Err()
}

func (a *Agent) dataIn(ctx context.Context, req wire.DataInRequest) (wire.DataIn, error) {
	if err := checkWait(len(req.Before), req.Wait); err != nil {
		return wire.DataIn{}, err
	}
	now, err := a.Traffic.DataIn(ctx, req)
	return wire.DataIn{Now: now}, err
}

// DataIn implements Traffic.
func (h *HostTraffic) DataIn(ctx context.Context, req wire.DataInRequest) ([]wire.DataInOf, error) {
	before := map[netip.AddrPort]wire.Received{}
	for _, b := range req.Before {
		before[b.Local] = b.Received
	}
	var out []wire.DataInOf
	h.probes.open(func(fds []int) {
		for until := time.Now().Add(req.Wait); ; time.Sleep(fullSizePoll) {
			waiting := false
			out = nil
			for _, fd := range fds {
				local := localOf(fd)
				was, asked := before[local]
				if !asked || !isStream(fd) {
					continue
				}
				segments, octets, open := traffic.DataIn(fd)
				out = append(out, wire.DataInOf{Local: local, Received: wire.Received{Segments: segments, New: octets}, HungUp: !open})
				waiting = waiting || open && segments == was.Segments
			}
			if !waiting || !time.Now().Before(until) || ctx.Err() != nil {
				return
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
