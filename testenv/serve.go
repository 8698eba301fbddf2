package testenv

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// serve starts what the inventory has a host listen on in the lab, on all its
// addresses.
func (h *hostSpec) serve() error {
	for _, s := range []struct {
		what  string
		ports []uint16
		start func(port uint16, host string) error
	}{
		{"http", h.Serve.HTTP, onTCP(answerHTTP)},
		{"tcp", h.Serve.TCP, onTCP(answerTCP)},
		{"udp", h.Serve.UDP, serveUDP},
	} {
		for _, port := range s.ports {
			if err := s.start(port, h.Name); err != nil {
				return fmt.Errorf("serve %s: %w", s.what, err)
			}
		}
	}
	return nil
}

// seen is what a server tells: its name, and both ends as it saw them.
func seen(host string, source, destination net.Addr) string {
	return fmt.Sprintf("%s source %s destination %s\n", host, source, destination)
}

// connectionLimit bounds one connection to a server.
const connectionLimit = 10 * time.Second

// onTCP serves each connection by itself until the host ends.
func onTCP(answer func(c net.Conn, host string)) func(uint16, string) error {
	return func(port uint16, host string) error {
		l, err := listen(port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer func() { _ = c.Close() }()
					if c.SetDeadline(time.Now().Add(connectionLimit)) == nil {
						answer(c, host)
					}
				}()
			}
		}()
		return nil
	}
}

// answerHTTP answers one request, whatever it asks for. The library's server
// would be a quarter of the binary that is pushed to every host.
func answerHTTP(c net.Conn, host string) {
	r := textproto.NewReader(bufio.NewReader(c))
	if _, err := r.ReadLine(); err != nil {
		return
	}
	if _, err := r.ReadMIMEHeader(); err != nil {
		return
	}
	page := seen(host, c.RemoteAddr(), c.LocalAddr())
	_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(page), page)
}

func answerTCP(c net.Conn, host string) {
	_, _ = c.Write([]byte(seen(host, c.RemoteAddr(), c.LocalAddr())))
}

// serveUDP answers every datagram from the address it was sent to: a socket on
// all addresses would answer from the one nearest to the client, which is not
// the VIP. It needs a socket of each family, since only so it is told.
func serveUDP(port uint16, host string) error {
	four, err := net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	six, err := net.ListenUDP("udp6", &net.UDPAddr{Port: int(port)})
	if err != nil {
		return err
	}
	p4, p6 := ipv4.NewPacketConn(four), ipv6.NewPacketConn(six)
	if err := p4.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return err
	}
	if err := p6.SetControlMessage(ipv6.FlagDst, true); err != nil {
		return err
	}
	buf4, buf6 := make([]byte, 2048), make([]byte, 2048)
	go func() {
		for {
			_, cm, from, err := p4.ReadFrom(buf4)
			if err != nil {
				return
			}
			_, _ = p4.WriteTo([]byte(seen(host, from, at(cm.Dst, port))), &ipv4.ControlMessage{Src: cm.Dst}, from)
		}
	}()
	go func() {
		for {
			_, cm, from, err := p6.ReadFrom(buf6)
			if err != nil {
				return
			}
			_, _ = p6.WriteTo([]byte(seen(host, from, at(cm.Dst, port))), &ipv6.ControlMessage{Src: cm.Dst}, from)
		}
	}()
	return nil
}

func at(ip net.IP, port uint16) net.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Unmap(), port))
}
