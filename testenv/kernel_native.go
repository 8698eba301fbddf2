package testenv

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// checkNative says why the running kernel cannot carry a lab.
func checkNative(withoutIPVS bool) error {
	if os.Geteuid() != 0 {
		return errors.New("namespaces on the running kernel need root")
	}
	if withoutIPVS || hasIPVS() {
		return nil
	}
	return errors.New("the running kernel has no ip_vs and there is no such module to load")
}

// hasIPVS reports whether ip_vs is there or modprobe would find it. It loads
// nothing: that is for lvsform to do.
func hasIPVS() bool {
	if _, err := os.Stat("/proc/net/ip_vs"); err == nil {
		return true
	}
	return exec.Command("modprobe", "--dry-run", "--quiet", "ip_vs").Run() == nil
}

// launchNative starts the core in namespaces of its own, so that its bridges
// and mounts are nobody else's and end with it.
func launchNative(s *spec, specFile string) launch {
	return launch{
		Args: []string{s.Executable, partCore, specFile},
		Env:  []string{"PATH=" + standardPath},
		CloneFlags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
}
