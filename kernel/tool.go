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

// packageOf names the package that a program is in. The names are Debian's;
// those of others that differ (iptables-nft) say that they provide these.
func packageOf(program string) string {
	switch {
	case program == "modprobe":
		return "kmod"
	case strings.HasPrefix(program, "arptables"):
		return "arptables"
	default:
		return "iptables" // ip6tables and the -save programs too
	}
}

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
	last := names[len(names)-1] // the plain name
	return "", fmt.Errorf("%s: %w; install the package %s", last, errNoTool, packageOf(last))
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
