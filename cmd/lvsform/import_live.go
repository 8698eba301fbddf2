package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/agent/wire"
	"github.com/lvsform/lvsform/apply"
	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/importer"
	"github.com/lvsform/lvsform/inventory"
)

func newImportLive() *cobra.Command {
	var (
		f      importFlags
		ssh    sshFlags
		common inventory.SSH
	)
	cmd := &cobra.Command{
		Use:   "live [NAME=][USER@]ADDRESS[:PORT]...",
		Short: "Write an inventory from live hosts",
		Long: `Write an inventory from live hosts. lvsform reads them over SSH. Name the
directors, and all of their real servers, gateways and clients that you can
reach. A plan for the inventory is empty wherever an inventory can say what the
hosts have.

NAME is the host's name in the inventory. Without it, the name is made from
ADDRESS. A single word is a host of ssh_config(5), or a name that resolves.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			targets := &inventory.Inventory{Name: "import"}
			for _, arg := range args {
				h, err := parseTarget(cmd.Context(), arg, common)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(targets.Hosts, func(o *inventory.Host) bool { return strings.EqualFold(o.Name, h.Name) }) {
					return fault.New(fault.Input, "%s: there is a host %s already; give each a name of its own: NAME=ADDRESS", arg, h.Name)
				}
				targets.Hosts = append(targets.Hosts, h)
			}
			var names []string
			for _, h := range targets.Hosts {
				names = append(names, h.Name)
			}
			hints, err := f.hints("live hosts: " + strings.Join(names, ", "))
			if err != nil {
				return err
			}
			s := ssh.connect(cmd.Context(), cmd, targets)
			defer s.Close()
			hosts, err := look(cmd.Context(), s, s.applyOptions(0))
			if err != nil {
				return err
			}
			r, err := importer.Live(hosts, hints)
			if err != nil {
				return fault.As(fault.Conflict, err)
			}
			return f.write(cmd, r)
		},
	}
	f.add(cmd)
	ssh.add(cmd)
	cmd.Flags().StringVar(&common.Key, "key", "", "the file of the private key, for every host")
	cmd.Flags().StringVar(&common.Jump, "jump", "", "the host to connect through, for every host: [user@]host[:port]")
	cmd.Flags().BoolVar(&common.Sudo, "sudo", false, "run the agent through sudo -n on every host")
	return cmd
}

// parseTarget reads how to reach a host.
func parseTarget(ctx context.Context, arg string, ssh inventory.SSH) (*inventory.Host, error) {
	wrong := func(why string) error {
		return fault.New(fault.Input, "%s: %s; want [NAME=][USER@]ADDRESS[:PORT], such as lb=root@192.0.2.3:22", arg, why)
	}
	name, rest, named := strings.Cut(arg, "=")
	if !named {
		name, rest = "", arg
	}
	if user, address, ok := strings.Cut(rest, "@"); ok {
		ssh.User, rest = user, address
	}
	address := strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	if _, err := netip.ParseAddr(address); err != nil { // an address alone may have colons
		if host, port, err := net.SplitHostPort(rest); err == nil {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return nil, wrong("the port is no port")
			}
			address, ssh.Port = host, uint16(n)
		}
	}
	if address == "" || strings.HasPrefix(address, "-") || strings.ContainsAny(address, " \t\n") {
		return nil, wrong("there is no address")
	}
	ssh.Address = address
	switch _, err := netip.ParseAddr(address); {
	case name != "":
	case err == nil:
		name = "host-" + strings.Trim(strings.NewReplacer(".", "-", ":", "-").Replace(address), "-")
	default:
		name, _, _ = strings.Cut(address, ".")
		// A word that only ssh_config knows is no address for an inventory:
		// it would stand before what ssh_config has for it.
		if name == address && !resolves(ctx, address) {
			ssh.Address = ""
		}
	}
	if !inventory.IsHostName(name) {
		return nil, wrong(fmt.Sprintf("%q is not a host name of one label", name))
	}
	return &inventory.Host{Name: name, SSH: ssh}, nil
}

func resolves(ctx context.Context, name string) bool {
	_, err := net.DefaultResolver.LookupHost(ctx, name)
	return err == nil
}

// look observes hosts twice: first what there is, then the settings of that.
func look(ctx context.Context, s *session, opts apply.Options) ([]importer.LiveHost, error) {
	names := make([]string, len(s.inv.Hosts))
	for i, h := range s.inv.Hosts {
		names[i] = h.Name
	}
	first := apply.Ask(ctx, names, s.hosts, opts, func(string) wire.ObserveRequest { return wire.ObserveRequest{} })
	reached := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return first[name].Err != nil })
	second := apply.Ask(ctx, reached, s.hosts, opts, func(name string) wire.ObserveRequest {
		return wire.ObserveRequest{Asked: importer.Asked(first[name].State)}
	})
	s.progress.end()
	if ctx.Err() != nil {
		return nil, fault.Interruption("nothing was written")
	}
	var out []importer.LiveHost
	var kind fault.Kind
	for _, h := range s.inv.Hosts {
		if err := cmp.Or(first[h.Name].Err, second[h.Name].Err); err != nil {
			kind = cmp.Or(kind, fault.Of(err))
			tellErrors(s.stderr, h.Name, fault.From(err))
		}
		out = append(out, importer.LiveHost{Name: h.Name, SSH: h.SSH, State: second[h.Name].State})
	}
	if kind != "" {
		return nil, fault.New(kind, "some hosts could not be looked at; nothing was written")
	}
	return out, nil
}
