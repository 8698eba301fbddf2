package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// coreMain is the first process of a lab's kernel (uml) or of its namespaces
// (native): it makes the networks and starts the hosts.
func coreMain(specFile string) error {
	syscall.Umask(0o022) // whatever the caller's
	data, err := os.ReadFile(specFile)
	if err != nil {
		return err
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	stream, err := openStream(s.Kernel)
	if err != nil {
		return err
	}
	dir := filepath.Dir(specFile) // its tmpfs is mounted over it
	err = setUpLab(s.Kernel, dir)
	if err == nil && s.OpenFiles != 0 {
		err = boundInodes(s.OpenFiles)
	}
	if err == nil {
		err = runHosts(&s, dir, stream)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stream, oneLine(err))
	}
	if s.Kernel == KernelUML {
		// if this process just ended, the kernel would panic
		return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	return err
}

// oneLine is an error as a report.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// openStream opens the inner end of the stream to the outside.
func openStream(k Kernel) (*stream, error) {
	if k == KernelNative {
		syscall.CloseOnExec(streamInFD)
		syscall.CloseOnExec(streamOutFD)
		return &stream{in: os.NewFile(streamInFD, "stream"), out: os.NewFile(streamOutFD, "stream")}, nil
	}
	line, err := openSerial()
	return &stream{in: line, out: line}, err
}

// setUpLab prepares the file system.
func setUpLab(k Kernel, dir string) error {
	if k == KernelUML {
		return setUpUML(dir)
	}
	return setUpNative(dir)
}

// runHosts starts the hosts, reports that they are up, and returns when the
// workstation has ended.
func runHosts(s *spec, dir string, stream *stream) error {
	links, err := newBridges(s.Networks)
	if err != nil {
		return err
	}
	hosts := make([]*hostProcess, len(s.Hosts))
	errs := make([]error, len(s.Hosts))
	var wait sync.WaitGroup
	for i, h := range s.Hosts {
		h.Dir = dir
		wait.Go(func() {
			if hosts[i], errs[i] = startHost(s.Executable, h, i, links, stream); errs[i] != nil {
				errs[i] = fmt.Errorf("host %s: %w", h.Name, errs[i])
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stream, readyReport); err != nil {
		return err
	}
	_ = stream.Close()
	for _, h := range hosts {
		_ = h.control.Close() // the lab is complete
	}
	return hosts[len(hosts)-1].cmd.Wait()
}

// hostProcess is a started host, seen from the core.
type hostProcess struct {
	cmd     *exec.Cmd
	control *os.File // its specification goes in; closed when the lab is complete
}

// startHost starts a host in namespaces of its own, plugs its NICs in and
// waits until it is up.
func startHost(executable string, h *hostSpec, nth int, links *bridges, stream *stream) (*hostProcess, error) {
	controlR, controlW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = controlR.Close() }()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = reportR.Close() }()
	cmd := exec.Command("/proc/self/exe", partHost, h.Name)
	cmd.Args[0] = executable
	cmd.Stdin, cmd.Stdout, cmd.Stderr = controlR, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{reportW}
	if h.Workstation != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, stream.in, stream.out)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	err = cmd.Start()
	_ = reportW.Close()
	if err != nil {
		return nil, err
	}
	for i, nic := range h.NICs {
		if err := links.plug(fmt.Sprintf("p%d.%d", nth, i), nic, cmd.Process.Pid); err != nil {
			return nil, err
		}
	}
	if err := json.NewEncoder(controlW).Encode(h); err != nil {
		return nil, err
	}
	report, err := readLine(reportR)
	if err != nil {
		return nil, fmt.Errorf("ended while it started (%w)", err)
	}
	if report != readyReport {
		return nil, errors.New(report)
	}
	return &hostProcess{cmd: cmd, control: controlW}, nil
}
