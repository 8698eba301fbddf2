package testenv

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// The host process's inherited files, besides its specification on stdin.
const (
	hostReportFD = 3
	hostStreamFD = 4 // and the next: the workstation's stream
)

// hostMain is the first process of a host, in the host's own namespaces.
func hostMain() error {
	syscall.CloseOnExec(hostReportFD)
	report := os.NewFile(hostReportFD, "report")
	_ = os.WriteFile("/proc/self/comm", []byte(partHost), 0) // for ps(1)
	var h hostSpec
	if err := json.NewDecoder(os.Stdin).Decode(&h); err != nil {
		return err
	}
	server, err := h.setUp()
	if err != nil {
		_, _ = fmt.Fprintln(report, oneLine(err))
		return nil
	}
	_, _ = fmt.Fprintln(report, readyReport)
	_ = report.Close()

	// like init(8), it goes on whatever signal it gets; a handler, because
	// what is ignored would stay ignored in every command of the host
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the lab is complete
	if h.Workstation != nil {
		syscall.CloseOnExec(hostStreamFD)
		syscall.CloseOnExec(hostStreamFD + 1)
		outside := &stream{in: os.NewFile(hostStreamFD, "stream"), out: os.NewFile(hostStreamFD+1, "stream")}
		server.serveConn(outside.conn(h.Kernel, false))
		return nil // the outside is gone
	}
	select {}
}

// setUp makes the namespaces this process is in the host, and starts its
// servers.
func (h *hostSpec) setUp() (*sshServer, error) {
	if err := unix.Sethostname([]byte(h.Name)); err != nil {
		return nil, fmt.Errorf("hostname: %w", err)
	}
	if err := h.setUpRoot(); err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	if err := setUpNetwork(h); err != nil {
		return nil, err
	}
	environment := []string{"HOME=/root", "PATH=" + standardPath}
	if h.Workstation != nil {
		if err := h.Workstation.setUp(); err != nil {
			return nil, err
		}
		environment = h.Workstation.environment()
	}
	server, err := newSSHServer(h, environment)
	if err != nil {
		return nil, fmt.Errorf("SSH server: %w", err)
	}
	for _, port := range h.SSHPorts {
		l, err := listen(port)
		if err != nil {
			return nil, fmt.Errorf("SSH server: %w", err)
		}
		go server.serve(l)
	}
	if err := h.serve(); err != nil {
		return nil, err
	}
	return server, nil
}

// listen listens on a TCP port of all addresses, IPv4 and IPv6.
func listen(port uint16) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf(":%d", port))
}
