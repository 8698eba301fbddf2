package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	umlKernel  = "linux.uml"
	umlModules = "/usr/lib/uml/modules" // holds <release>/kernel/...
	modprobe   = "/sbin/modprobe"       // the path the kernel itself uses
)

// checkUML says why User-Mode Linux cannot carry a lab here.
func checkUML() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("it exists for x86-64 only, this is %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath(umlKernel); err != nil {
		return fmt.Errorf("%s is not in PATH: apt-get install user-mode-linux", umlKernel)
	}
	if _, err := os.Stat(umlModules); err != nil {
		return fmt.Errorf("%s is missing: apt-get install user-mode-linux", umlModules)
	}
	if _, err := os.Stat(modprobe); err != nil {
		return fmt.Errorf("%s is missing: apt-get install kmod", modprobe)
	}
	if wideRegisters() {
		return checkCompiler()
	}
	return nil
}

// launchUML starts User-Mode Linux with the machine's own root, read-only, and
// this program as its init.
func launchUML(s *spec, dir, specFile string) (launch, error) {
	path, err := exec.LookPath(umlKernel)
	if err != nil {
		return launch{}, err
	}
	for _, name := range []string{s.Executable, specFile} {
		if strings.ContainsAny(name, " \t\n\"") {
			return launch{}, fmt.Errorf("%q: a kernel command line cannot hold a name with blanks or quotes", name)
		}
	}
	megabytes := umlMegabytes(len(s.Hosts))
	memory, err := umlMemoryDir(dir, megabytes)
	if err != nil {
		return launch{}, err
	}
	return launch{
		Args: []string{
			path,
			fmt.Sprintf("mem=%dM", megabytes),
			"rootfstype=hostfs", "rootflags=/", "ro",
			"init=" + s.Executable,
			// a benchmark that takes a second, for a RAID that is not there
			"initcall_blacklist=raid6_select_algo",
			"con=null", "con0=null,fd:1", // boot messages to stdout
			"ssl=null", fmt.Sprintf("ssl0=fd:%d,fd:%d", streamInFD, streamOutFD),
			"uml_dir=" + filepath.Join(dir, "uml"),
			"--", partCore, specFile,
		},
		// it aborts without a writable HOME and TMPDIR
		Env: []string{"PATH=" + standardPath, "HOME=" + dir, "TMPDIR=" + memory},
		// a system call in it is several times slower when the host moves it
		// between processors
		OneCPU: true,
		Ptrace: wideRegisters(),
		// it has one open for every folder and file of the machine's that anybody
		// in it has opened, for as long as it remembers that
		OpenFiles: true,
	}, nil
}

// umlMegabytes is the memory of a lab: some for the kernel and COMMAND, and a
// share for every host. The host pays only for what is used.
func umlMegabytes(hosts int) int { return 896 + 32*hosts }

// umlMemoryDir is where the kernel's memory is a (nameless) file: in /dev/shm
// when there is room, since a small one (Docker's is 64 MB) means SIGBUS
// later; else on disk in the lab's directory.
func umlMemoryDir(dir string, megabytes int) (string, error) {
	for _, candidate := range []string{"/dev/shm", dir} {
		var fs unix.Statfs_t
		if unix.Access(candidate, unix.W_OK) != nil || unix.Statfs(candidate, &fs) != nil {
			continue
		}
		// the kernel maps its own code from there
		if fs.Flags&unix.ST_NOEXEC == 0 && fs.Bavail*uint64(fs.Bsize)>>20 >= uint64(megabytes) {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("neither /dev/shm nor %s has %d MB free and lets programs run from it", filepath.Dir(dir), megabytes)
}
