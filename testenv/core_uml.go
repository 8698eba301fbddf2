package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// setUpUML makes the freshly booted kernel's root writable without touching
// the machine: an overlay over the machine's root, which modprobe (called by
// hosts and by the kernel itself) finds its modules in.
func setUpUML(dir string) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	release := unix.ByteSliceToString(uname.Release[:])
	if err := mountLabDir(dir); err != nil {
		return err
	}
	if err := unix.Mount("/", filepath.Join(dir, machineDir), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the machine's root: %w", err)
	}
	if err := fillCommon(dir, release); err != nil {
		return err
	}
	// -d looks below lib, which is a link on a merged-usr machine
	boot := filepath.Join(dir, "boot")
	if err := linkModules(filepath.Join(boot, "lib/modules"), release); err != nil {
		return err
	}
	if out, err := exec.Command(modprobe, "-d", boot, "overlay").CombinedOutput(); err != nil {
		return fmt.Errorf("modprobe overlay: %w: %s", err, out)
	}
	root, err := mountRoot(dir, "core")
	if err != nil {
		return err
	}
	if err := unix.Mount("sysfs", root+"/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	for _, d := range []string{"/proc", "/dev", dir, filepath.Join(dir, machineDir)} {
		if err := unix.Mount(d, root+d, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", d, err)
		}
	}
	// the kernel's own threads share this process's root, so that their
	// modprobe runs in it too
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// fillCommon fills the layer that lies over the machine's root in every host:
// the modules, and firewall tools that work with this kernel, which has no
// nftables NAT.
func fillCommon(dir, release string) error {
	common := filepath.Join(dir, commonDir)
	lib, err := filepath.EvalSymlinks("/lib")
	if err != nil {
		return err
	}
	if err := linkModules(filepath.Join(common, lib, "modules"), release); err != nil {
		return err
	}
	const alternatives = "/etc/alternatives"
	if _, err := os.Stat(alternatives); err != nil {
		return nil // not a Debian: the tools are what they are
	}
	if err := os.MkdirAll(common+alternatives, 0o755); err != nil {
		return err
	}
	for _, family := range []string{"iptables", "ip6tables", "arptables", "ebtables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			legacy := "/usr/sbin/" + family + "-legacy" + suffix
			if _, err := os.Stat(legacy); err != nil {
				continue
			}
			if err := os.Symlink(legacy, filepath.Join(common, alternatives, family+suffix)); err != nil {
				return err
			}
		}
	}
	return nil
}

func linkModules(folder, release string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(umlModules, release), filepath.Join(folder, release))
}

// openSerial opens the serial line that is the stream to the outside, as a
// plain eight-bit channel.
func openSerial() (*os.File, error) {
	const name = "/dev/ttyS0"
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	connection, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var rawErr error
	if err := connection.Control(func(fd uintptr) { rawErr = setRaw(int(fd)) }); err != nil {
		return nil, err
	}
	if rawErr != nil {
		return nil, fmt.Errorf("%s: %w", name, rawErr)
	}
	return f, nil
}

func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag = 0
	t.Oflag = 0
	t.Lflag = 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CLOCAL | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
