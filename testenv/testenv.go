// Package testenv is the lab: it boots an inventory's topology on one machine,
// on a real Linux kernel, and runs commands at a workstation inside it.
//
// A lab is one kernel (the running one or User-Mode Linux) with a process, the
// core, that makes a bridge of every network and a set of namespaces of every
// host. In every host runs an SSH server. One byte stream joins the outside
// with the workstation: commands travel over it as ordinary SSH sessions.
//
//	outside                      supervisor            kernel
//	Start, Run, Close  --life--> lab-supervise ------> lab-core
//	      |                                              |-- lab-host lb
//	      `------------ SSH over one stream -------------`-- lab-host workstation
//
// The program that calls Start is also every other process of the lab: its
// main function (or TestMain) must begin with [Part].
package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lvsform/lvsform/inventory"
)

// Kernel is what a lab runs on.
type Kernel string

// The kernels.
const (
	KernelAuto   Kernel = "auto"   // native where that works, uml otherwise
	KernelNative Kernel = "native" // the running kernel; needs root and ip_vs
	KernelUML    Kernel = "uml"    // User-Mode Linux; needs the Debian package user-mode-linux
)

// Places at the workstation.
const (
	Home = "/lab/home" // HOME, with .ssh
	Work = "/lab/work" // holds the inventory as lvsform.yaml
)

// bootTimeout ends a boot that hangs. A healthy one takes a few seconds.
const bootTimeout = 60 * time.Second

// Options of a lab.
type Options struct {
	Kernel Kernel // empty: auto
	// File is the inventory as the user wrote it; the workstation has it as
	// lvsform.yaml. May be empty.
	File []byte
	// Path is the workstation's PATH after the directory of the running
	// program and before the standard directories. May be empty.
	Path string
	// WithoutIPVS lets KernelNative run on a kernel that has no ip_vs: enough
	// for tests of everything in a lab but LVS.
	WithoutIPVS bool
}

// Lab is a running lab.
type Lab struct {
	Kernel Kernel // the one that runs: native or uml

	access *access
	super  *supervisor
	client *ssh.Client // of the workstation
}

// Start boots the inventory and returns when every host is up. The context
// bounds the boot only; the lab runs until Close or the end of this process.
func Start(ctx context.Context, inv *inventory.Inventory, o Options) (*Lab, error) {
	kernel, err := chooseKernel(o)
	if err != nil {
		return nil, err
	}
	s, access, err := newSpec(inv, kernel, o)
	if err != nil {
		return nil, err
	}
	super, err := supervise(s)
	if err != nil {
		return nil, fmt.Errorf("start the lab: %w", err)
	}
	boot, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	client, err := connect(boot, super.stream, kernel, access)
	switch {
	case err == nil:
	case ctx.Err() != nil: // nobody wants it any more: no log, then
		return nil, errors.Join(context.Cause(ctx), super.close())
	default:
		if boot.Err() != nil {
			err = fmt.Errorf("not up after %s", bootTimeout)
		}
		err = fmt.Errorf("start the lab: %w%s", err, super.keepLog())
		return nil, errors.Join(err, super.close())
	}
	return &Lab{Kernel: kernel, access: access, super: super, client: client}, nil
}

// Close ends the lab with everything in it, and returns when nothing of it is
// left.
func (l *Lab) Close() error {
	_ = l.client.Close() // ends with the stream in any case
	return l.super.close()
}

// connect waits for the core's report and then for the workstation's SSH
// server on the same stream.
func connect(ctx context.Context, stream *stream, kernel Kernel, access *access) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	report, err := readLine(stream)
	if err != nil {
		return nil, fmt.Errorf("the kernel ended before the lab was up (%w)", err)
	}
	if report != readyReport {
		return nil, errors.New(report)
	}
	conn, channels, requests, err := ssh.NewClientConn(stream.conn(kernel, true), workstationName, access.clientConfig())
	if err != nil {
		return nil, fmt.Errorf("connect to the workstation: %w", err)
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// readyReport is what the core writes when the lab is up; any other line is
// the reason why it is not.
const readyReport = "lab ready"

// readLine reads up to a newline and not a byte more: what follows is SSH.
func readLine(r io.Reader) (string, error) {
	var line strings.Builder
	b := make([]byte, 1)
	for line.Len() < 64<<10 {
		if _, err := io.ReadFull(r, b); err != nil {
			return line.String(), err
		}
		if b[0] == '\n' {
			return line.String(), nil
		}
		line.WriteByte(b[0])
	}
	return "", errors.New("endless line")
}

// Part runs args (os.Args without the program's name) if they name a part of
// the lab that is a process of its own, and then ends this process. Otherwise
// it returns at once.
func Part(args []string) {
	if len(args) == 0 {
		return
	}
	var err error
	switch {
	case args[0] == partSupervise && len(args) >= 2:
		err = superviseMain(args[1])
	case args[0] == partCore && len(args) >= 2:
		// UML appends arguments of its own
		err = coreMain(args[1])
	case args[0] == partHost:
		err = hostMain()
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lvsform: %s: %v\n", args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

// The parts that are processes of their own.
const (
	partSupervise = "lab-supervise"
	partCore      = "lab-core"
	partHost      = "lab-host"
)
