package testenv

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// User-Mode Linux 6.1 cannot run on a processor with AMX by itself: it ends
// with "ptrace set fp regs failed, errno = 14" at its first process. The
// library made from this source helps it; the source says how.
//
//go:embed uml/ptrace.c
var ptraceSource []byte

const (
	compiler     = "cc"
	compileLimit = time.Minute
)

// wideRegisters reports whether this machine's kernel keeps the registers of
// AMX for its processes.
func wideRegisters() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && slices.Contains(strings.Fields(string(info)), "amx_tile")
}

// checkCompiler says why the library cannot be made.
func checkCompiler() error {
	if _, err := exec.LookPath(compiler); err != nil {
		return fmt.Errorf("this processor has AMX, whose registers %s does not know, and the library that helps it needs a C compiler: apt-get install gcc", umlKernel)
	}
	return nil
}

// makePtrace compiles the library into the lab's directory.
func makePtrace(dir string) (library string, err error) {
	source := filepath.Join(dir, "ptrace.c")
	library = filepath.Join(dir, "ptrace.so")
	if err := os.WriteFile(source, ptraceSource, 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), compileLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, compiler, "-O2", "-shared", "-fPIC", "-nostdlib", "-o", library, source)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // what it leaves when it is killed goes with the lab
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the library that helps %s on a processor with AMX: %s: %w: %s", umlKernel, compiler, err, strings.Join(strings.Fields(string(out)), " "))
	}
	return library, nil
}
