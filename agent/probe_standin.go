package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/state"
)

// standIn is what the agent listens on in the place of a server that is not
// there.
type standIn struct {
	mu    sync.Mutex
	open  []io.Closer // listeners, and connections they took
	on    bool
	limit *time.Timer
}

func (a *Agent) standInBegin(ctx context.Context, req wire.StandInRequest) (wire.Nothing, error) {
	if req.Limit <= 0 || req.Limit > maxWatch {
		return wire.Nothing{}, fmt.Errorf("to stand in for %s is not possible", req.Limit)
	}
	return wire.Nothing{}, a.Traffic.StandIn(ctx, req)
}

func (a *Agent) standInEnd(context.Context, wire.Nothing) (wire.Nothing, error) {
	return wire.Nothing{}, a.Traffic.EndStandIn()
}

// StandIn implements Traffic.
func (h *HostTraffic) StandIn(ctx context.Context, req wire.StandInRequest) error {
	h.standIn.begin(req.Limit)
	for _, address := range req.Addresses {
		if err := h.standIn.listen(ctx, req.Protocol, address); err != nil {
			h.standIn.end()
			return err
		}
	}
	return nil
}

// EndStandIn implements Traffic.
func (h *HostTraffic) EndStandIn() error {
	h.standIn.end()
	return nil
}

func (s *standIn) begin(limit time.Duration) {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on, s.limit = true, time.AfterFunc(limit, s.end)
}

func (s *standIn) listen(ctx context.Context, protocol state.Protocol, address netip.AddrPort) error {
	var config net.ListenConfig
	switch protocol {
	case state.TCP:
		l, err := config.Listen(ctx, "tcp", address.String())
		if err != nil {
			return err
		}
		s.keep(l)
		go s.accept(l)
	case state.UDP:
		c, err := config.ListenPacket(ctx, "udp", address.String())
		if err != nil {
			return err
		}
		s.keep(c)
		go sendBack(c)
	default:
		return fmt.Errorf("nothing stands in for %s", protocol)
	}
	return nil
}

func (s *standIn) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		_ = c.Close() // taken while the end came
		return
	}
	s.open = append(s.open, c)
}

// accept takes connections until the listener is closed.
func (s *standIn) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.keep(c)
	}
}

// sendBack answers datagrams until the socket is closed.
func sendBack(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(buf[:n], from)
	}
}

func (s *standIn) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close() // nothing was written that could be lost
	}
	s.open, s.on = nil, false
	if s.limit != nil {
		s.limit.Stop()
	}
}
