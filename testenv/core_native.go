package testenv

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// setUpNative makes this process's copy of the machine's mounts its own and
// lays the lab's tmpfs into it.
func setUpNative(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	// of this PID namespace
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := mountLabDir(dir); err != nil {
		return err
	}
	if err := unix.Mount("/", filepath.Join(dir, machineDir), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the machine's root: %w", err)
	}
	return nil
}
