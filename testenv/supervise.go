package testenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor is a process in a session of its own that ends the kernel and
// removes the lab's directory when its parent ends it or dies, by whatever
// signal. Were the supervisor itself killed, the parent does its work.
type supervisor struct {
	dir    string
	stream *stream  // to the workstation
	life   *os.File // the supervisor lives as long as this is open
	cmd    *exec.Cmd
	kernel int           // process group of the kernel
	gone   chan struct{} // closed when supervisor and kernel are
	once   sync.Once
	err    error
}

// superviseSpec is the supervisor's argument.
type superviseSpec struct {
	Dir    string
	Launch launch
}

// The supervisor's inherited files, and its directory's.
const (
	lifeFD   = 3 // read end: end of file means end the lab
	reportFD = 4 // the kernel's process group, or why there is none
	innerFD  = 5 // and the next: the stream's end for the kernel

	logName = "kernel.log"
	// killTimeout bounds the wait for killed processes to be gone.
	killTimeout = 10 * time.Second
)

// supervise makes the lab's directory and starts a supervisor with the kernel.
func supervise(s *spec) (_ *supervisor, err error) {
	dir, err := os.MkdirTemp("", "lvsform-lab-")
	if err != nil {
		return nil, fmt.Errorf("the lab needs a writable temporary directory (TMPDIR): %w", err)
	}
	sup := &supervisor{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, sup.close())
		}
	}()
	arg, err := prepare(s, dir)
	if err != nil {
		return nil, err
	}
	outer, inner, err := newStream()
	if err != nil {
		return nil, err
	}
	sup.stream = outer
	defer func() { _ = inner.Close() }()
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	sup.life = lifeW
	defer func() { _ = lifeR.Close() }()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = reportR.Close(); _ = reportW.Close() }()
	log, err := os.Create(filepath.Join(dir, logName))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(s.Executable, partSupervise, arg)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lifeR, reportW, inner.in, inner.out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	sup.cmd, sup.gone = cmd, make(chan struct{})
	_ = reportW.Close()
	report, err := readLine(reportR)
	if err == nil {
		if sup.kernel, err = strconv.Atoi(report); err != nil {
			err = errors.New(report)
		}
	}
	go sup.watch()
	return sup, err
}

// watch waits for the supervisor to end. If it was killed, the kernel, or what
// a killed User-Mode Linux leaves behind, is still there and holds the stream.
func (s *supervisor) watch() {
	defer close(s.gone)
	_ = s.cmd.Wait() // what it leaves is what counts
	s.err = killGroup(s.kernel)
}

// prepare fills the lab's directory and returns the supervisor's argument.
func prepare(s *spec, dir string) (string, error) {
	specFile := filepath.Join(dir, "spec.json")
	var files unix.Rlimit
	if s.Kernel == KernelUML && unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		s.OpenFiles = files.Max
	}
	data, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(specFile, data, 0o600); err != nil {
		return "", err
	}
	l := launchNative(s, specFile)
	if s.Kernel == KernelUML {
		if l, err = launchUML(s, dir, specFile); err != nil {
			return "", err
		}
	}
	arg, err := json.Marshal(superviseSpec{Dir: dir, Launch: l})
	return string(arg), err
}

// close ends the lab and returns when nothing of it is left.
func (s *supervisor) close() error {
	s.once.Do(func() { s.err = s.end() })
	return s.err
}

func (s *supervisor) end() error {
	if s.life != nil {
		_ = s.life.Close()
	}
	if s.stream != nil {
		_ = s.stream.Close()
	}
	if s.cmd != nil {
		kill := time.AfterFunc(killTimeout, func() { _ = s.cmd.Process.Kill() })
		<-s.gone
		kill.Stop()
	}
	return errors.Join(s.err, os.RemoveAll(s.dir))
}

// keepLog copies the kernel's log to a file that outlives the lab, and returns
// its name and last lines as the end of an error message.
func (s *supervisor) keepLog() string {
	log, err := os.ReadFile(filepath.Join(s.dir, logName))
	if err != nil || len(bytes.TrimSpace(log)) == 0 {
		return ""
	}
	kept, err := os.CreateTemp("", "lvsform-lab-*.log")
	if err != nil {
		return ""
	}
	_, err = kept.Write(log)
	if err = errors.Join(err, kept.Close()); err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if last := len(lines) - 10; last > 0 {
		lines = lines[last:]
	}
	return fmt.Sprintf("\nthe kernel's log is in %s and ends with\n  %s", kept.Name(), strings.Join(lines, "\n  "))
}

// superviseMain is the supervisor process.
func superviseMain(arg string) error {
	var s superviseSpec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}
	for _, fd := range []int{lifeFD, reportFD, innerFD, innerFD + 1} {
		syscall.CloseOnExec(fd)
	}
	// "killall lvsform" then meets the parent only, and the lab ends cleanly
	_ = os.WriteFile("/proc/self/comm", []byte(partSupervise), 0)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	life := os.NewFile(lifeFD, "life")
	go func() {
		_, _ = life.Read(make([]byte, 1)) // nothing is ever written
		end <- syscall.SIGTERM
	}()

	defer func() { _ = os.RemoveAll(s.Dir) }()
	report := os.NewFile(reportFD, "report")
	cmd, err := s.Launch.start(s.Dir)
	if err != nil {
		fmt.Fprintf(report, "start %s: %v\n", s.Launch.Args[0], err)
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	fmt.Fprintf(report, "%d\n", cmd.Process.Pid)
	_ = report.Close()
	select {
	case <-end:
	case err := <-exited:
		// the log is the parent's to read before it lets go
		fmt.Fprintf(os.Stderr, "%s ended: %v\n", s.Launch.Args[0], err)
		_ = killGroup(cmd.Process.Pid)
		<-end
	}
	return killGroup(cmd.Process.Pid)
}

// start runs the kernel in a process group of its own. User-Mode Linux leaves
// helper processes behind when its main process is killed; they stay in the
// group, and become children of this process. What it needs is made in the
// lab's directory.
func (l launch) start(dir string) (*exec.Cmd, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	// the parent-death signal is tied to the starting thread
	runtime.LockOSThread()
	if l.Ptrace {
		library, err := makePtrace(dir)
		if err != nil {
			return nil, err
		}
		l.Env = append(l.Env, "LD_PRELOAD="+library)
	}
	if l.OneCPU {
		pinToOneCPU()
	}
	if l.OpenFiles {
		allowOpenFiles()
	}
	inner := &stream{in: os.NewFile(innerFD, "stream"), out: os.NewFile(innerFD+1, "stream")}
	cmd := exec.Command(l.Args[0], l.Args[1:]...)
	cmd.Env = l.Env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{inner.in, inner.out} // streamInFD, streamOutFD
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: l.CloneFlags,
	}
	err := cmd.Start()
	_ = inner.Close()
	return cmd, err
}

// allowOpenFiles lets this process, and what it starts, have as many files open
// as it may allow itself. Failing costs nothing until they run out.
func allowOpenFiles() {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
}

// pinToOneCPU keeps this thread, and what it starts, on one of the processors
// it may use, which no other lab of this machine is on while there are enough.
// Failing costs speed only.
func pinToOneCPU() {
	var may unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil || may.Count() == 0 {
		return
	}
	var cpus []int
	for cpu := range len(may) * 64 {
		if may.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	chosen := cpus[os.Getpid()%len(cpus)]
	for _, cpu := range cpus {
		if takeCPU(cpu) {
			chosen = cpu
			break
		}
	}
	var one unix.CPUSet
	one.Set(chosen)
	_ = unix.SchedSetaffinity(0, &one)
}

// takeCPU marks a processor as taken until this process ends, with a socket of
// a name that only one can have and that no file stands for.
func takeCPU(cpu int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@lvsform-lab-cpu-%d", cpu)}) != nil {
		_ = unix.Close(fd)
		return false
	}
	return true
}

// killGroup kills a process group and returns when nothing of it runs. A group
// of 0 is none.
func killGroup(group int) error {
	if group == 0 {
		return nil
	}
	deadline := time.Now().Add(killTimeout)
	for {
		err := syscall.Kill(-group, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("end the lab's kernel: %w", err)
		}
		for { // collect those that are our children by now
			pid, err := syscall.Wait4(-group, nil, syscall.WNOHANG, nil)
			if err != nil || pid <= 0 {
				break
			}
		}
		if !groupRuns(group) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("end the lab's kernel: process group %d is still there after %s", group, killTimeout)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// groupRuns reports whether a process of the group is alive. Dead ones count
// for kill(2) until their parent collects them, and in a container the first
// process often never does.
func groupRuns(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return true
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // gone by now
		}
		// pid (comm) state ppid pgrp ...; comm may hold anything
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 2 && fields[0] != "Z" && fields[0] != "X" && fields[2] == strconv.Itoa(group) {
			return true
		}
	}
	return false
}
