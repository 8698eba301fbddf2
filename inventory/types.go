package inventory

import (
	"net/netip"
)

// Inventory is one topology as the user wrote it, complete and free of
// mistakes that can be seen without knowing the forwarding modes.
type Inventory struct {
	File     string // name it was read from, for messages
	Version  int
	Name     string // names the journal on the hosts
	Networks []*Network
	Hosts    []*Host // in the order of the file
	Services []*Service

	positions map[string]Pos // by YAML path
}

// Network is a layer 2 segment with its prefixes.
type Network struct {
	Name     string
	Prefixes []netip.Prefix // masked; one, or one of each family
}

// Role is what a host does in the topology.
type Role string

// The roles.
const (
	RoleClient     Role = "client"
	RoleDirector   Role = "director"
	RoleGateway    Role = "gateway"
	RoleRealServer Role = "real-server"
)

// Host is a machine of the topology.
type Host struct {
	Name            string
	Roles           []Role       // one or more
	NICs            []*NIC       // in the order of the file
	Gateways        []netip.Addr // default routes: at most one of each family
	ManageAddresses bool         // lvsform puts the NICs' addresses there itself
	SSH             SSH          // the host's own values over the file's defaults
	Serve           Serve
	Path            string // YAML path: hosts.lb
}

// NIC is a network device whose name and addresses are facts.
type NIC struct {
	Name      string
	Network   *Network
	Addresses []netip.Prefix // each with the prefix length of its network
}

// SSH says how to reach a host. Empty fields are left to ssh_config(5) and
// the defaults of OpenSSH.
type SSH struct {
	Address string // host name or address
	Port    uint16
	User    string
	Key     string // path of a private key; ~ is the home directory
	Jump    string // [user@]host[:port], or the name of another host of the inventory
	Sudo    bool   // run the agent through sudo -n
}

// Serve is what a host listens on in the lab; real hosts ignore it.
type Serve struct {
	HTTP []uint16 // TCP ports of a small HTTP server
}

// Mode is a forwarding mode.
type Mode string

// The forwarding modes.
const (
	ModeDR Mode = "dr"
)

// Protocol of a virtual service.
type Protocol string

// The protocols.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Service is a virtual service and the hosts that carry it.
type Service struct {
	Name        string
	VIP         netip.Addr
	Port        uint16
	Protocol    Protocol // tcp unless said otherwise
	Mode        Mode
	Scheduler   string // ipvsadm's name; wlc unless said otherwise
	Directors   []*Host
	RealServers []*RealServer
	Path        string // YAML path: services[0]
}

// RealServer is one host that serves a virtual service.
type RealServer struct {
	Host   *Host
	Port   uint16 // the service's port unless said otherwise
	Weight uint32 // 1 unless said otherwise
	Path   string // YAML path: services[0].real_servers[1]
}

// Has reports whether the host has the role.
func (h *Host) Has(r Role) bool {
	for _, x := range h.Roles {
		if x == r {
			return true
		}
	}
	return false
}
