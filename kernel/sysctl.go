package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/state"
)

// sysctlFile is where a setting lives: dots separate folders, and a slash in
// the name stands for a dot inside a device's name, as in sysctl(8).
func sysctlFile(name string) (string, error) {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "/", ".")
		if p == "" || parts[i] == "." || parts[i] == ".." || strings.ContainsRune(p, 0) {
			return "", fmt.Errorf("%q is not the name of a setting", name)
		}
	}
	return "/proc/sys/" + strings.Join(parts, "/"), nil
}

// ipvsSettings begin to exist when the module is loaded.
const ipvsSettings = "net.ipv4.vs."

// observeSysctl reads one setting. Why is set when the kernel does not have it.
func observeSysctl(name string) (item state.Item, why string, err error) {
	file, err := sysctlFile(name)
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, ipvsSettings) && !ipvsLoaded():
		return nil, "", nil
	case errors.Is(err, fs.ErrNotExist) && comesWithDevice(name):
		return nil, "", nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, "this kernel has no such setting", nil
	case err != nil:
		return nil, "", err
	}
	return state.Sysctl{Name: name, Setting: normaliseSysctl(string(text))}, "", nil
}

// comesWithDevice reports whether a setting is one that devices have, of a
// device that is not there: a tunnel that is yet to be made or, as tunl0, comes
// with a module. Every device begins with a copy of the settings of "default".
func comesWithDevice(name string) bool {
	file, err := sysctlFile(name)
	if err != nil {
		return false
	}
	dir, setting := filepath.Split(file)
	conf := filepath.Dir(filepath.Clean(dir))
	if filepath.Base(conf) != "conf" && filepath.Base(conf) != "neigh" {
		return false
	}
	if _, err := os.Stat(dir); err == nil {
		return false
	}
	_, err = os.Stat(filepath.Join(conf, "default", setting))
	return err == nil
}

func normaliseSysctl(text string) string { return strings.Join(strings.Fields(text), " ") }

func doSysctl(c state.Change) error {
	s, ok := c.After.(state.Sysctl)
	if !ok {
		return fmt.Errorf("a setting cannot be removed: %w", errUnsupported)
	}
	file, err := sysctlFile(s.Name)
	if err != nil {
		return err
	}
	// One write without O_CREATE: the kernel takes the value whole or not at all.
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.Setting)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	now, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// Some settings are clamped without an error.
	if got := normaliseSysctl(string(now)); got != s.Setting {
		return fault.New(fault.Unsupported, "wrote %q, the kernel kept %q", s.Setting, got)
	}
	return nil
}
