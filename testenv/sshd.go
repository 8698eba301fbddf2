package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is a host's SSH server. Like a freshly installed sshd(8) it offers
// commands, shells, terminals, forwarding and sftp; it lets root in, under
// whatever name, with the lab's key only.
type sshServer struct {
	config      *ssh.ServerConfig
	processes   *processes
	environment []string // every session's
	acceptEnv   bool     // accept every variable, not only the locale's
}

func newSSHServer(h *hostSpec, environment []string) (*sshServer, error) {
	authorized, _, _, _, err := ssh.ParseAuthorizedKey(h.AuthorizedKey)
	if err != nil {
		return nil, err
	}
	hostKey, err := ssh.ParsePrivateKey(h.HostKey)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-lvsform-lab",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), authorized.Marshal()) {
				return nil, errors.New("not the lab's key")
			}
			return nil, nil
		},
	}
	// the post-quantum exchange costs several times as much
	config.KeyExchanges = []string{ssh.KeyExchangeCurve25519}
	config.AddHostKey(hostKey)
	return &sshServer{
		config:      config,
		processes:   newProcesses(),
		environment: environment,
		acceptEnv:   h.Workstation != nil,
	}, nil
}

// serve answers connections until the host ends.
func (s *sshServer) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Fprintf(os.Stderr, "sshd: accept: %v\n", err)
			time.Sleep(100 * time.Millisecond) // out of files: others will close
			continue
		}
		go s.serveConn(conn)
	}
}

// serveConn serves one connection and returns when it has ended.
func (s *sshServer) serveConn(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	go ssh.DiscardRequests(requests) // keepalives want an answer only
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			go s.serveSession(c, connectionEnv(conn))
		case "direct-tcpip":
			go forward(c)
		default:
			_ = c.Reject(ssh.UnknownChannelType, "")
		}
	}
}

// connectionEnv tells a session both ends of its connection, as sshd(8) does.
func connectionEnv(conn net.Conn) []string {
	from, ok := conn.RemoteAddr().(*net.TCPAddr)
	to, ok2 := conn.LocalAddr().(*net.TCPAddr)
	if !ok || !ok2 {
		return nil // the stream from outside of the lab
	}
	return []string{fmt.Sprintf("SSH_CONNECTION=%s %d %s %d",
		from.AddrPort().Addr().Unmap(), from.Port, to.AddrPort().Addr().Unmap(), to.Port)}
}

// forward is the far end of ssh -L, -W and -J: RFC 4254, 7.2.
func forward(c ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Originator string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	address := net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10))
	conn, err := net.DialTimeout("tcp", address, handshakeTimeout)
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer func() { _ = conn.Close() }()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	go ssh.DiscardRequests(requests)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, channel)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	_, _ = io.Copy(channel, conn)
	_ = channel.CloseWrite()
	<-sent
}
