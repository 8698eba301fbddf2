package testenv

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// processes starts a host's processes and waits for them. The first process of
// a PID namespace inherits every orphan in it, so exactly one place may wait:
// os/exec would lose its children to a second one.
type processes struct {
	mu    sync.Mutex
	exits map[int]chan syscall.WaitStatus // of those started here
}

func newProcesses() *processes {
	p := &processes{exits: map[int]chan syscall.WaitStatus{}}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go p.reap(died)
	return p
}

// start starts a process; its status arrives on the channel, which never
// blocks the sender.
func (p *processes) start(name string, args []string, attr *os.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	p.mu.Lock() // it must be known before its end is noticed
	defer p.mu.Unlock()
	process, err := os.StartProcess(name, args, attr)
	if err != nil {
		return 0, nil, err
	}
	pid := process.Pid
	_ = process.Release()
	exit := make(chan syscall.WaitStatus, 1)
	p.exits[pid] = exit
	return pid, exit, nil
}

func (p *processes) reap(died <-chan os.Signal) {
	for range died {
		for p.reapOne() {
		}
	}
}

func (p *processes) reapOne() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if exit, ok := p.exits[pid]; ok {
		delete(p.exits, pid)
		exit <- status
	}
	return true
}
