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
	Tunnels  []*Tunnel
	Services []*Service

	Source    []byte         // the file's text
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
	Routes          []*Route     // beside the default routes
	ManageAddresses bool         // lvsform puts the NICs' addresses there itself
	Forwards        []*PortForward
	IPVS            IPVS
	SSH             SSH // the host's own values over the file's defaults
	Serve           Serve
	Path            string // YAML path: hosts.lb
}

// Route is a fact, like a NIC's address: the lab makes it, and on other hosts
// it must be there.
type Route struct {
	To   netip.Prefix // masked
	Via  netip.Addr   // on-link at one of the host's NICs
	Path string       // YAML path: hosts.lb.routes[0]
}

// PortForward is a gateway's DNAT: what arrives for Listen goes to To.
type PortForward struct {
	Listen   netip.AddrPort // an address of the gateway's NICs
	To       netip.AddrPort
	Protocol Protocol // tcp unless said otherwise
	Path     string   // YAML path: hosts.router.forwards[0]
}

// IPVS is what a director is told beside its services.
type IPVS struct {
	Timeouts *Timeouts         // nil: left as they are
	Sysctls  map[string]string // below net.ipv4.vs: conntrack -> 1
	Sync     []*Sync           // at most one of each role
}

// Timeouts of IPVS connections in seconds, as ipvsadm --set takes them; all
// three are given.
type Timeouts struct{ TCP, TCPFin, UDP uint32 }

// Sync is a connection synchronisation daemon.
type Sync struct {
	Role      string // master or backup
	Interface string // one of the host's NICs
	ID        uint8
	MaxLen    uint16     // bytes; 0 is the kernel's choice
	Group     netip.Addr // 224.0.0.81 unless said otherwise
	Port      uint16     // 8848 unless said otherwise
	TTL       uint8      // 1 unless said otherwise
	Path      string     // YAML path: hosts.lb.ipvs.sync[0]
}

// Tunnel is a point-to-point tunnel between two hosts.
type Tunnel struct {
	Name string // of the device on both ends: tun0
	Type string // gre or ipip; the outer header is IPv4, or IPv6 where the network is
	TTL  uint8  // of the outer header; 64 unless said otherwise
	Ends [2]*TunnelEnd
	Path string // YAML path: tunnels[0]
}

// TunnelEnd is one end of a tunnel.
type TunnelEnd struct {
	Host    *Host
	Address netip.Addr // the inner one, on the tunnel device
	// Outer is the address of one of the host's NICs that the tunnel runs
	// over; without it the one on a network both hosts share.
	Outer  netip.Addr
	Routes []netip.Prefix // what is reached through the tunnel from here
	Path   string         // YAML path: tunnels[0].ends.node1
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
	TCP  []uint16 // TCP ports that send a line which names the host, and hang up
	UDP  []uint16 // UDP ports that answer every datagram with such a line
}

// ARP is how the real servers of a dr or tun service keep from answering ARP
// for the VIP.
type ARP string

// The ways to solve the ARP problem.
const (
	ARPSysctl ARP = "sysctl"    // arp_ignore and arp_announce on the real servers
	ARPTables ARP = "arptables" // arptables rules on the real servers
	ARPStatic ARP = "static"    // a permanent neighbour on clients and gateways
)

// ReturnRoute is how the replies of a nat service's real servers find back to
// the director.
type ReturnRoute string

// The ways back.
const (
	ReturnDefault ReturnRoute = "default" // the director becomes the default gateway
	ReturnClients ReturnRoute = "clients" // routes to the clients' networks only
	ReturnNone    ReturnRoute = "none"    // somebody else sees to it
)

// Replies says whether what clients send is answered.
type Replies string

// Whether replies come.
const (
	RepliesExpected Replies = "expected"
	RepliesNone     Replies = "none" // by design: syslog, traps; udp only
)

// Encapsulation is that of a tun service or real server.
type Encapsulation struct {
	Type     string // ipip, gue or gre; ipip unless said otherwise
	Port     uint16 // of gue
	Checksum bool   // of gue and gre
}

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
	Name      string
	VIP       netip.Addr
	Port      uint16   // 0: every port (with persistence only), or a FWMark's Ports
	Protocol  Protocol // tcp unless said otherwise
	FWMark    uint32   // not 0: the service is this mark's, which lvsform sets on packets for VIP and Ports
	Ports     []uint16 // with FWMark, instead of Port
	VIPDevice string   // the first director's device that gets the VIP; empty: the NIC in the VIP's network, or lo

	Mode           Mode          // of the real servers that say nothing else
	ARP            ARP           // dr and tun
	Encapsulation  Encapsulation // tun
	LocalAddresses []netip.Addr  // fullnat: sources the real servers see; empty: the director's own
	ReturnRoute    ReturnRoute   // nat

	Scheduler   string   // ipvsadm's name; wlc unless said otherwise
	Flags       []string // ipvsadm's names of the scheduler's flags, sorted: sh-fallback is flag-1
	Persistence Persistence
	OnePacket   bool    // every datagram is scheduled on its own; udp only
	Replies     Replies // expected unless said otherwise
	Loss        uint8   // percent of the probes that may have to be sent again; 5 unless said otherwise

	Directors   []*Host
	RealServers []*RealServer
	Path        string // YAML path: services[0]
}

// Persistence keeps a client on its real server.
type Persistence struct {
	Timeout uint32 // seconds; 0: none
	Bits    int    // leading bits of the client's address that count; 32 or 128 unless narrowed
	Engine  string // sip, or empty
}

// RealServer is one host that serves a virtual service. What it does not say
// for itself it has from the service.
type RealServer struct {
	Host           *Host
	Address        netip.Addr // RIP; zero: the host's address nearest to the director
	Port           uint16
	Weight         uint32 // 1 unless said otherwise
	UpperThreshold uint32 // connections; 0: none
	LowerThreshold uint32
	Mode           Mode
	Encapsulation  Encapsulation
	Redirect       uint16 // tun and dr: the port on which the server really listens; 0: the service's
	Path           string // YAML path: services[0].real_servers[1]
}

// Answers reports whether the real servers answer what clients send.
func (s *Service) Answers() bool { return s.Replies != RepliesNone }

// Has reports whether the host has the role.
func (h *Host) Has(r Role) bool {
	for _, x := range h.Roles {
		if x == r {
			return true
		}
	}
	return false
}
