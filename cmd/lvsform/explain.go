package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lvsform/lvsform/fault"
	"github.com/lvsform/lvsform/inventory"
	"github.com/lvsform/lvsform/modes"
)

func newExplain() *cobra.Command {
	var (
		client, server, format string
		asJSON                 bool
	)
	cmd := &cobra.Command{
		Use:   "explain [FILE [SERVICE | TUNNEL]]",
		Short: "Show how a packet travels to each service, and how the reply comes back",
		Long: `Show how a packet travels to each service and through each tunnel, or to SERVICE
or through TUNNEL alone, and how the reply comes back. Every hop has its addresses. Every change of the packet has
the host that makes it, and the setting that allows it. The inventory FILE is
enough for this: no host is contacted.

The packet is from the service's first client, and goes to the first real server
of each forwarding mode. Flags choose others.`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			inv, err := loadInventory(args[:min(len(args), 1)])
			if err != nil {
				return err
			}
			service := ""
			if len(args) == 2 {
				service = args[1]
			}
			walks, err := explain(inv, service, client, server)
			if err != nil {
				return err
			}
			switch format {
			case "text":
				return walks.WriteText(cmd.OutOrStdout())
			case "mermaid":
				return walks.WriteMermaid(cmd.OutOrStdout())
			case "json":
				return printJSON(cmd.OutOrStdout(), walks)
			default:
				return fault.New(fault.Input, "--format takes text, mermaid or json, not %q", format)
			}
		},
	}
	cmd.Flags().StringVar(&client, "client", "", "the client host that sends the packet")
	cmd.Flags().StringVar(&server, "real-server", "", "the real server that gets the packet")
	cmd.Flags().StringVar(&format, "format", "text", "the output: text, mermaid (a sequence diagram) or json")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as --format json")
	return cmd
}

// explain computes the walks that were asked for; an empty name asks for the
// first, or for each service.
func explain(inv *inventory.Inventory, service, client, server string) (modes.Walks, error) {
	out := modes.Walks{FormatVersion: modes.WalksVersion, Walks: []modes.Walk{}}
	for _, s := range inv.Services {
		if service != "" && s.Name != service {
			continue
		}
		clients := modes.Clients(inv, s)
		i := slices.IndexFunc(clients, func(h *inventory.Host) bool { return client == "" || h.Name == client })
		if i < 0 {
			continue
		}
		seen := map[inventory.Mode]bool{}
		for _, r := range s.RealServers {
			if server == "" && !seen[r.Mode] || r.Host.Name == server {
				out.Walks = append(out.Walks, modes.Explain(inv, s, clients[i], r))
			}
			seen[r.Mode] = true
		}
	}
	for _, t := range inv.Tunnels {
		if client+server == "" && (service == "" || t.Name == service) {
			out.Tunnels = append(out.Tunnels, modes.ExplainTunnel(inv, t))
		}
	}
	if len(out.Walks)+len(out.Tunnels) == 0 {
		return out, nothingToExplain(inv, service, client, server)
	}
	return out, nil
}

// nothingToExplain says why there is no such walk.
func nothingToExplain(inv *inventory.Inventory, service, client, server string) error {
	if !slices.ContainsFunc(inv.Services, func(s *inventory.Service) bool { return service == "" || s.Name == service }) {
		what := "no service "
		if client+server == "" && len(inv.Tunnels) != 0 {
			what = "no service and no tunnel "
		}
		return fault.New(fault.Input, "%s", strings.TrimSpace("the inventory has "+what+service))
	}
	serves := func(s *inventory.Service) bool {
		return (service == "" || s.Name == service) &&
			slices.ContainsFunc(s.RealServers, func(r *inventory.RealServer) bool { return server == "" || r.Host.Name == server })
	}
	if why := notClients(inv, service, client); why != nil && slices.ContainsFunc(inv.Services, serves) {
		return fault.New(fault.Input, "no client can use it: %s", strings.Join(why, "; "))
	}
	var asked []string
	if client != "" {
		asked = append(asked, "client "+client)
	}
	if server != "" {
		asked = append(asked, "real server "+server)
	}
	if asked == nil {
		asked = []string{"a client"}
	}
	return fault.New(fault.Input, "no service %shas %s", strings.TrimLeft(service+" ", " "), strings.Join(asked, " and "))
}

// notClients says of every host that was asked for, with the role client, why it is
// none of a service's; nil when there is no such host.
func notClients(inv *inventory.Inventory, service, client string) []string {
	var out []string
	for _, s := range inv.Services {
		for _, h := range inv.Hosts {
			why := modes.NoClient(s, h)
			if why != "" && (service == "" || s.Name == service) && (client == "" || h.Name == client) && h.Has(inventory.RoleClient) {
				out = append(out, fmt.Sprintf("service %s: not %s: %s", s.Name, h.Name, why))
			}
		}
	}
	return out
}
