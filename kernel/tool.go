package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lvsform/lvsform/fault"
)

// errNoTool says that a program the change needs is not installed.
var errNoTool = fault.New(fault.Unsupported, "not installed on this host")

// toolPath finds the first of several programs. A non-login shell's PATH may
// lack the sbin folders.
func toolPath(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", names[0], errNoTool)
}

// runTool runs a program, without a shell, for no longer than limit. What it
// wrote to standard error is the error's text.
func runTool(ctx context.Context, limit time.Duration, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second // for output that a child of it keeps open
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	text := strings.Join(strings.Fields(errs.String()), " ")
	return "", fmt.Errorf("%s: %w: %s", filepath.Base(path), err, text)
}
