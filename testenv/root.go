package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/journal"
)

// The lab's tmpfs holds every host's private files:
//
//	machine/      the machine's root, bound
//	common/       what lies over it in every host
//	roots/NAME/   upper, work and root: the overlay of host NAME
const (
	machineDir = "machine"
	commonDir  = "common"
	rootsDir   = "roots"
)

func mountLabDir(dir string) error {
	if err := unix.Mount("lab", dir, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
	}
	for _, name := range []string{machineDir, commonDir, rootsDir} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return addSudo(filepath.Join(dir, commonDir))
}

// addSudo gives the hosts a sudo where the machine has none: an inventory may
// ask for it, and every user of a lab is root.
func addSudo(common string) error {
	for _, dir := range filepath.SplitList(standardPath) {
		if _, err := os.Stat(filepath.Join(dir, "sudo")); err == nil {
			return nil
		}
	}
	const script = `#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
`
	bin := filepath.Join(common, "usr/local/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bin, "sudo"), []byte(script), 0o755)
}

// mountRoot lays a writable root over the machine's and returns its path.
func mountRoot(dir, name string) (string, error) {
	root := filepath.Join(dir, rootsDir, name, "root")
	lower := overlayPath(filepath.Join(dir, commonDir)) + ":" + overlayPath(filepath.Join(dir, machineDir))
	return root, mountOverlay(lower, filepath.Dir(root), root)
}

// mountOverlay mounts an overlay on target, with upper and work in parent.
func mountOverlay(lower, parent, target string) error {
	upper, work := filepath.Join(parent, "upper"), filepath.Join(parent, "work")
	for _, d := range []string{upper, work, target} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, overlayPath(upper), overlayPath(work))
	if err := unix.Mount("overlay", target, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay on %s: %w", target, err)
	}
	return nil
}

// overlayPath quotes a path for overlay's mount options.
func overlayPath(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(path)
}

// setUpRoot gives this process's mount namespace the host's own root, and
// nothing else.
func (h *hostSpec) setUpRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root, err := mountRoot(h.Dir, h.Name)
	if err != nil {
		return err
	}
	if h.Kernel == KernelNative {
		// User-Mode Linux's root shows them all anyway
		if err := h.mountOthers(root); err != nil {
			return err
		}
	}
	if err := h.mountPrivate(root); err != nil {
		return err
	}
	// the root that was goes below the new one, and away
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := replaceFile("/etc/hostname", h.Name+"\n"); err != nil {
		return err
	}
	return replaceFile("/etc/hosts", h.Hosts)
}

type mount struct {
	source, target, fstype string
	flags                  uintptr
	options                string
}

// mountPrivate mounts what a host never shares: kernel file systems, devices
// and the directories of what is running.
func (h *hostSpec) mountPrivate(root string) error {
	const strict = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []mount{
		{"proc", "/proc", "proc", strict, ""},
		{"sysfs", "/sys", "sysfs", strict, ""},
		{"dev", "/dev", "tmpfs", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
	if h.Workstation == nil {
		// the workstation goes on seeing the machine's: what COMMAND names
		// may well be there
		mounts = append(mounts,
			mount{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
			mount{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
			mount{"root", "/root", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0700"},
		)
	}
	// The machine may be in lvsform's hands itself; its hosts here are not.
	// Removed, not mounted over: destroy gets rid of the folder in the end.
	// An ordinary user cannot see into the machine's; then it is covered.
	if err := os.RemoveAll(root + journal.Dir); err != nil {
		mounts = append(mounts, mount{"lvsform", journal.Dir, "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0700"})
	}
	for _, m := range mounts {
		target := root + m.target
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, target, m.fstype, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if h.Kernel == KernelNative {
		if err := protectKernel(root); err != nil {
			return err
		}
	}
	return makeDevices(root + "/dev")
}

// protectKernel leaves a host of a native lab only those sysctls that are its
// own: all but the network's are the machine's.
func protectKernel(root string) error {
	readOnly := []string{"/proc/sys"}
	const reboot = "/proc/sysrq-trigger" // not in every kernel
	if _, err := os.Stat(root + reboot); err == nil {
		readOnly = append(readOnly, reboot)
	}
	for _, path := range append(readOnly, "/proc/sys/net") {
		if err := unix.Mount(root+path, root+path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
	}
	for _, path := range readOnly {
		if err := unix.Mount("", root+path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	return nil
}

// makeDevices fills /dev.
func makeDevices(dev string) error {
	for _, d := range []struct {
		name         string
		major, minor uint32
	}{
		{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
	} {
		path := filepath.Join(dev, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // whatever the umask
			return err
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}

// mountOthers lays an overlay of its own over every further file system of the
// machine (a separate /usr or /home): an overlay shows one file system only.
func (h *hostSpec) mountOthers(root string) error {
	mounts, err := machineMounts(h.Dir)
	if err != nil {
		return err
	}
	for i, path := range mounts {
		parent := filepath.Join(h.Dir, rootsDir, h.Name, strconv.Itoa(i))
		overlay := mountOverlay(overlayPath(path), parent, root+path)
		if overlay == nil {
			continue
		}
		// some file systems cannot lie under an overlay: show them read-only
		target := root + path
		if err := unix.Mount(path, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", path, errors.Join(overlay, err))
		}
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("%s: %w", path, errors.Join(overlay, err))
		}
	}
	return nil
}

// machineMounts lists the directories besides / where the machine has a file
// system with files of its users, parents first.
func machineMounts(labDir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	seen := map[string]bool{}
	var found []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		path := unescapeMount(fields[4])
		if path == "/" || seen[path] || below(path, labDir) || ownTree(path) {
			continue
		}
		seen[path] = true
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			found = append(found, path)
		}
	}
	sort.Strings(found)
	return found, lines.Err()
}

// ownTree reports whether a host has a tree of its own where path is.
func ownTree(path string) bool {
	for _, tree := range []string{"/proc", "/sys", "/dev", "/run"} {
		if below(path, tree) {
			return true
		}
	}
	return false
}

func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// unescapeMount decodes the octal escapes of blanks in /proc/self/mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// replaceFile writes a file of the host's own in place of the machine's, which
// may be a link or unreadable.
func replaceFile(name, content string) error {
	if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(name, []byte(content), 0o644)
}
