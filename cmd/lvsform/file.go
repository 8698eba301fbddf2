package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
	"github.com/lvsform/lvsform/plan"
)

// defaultFile is the inventory when no FILE is given.
const defaultFile = "lvsform.yaml"

// fileName returns the FILE argument of a command that takes at most one.
func fileName(args []string) string {
	if len(args) == 0 {
		return defaultFile
	}
	return args[0]
}

// loadInventory reads the inventory that the FILE argument names and checks
// it, the rules of the forwarding modes included.
func loadInventory(args []string) (*inventory.Inventory, error) {
	saved, inv, err := load(args)
	if err == nil && saved != nil {
		err = fault.New(fault.Input, "%s is a saved plan: lvsform show shows it, and lvsform apply carries it out", fileName(args))
	}
	return inv, err
}

// checked applies the rules of the forwarding modes to an inventory that was read.
func checked(inv *inventory.Inventory, err error) (*inventory.Inventory, error) {
	if err != nil {
		return nil, fault.As(fault.Input, err)
	}
	if problems := modes.Check(inv); len(problems) > 0 {
		return nil, problems
	}
	return inv, nil
}

// load reads what FILE is: a saved plan and its inventory, or an inventory
// alone. FILE is read once, since it may be a pipe.
func load(args []string) (*plan.Saved, *inventory.Inventory, error) {
	name := fileName(args)
	text, err := readFile(name)
	if err != nil {
		return nil, nil, err
	}
	if plan.LooksSaved(text) {
		return plan.ParseSaved(name, text)
	}
	inv, err := checked(inventory.Parse(name, text))
	return nil, inv, err
}

// readFile reads a saved plan or an inventory; a little more than either may be
// long, so that it is seen to be too long.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.As(fault.Input, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, inventory.MaxSize+1))
	if err == nil && plan.LooksSaved(text) {
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(f, plan.MaxSaved+1-int64(len(text))))
		text = append(text, rest...)
	}
	return text, fault.As(fault.Input, err)
}

// readRegular reads what may be an inventory from a name that a saved plan has:
// what is there by now can be anything.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New(name + " is no regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, inventory.MaxSize+1))
}

// writeFile writes a whole file or nothing. What is there already, and is not
// empty, is replaced when mayReplace says so of how it begins; but never what is
// no regular file: the new one would take the place of a device just as well.
func writeFile(name string, text []byte, mode fs.FileMode, mayReplace func(begin []byte) error) error {
	isThere, err := replaces(name, mayReplace)
	if err != nil {
		return err
	}
	// In the same folder, where its readers are, and with the mode from the
	// beginning, whatever an older file's is.
	f, err := renameio.NewPendingFile(name, renameio.WithTempDir(filepath.Dir(name)), renameio.WithStaticPermissions(mode))
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // nothing is left to be lost
	if _, err := f.Write(text); err != nil {
		return err
	}
	if isThere {
		return f.CloseAtomicallyReplace()
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// Unlike a rename, a link replaces nothing that has come meanwhile.
	if err := os.Link(f.Name(), name); err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.CloseAtomicallyReplace() // a file system without links
}

// replaces reports whether there is a file to be replaced, or why it must not be.
func replaces(name string, mayReplace func(begin []byte) error) (bool, error) {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errors.New(name + " is there and no regular file")
	case info.Size() == 0: // mktemp makes such
		return true, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	const enough = 4096
	begin, err := io.ReadAll(io.LimitReader(f, enough))
	if err != nil {
		return false, err
	}
	return true, mayReplace(begin)
}
