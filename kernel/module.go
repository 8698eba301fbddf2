package kernel

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// modprobeLimit bounds one modprobe run: a few dependencies from a slow disk.
const modprobeLimit = 30 * time.Second

// observeModule reports a module that is loaded or built in. Why is set when
// it is neither, and modprobe is not there or would not find it.
func observeModule(name string) (item state.Item, why string, err error) {
	if err := checkModuleName(name); err != nil {
		return nil, "", err
	}
	there, err := moduleLoaded(name)
	if err != nil {
		return nil, "", err
	}
	if there {
		return state.Module{Name: name}, "", nil
	}
	dir, err := moduleDir()
	if err != nil {
		return nil, "", err
	}
	found, err := listsModule(filepath.Join(dir, "modules.dep"), name)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("not loaded, and the modules of this kernel cannot be listed: %v", err), nil
	case !found:
		return nil, "not loaded, and not among the modules in " + dir, nil
	}
	if _, err := toolPath("modprobe"); err != nil {
		return nil, fmt.Sprintf("not loaded, and cannot be: %v", err), nil
	}
	return nil, "", nil
}

// moduleLoaded reports whether a module is loaded or built in. One that is
// still being loaded, or removed, is not.
func moduleLoaded(name string) (bool, error) {
	// Built-in modules appear here only if they have parameters, and without
	// an initstate, hence the second look at modules.builtin.
	dir := filepath.Join("/sys/module", name)
	if _, err := os.Stat(dir); err == nil {
		phase, err := os.ReadFile(filepath.Join(dir, "initstate"))
		return err != nil || strings.TrimSpace(string(phase)) == "live", nil
	}
	modules, err := moduleDir()
	if err != nil {
		return false, err
	}
	found, err := listsModule(filepath.Join(modules, "modules.builtin"), name)
	return err == nil && found, nil // a kernel without such a list has nothing built in that matters
}

func moduleDir() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:])), nil
}

// listsModule looks for a module in modules.dep or modules.builtin: a path a
// line, ending in .ko or .ko.xz and the like, before a colon where there is one.
func listsModule(file, name string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // read only
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // one module may depend on very many
	for lines.Scan() {
		path, _, _ := strings.Cut(lines.Text(), ":")
		base, _, _ := strings.Cut(filepath.Base(path), ".ko")
		if strings.ReplaceAll(base, "-", "_") == name {
			return true, nil
		}
	}
	return false, lines.Err()
}

func checkModuleName(name string) error {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return fmt.Errorf("%q is not a module name", name)
		}
	}
	if name == "" {
		return fmt.Errorf("empty module name")
	}
	return nil
}

func doModule(ctx context.Context, c state.Change) error {
	m, ok := c.After.(state.Module)
	if !ok || c.Op() != state.Add {
		return fmt.Errorf("modules are never unloaded: %w", errUnsupported)
	}
	if err := checkModuleName(m.Name); err != nil {
		return err
	}
	path, err := toolPath("modprobe")
	if err != nil {
		return err
	}
	_, err = runTool(ctx, modprobeLimit, path, "--", m.Name)
	return err
}
