package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/importer/read"
	"github.com/lvsform/lvsform/inventory"
)

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Write an inventory from what exists",
		Long: `Write an inventory from what exists: the configuration of another program, or
live hosts. Nothing is changed on any host.

The inventory goes to standard output. Standard error lists what is not carried
over, and what is assumed because the source does not say it. Comments in the
inventory say the same. If the inventory breaks a rule of the forwarding modes,
it is still written; the rule is reported, and the exit status is 1.`,
		Args: cobra.NoArgs, // a source that is none
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newImportText("ipvsadm", "a dump of ipvsadm -Sn", simple(read.IPVSAdm)),
		newImportKeepalived(),
		newImportText("ldirectord", "an ldirectord.cf", simple(read.Ldirectord)),
		newImportLive(),
	)
	return cmd
}

// importFlags are those of every import.
type importFlags struct {
	name     string
	out      string
	force    bool
	networks []string
	nic      string
}

func (f *importFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "the topology's name (default: the director's)")
	cmd.Flags().StringVar(&f.out, "out", "", "write the inventory to this file")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace the file of --out if it exists")
	cmd.Flags().StringArrayVar(&f.networks, "network", nil, "a network as NAME=PREFIX; repeat it for each network")
	cmd.Flags().StringVar(&f.nic, "nic", "eth0", "the name of NICs, if the source does not say it")
}

func (f *importFlags) hints(source string) (importer.Hints, error) {
	h := importer.Hints{Topology: f.name, Source: source, File: f.out, NIC: f.nic}
	if h.File == "" {
		h.File = "stdout"
	}
	if f.name != "" && !inventory.IsName(f.name) {
		return h, fault.New(fault.Input, "--name %s: want letters, digits, . _ and -, at most 64, the first a letter or digit", f.name)
	}
	if !inventory.IsInterfaceName(f.nic) {
		return h, fault.New(fault.Input, "--nic %s: want the name of a network device", f.nic)
	}
	for _, text := range f.networks {
		name, prefix, _ := strings.Cut(text, "=")
		p, err := netip.ParsePrefix(prefix)
		if err != nil || p != p.Masked() || p.Bits() == 0 || !inventory.IsName(name) {
			return h, fault.New(fault.Input, "--network %s: want NAME=PREFIX, such as lan=192.0.2.0/24", text)
		}
		h.Networks = append(h.Networks, importer.NamedPrefix{Name: name, Prefix: p})
	}
	return h, nil
}

// write writes the inventory and says what there is to say of it.
func (f *importFlags) write(cmd *cobra.Command, r *importer.Result) error {
	if f.out == "" {
		if _, err := cmd.OutOrStdout().Write(r.Text); err != nil {
			return err
		}
	} else if err := f.writeOut(r.Text); err != nil {
		return err
	}
	w := cmd.ErrOrStderr()
	tell(w, "not carried over", importer.ListLeft(r.Left))
	tell(w, "assumed", importer.ListNotes(r.Assumed, "with a comment in the inventory"))
	tell(w, importer.ToVerify, importer.ListAdditions(r.ToVerify))
	tell(w, "what a plan would change", importer.ListNotes(r.Pending, ""))
	if len(r.Problems) != 0 {
		return r.Problems
	}
	return nil
}

func tell(w io.Writer, what string, lines []string) {
	if len(lines) != 0 {
		fmt.Fprintf(w, "%s:\n  %s\n", what, strings.Join(lines, "\n  "))
	}
}

// writeOut writes the inventory to the file of --out.
func (f *importFlags) writeOut(text []byte) error {
	const everybody = 0o644 // it holds no secrets
	return fault.As(fault.Input, writeFile(f.out, text, everybody, func([]byte) error {
		if !f.force {
			return fmt.Errorf("%s is there already; --force replaces it", f.out)
		}
		return nil
	}))
}

// reader reads a text; director is the name that the user gives its host.
type reader func(file string, data []byte, director string) (*read.Found, error)

// simple is a reader of a text that has nothing to do with its host's name.
func simple(parse func(file string, data []byte) (*read.Found, error)) reader {
	return func(file string, data []byte, _ string) (*read.Found, error) { return parse(file, data) }
}

// newImportText makes the command for one kind of text.
func newImportText(kind, what string, parse reader) *cobra.Command {
	var (
		f         importFlags
		directors []string
		gateways  []string
		marks     []string
		lab       bool
	)
	cmd := &cobra.Command{
		Use:   kind + " FILE",
		Short: "Write an inventory from " + what,
		Long: `Write an inventory from ` + what + `. FILE may be -, which is
standard input.

A text describes one director. If a fact is missing and a guess would be wrong,
the error names the flag that states it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := kind + " " + filepath.Base(args[0])
			hints, err := f.hints(source)
			if err != nil {
				return err
			}
			if hints.Directors, err = parseDirectors(directors); err != nil {
				return err
			}
			if hints.Gateways, err = parseGateways(gateways); err != nil {
				return err
			}
			if hints.Marks, err = parseMarks(marks); err != nil {
				return err
			}
			hints.Lab = lab
			data, err := readSource(cmd, args[0])
			if err != nil {
				return err
			}
			director := ""
			if len(hints.Directors) != 0 {
				director = hints.Directors[0].Name
			}
			found, err := parse(args[0], data, director)
			if err != nil {
				return fault.As(fault.Input, err)
			}
			r, err := importer.Inventory(found, hints)
			if err != nil {
				return importError(cmd, args[0], err)
			}
			if len(r.Inventory.Services) == 0 {
				return nothingToImport(cmd, args[0], r.Left)
			}
			return f.write(cmd, r)
		},
	}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&directors, "director", nil, "the director's own address as NAME=ADDRESS[/LENGTH][%NIC]; repeat it for each of its NICs. NAME alone is enough if the source has the address")
	cmd.Flags().BoolVar(&lab, "lab", false, "make the inventory one for lvsform lab: with a client, a router and servers that answer; what is not told is made up")
	cmd.Flags().StringArrayVar(&gateways, "gateway", nil, "the director's default router; repeat it for the other family, IPv4 or IPv6")
	cmd.Flags().StringArrayVar(&marks, "fwmark", nil, "which packets have a firewall mark, as MARK=VIP:PORT[,PORT...][/PROTOCOL]; repeat it for each mark")
	return cmd
}

// nothingToImport lists what was found all the same, and says that it makes no
// inventory. A pipe from a command that failed has nothing in it, too.
func nothingToImport(cmd *cobra.Command, file string, left []read.Left) error {
	tell(cmd.ErrOrStderr(), "not carried over", importer.ListLeft(left))
	return fault.New(fault.Input, "%s: there is no virtual service in it that an inventory can have", file)
}

// newImportKeepalived makes the command for a text that may include others.
func newImportKeepalived() *cobra.Command {
	var include []string
	cmd := newImportText("keepalived", "a keepalived.conf", func(file string, data []byte, director string) (*read.Found, error) {
		around, end, err := includeFrom(file, include)
		if err != nil {
			return nil, err
		}
		defer end()
		around.ConfigID = director
		return read.Keepalived(file, data, around)
	})
	cmd.Flags().StringArrayVar(&include, "include", nil, "follow include lines into this folder, too; PATH=FOLDER if it is a copy of the director's PATH. FILE's own folder is always followed")
	return cmd
}

// includeFrom opens the folders that a file may include from: its own, and
// those of --include.
func includeFrom(file string, folders []string) (around read.Around, end func(), err error) {
	var roots []*os.Root
	end = func() {
		for _, r := range roots {
			r.Close() //nolint:errcheck // it was only read from
		}
	}
	add := func(as, folder string) error {
		root, err := os.OpenRoot(folder)
		if err != nil {
			return err
		}
		roots = append(roots, root)
		around.Folders = append(around.Folders, read.Folder{Path: as, Name: folder, Files: root.FS()})
		return nil
	}
	if file != "-" {
		folder := filepath.Dir(file)
		if around.Dir, err = filepath.Abs(folder); err == nil {
			err = add(around.Dir, folder)
		}
		if err != nil {
			return around, end, err
		}
	}
	for _, text := range folders {
		as, folder, copied := strings.Cut(text, "=")
		if !copied {
			folder = text
			if as, err = filepath.Abs(text); err != nil {
				return around, end, err
			}
		}
		if !filepath.IsAbs(as) || folder == "" {
			return around, end, fault.New(fault.Input, "--include %s: want FOLDER, or PATH=FOLDER, such as /etc/keepalived=backup", text)
		}
		if err := add(filepath.Clean(as), folder); err != nil {
			return around, end, fmt.Errorf("--include %s: %w", text, err)
		}
	}
	return around, end, nil
}

// importError prints what the source does not tell, a line each.
func importError(cmd *cobra.Command, file string, err error) error {
	var unknown importer.Unknown
	if !errors.As(err, &unknown) {
		return fault.As(fault.Input, err)
	}
	for _, line := range unknown {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", file, line)
	}
	return &exitStatus{status: exitError}
}

// readSource reads a file, or standard input; a little more than may be read,
// so that it is seen to be too long.
func readSource(cmd *cobra.Command, name string) ([]byte, error) {
	r := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fault.As(fault.Input, err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, read.MaxSize+1))
	return data, fault.As(fault.Input, err)
}

// parseGateways reads the director's default routes, at most one of a family.
func parseGateways(flags []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, text := range flags {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fault.New(fault.Input, "--gateway %s: want an address", text)
		}
		if err := refuseAddress("--gateway", text, a); err != nil {
			return nil, err
		}
		for _, o := range out {
			if o.Is4() == a.Is4() {
				return nil, fault.New(fault.Input, "--gateway %s: %s is the director's gateway of that family already; want one for IPv4 and one for IPv6", text, o)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// refuseAddress says why no NIC of a host has the address of a flag.
func refuseAddress(flag, text string, a netip.Addr) error {
	if what, fix := inventory.RefuseAddress(a); what != "" {
		return fault.New(fault.Input, "%s %s: %s; %s", flag, text, what, fix)
	}
	if a.IsLoopback() {
		return fault.New(fault.Input, "%s %s: a loopback address is on no NIC; want one that the other hosts reach", flag, text)
	}
	return nil
}

func parseDirectors(flags []string) ([]importer.DirectorHint, error) {
	var out []importer.DirectorHint
	for _, text := range flags {
		name, rest, hasAddress := strings.Cut(text, "=")
		address, nic, hasNIC := strings.Cut(rest, "%")
		p, err := netip.ParsePrefix(address)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(address); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		switch {
		case hasAddress && err != nil || !inventory.IsHostName(name):
			return nil, fault.New(fault.Input, "--director %s: want NAME=ADDRESS, such as lb=192.0.2.3", text)
		case hasNIC && !inventory.IsInterfaceName(nic):
			return nil, fault.New(fault.Input, "--director %s: want the name of a NIC after %%, such as lb=192.0.2.3%%eth0", text)
		case len(out) != 0 && out[0].Name != name:
			return nil, fault.New(fault.Input, "--director %s: %s is another name; the source is one director's", text, out[0].Name)
		}
		if err := refuseAddress("--director", text, p.Addr()); err != nil {
			return nil, err
		}
		out = append(out, importer.DirectorHint{Name: name, Address: p, NIC: nic})
	}
	return out, nil
}

// parseMarks reads which packets have a firewall mark: 7=192.0.2.30:80,443/tcp.
func parseMarks(flags []string) ([]importer.Mark, error) {
	var out []importer.Mark
	for _, text := range flags {
		wrong := fault.New(fault.Input, "--fwmark %s: want MARK=VIP:PORT[,PORT...][/PROTOCOL], such as 7=192.0.2.30:80,443/tcp", text)
		m := importer.Mark{Protocol: inventory.TCP}
		mark, rest, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(mark, 0, 32)
		if err != nil || n == 0 {
			return nil, wrong
		}
		m.Mark = uint32(n)
		if where, protocol, said := strings.Cut(rest, "/"); said {
			rest, m.Protocol = where, inventory.Protocol(protocol)
		}
		if !slices.Contains([]inventory.Protocol{inventory.TCP, inventory.UDP, inventory.SCTP}, m.Protocol) {
			return nil, wrong
		}
		host, ports, err := net.SplitHostPort(rest)
		if err == nil {
			m.VIP, err = netip.ParseAddr(host)
		}
		if what, _ := inventory.RefuseAddress(m.VIP); err != nil || what != "" {
			return nil, wrong
		}
		for _, port := range strings.Split(ports, ",") {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 || slices.Contains(m.Ports, uint16(n)) {
				return nil, wrong
			}
			m.Ports = append(m.Ports, uint16(n))
		}
		if slices.ContainsFunc(out, func(o importer.Mark) bool { return o.Mark == m.Mark && o.VIP.Is6() == m.VIP.Is6() }) {
			return nil, fault.New(fault.Input, "--fwmark %s: mark %d again; in an inventory a mark has one VIP of each family, and one protocol", text, m.Mark)
		}
		out = append(out, m)
	}
	return out, nil
}
