package testenv_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvsform/lvsform/testenv"
)

// TestFailures: what is wrong is said, and nothing is left but a log.
func TestFailures(t *testing.T) {
	kernels(t, func(t *testing.T, o testenv.Options) {
		t.Run("host that cannot be set up", func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			inv := topology()
			inv.Hosts[2].Gateways = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
			_, err := testenv.Start(t.Context(), inv, o)
			logs := files(t, tmp, "*.log")
			if err == nil || !strings.Contains(err.Error(), "host web1: route 0.0.0.0/0 via 203.0.113.1: network is unreachable") {
				t.Errorf("error: %v", err)
			}
			// the running kernel has nothing to say
			if o.Kernel == testenv.KernelUML && (len(logs) != 1 || !strings.Contains(err.Error(), logs[0])) {
				t.Errorf("logs %s, error: %v", logs, err)
			}
			if all := files(t, tmp, "*"); len(all) != len(logs) {
				t.Errorf("left behind: %s", all)
			}
		})
		t.Run("called off", func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := testenv.Start(ctx, topology(), o); err == nil || !strings.Contains(err.Error(), "context canceled") {
				t.Errorf("error: %v", err)
			}
			if all := files(t, tmp, "*"); len(all) != 0 {
				t.Errorf("left behind: %s", all)
			}
		})
		t.Run("TMPDIR", func(t *testing.T) {
			t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
			if _, err := testenv.Start(t.Context(), topology(), o); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
				t.Errorf("error: %v", err)
			}
		})
	})
}

// TestUnavailable: what is missing is named, and how to get it.
func TestUnavailable(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := testenv.Available(testenv.Options{Kernel: testenv.KernelUML})
	if err == nil || !strings.Contains(err.Error(), "apt-get install user-mode-linux") && !strings.Contains(err.Error(), "x86-64") {
		t.Errorf("uml: %v", err)
	}
	if _, ipvs := os.Stat("/proc/net/ip_vs"); ipvs != nil {
		err = testenv.Available(testenv.Options{Kernel: testenv.KernelNative})
		if err == nil || !strings.Contains(err.Error(), "ip_vs") && !strings.Contains(err.Error(), "root") {
			t.Errorf("native: %v", err)
		}
		err = testenv.Available(testenv.Options{})
		if err == nil || !strings.Contains(err.Error(), "native: ") || !strings.Contains(err.Error(), "uml: ") {
			t.Errorf("auto: %v", err)
		}
	}
	if err := testenv.Available(testenv.Options{Kernel: "vmlinux"}); err == nil || !strings.Contains(err.Error(), `"vmlinux"`) {
		t.Errorf("unknown: %v", err)
	}
}
