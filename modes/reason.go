package modes

// Reason is why a host must have an item.
type Reason struct {
	ID   ReasonID
	Text string // for people, in a few words; it may be worded better at any time
}

// ReasonID names a reason for programs. It stays.
type ReasonID string

// The reasons.
const (
	// Of directors.
	ReasonIPVS         ReasonID = "ipvs"            // the module that virtual services live in
	ReasonScheduler    ReasonID = "scheduler"       // its module
	ReasonPersistence  ReasonID = "persistence"     // the persistence engine's module
	ReasonService      ReasonID = "service"         // the virtual service itself
	ReasonDestination  ReasonID = "destination"     // a real server of it
	ReasonMark         ReasonID = "firewall-mark"   // by which IPVS knows the service
	ReasonVIP          ReasonID = "vip"             // where clients find the VIP
	ReasonNoRedirects  ReasonID = "no-redirects"    // a one-armed director; real servers must not learn a shorter way
	ReasonConntrack    ReasonID = "conntrack"       // source NAT needs to see IPVS' connections
	ReasonLocalAddress ReasonID = "local-address"   // a source for source NAT
	ReasonSourceNAT    ReasonID = "source-nat"      // real servers see the director
	ReasonIPVSSettings ReasonID = "ipvs-settings"   // the inventory's ipvs:
	ReasonSync         ReasonID = "connection-sync" // with other directors

	// Of real servers.
	ReasonAcceptVIP     ReasonID = "accept-vip"      // the VIP as an address of its own
	ReasonNoARPAnswer   ReasonID = "no-arp-answer"   // nobody may learn of the VIP from a real server
	ReasonNoARPQuestion ReasonID = "no-arp-question" // nor from its questions
	ReasonReturnRoute   ReasonID = "return-route"    // replies must pass the director
	ReasonDecapsulation ReasonID = "decapsulation"   // takes packets out of the tunnel
	ReasonReversePath   ReasonID = "reverse-path"    // they come from where no route leads back
	ReasonRedirect      ReasonID = "redirect"        // the program listens on another port
	ReasonSegmentSize   ReasonID = "segment-size"    // full segments must fit into the tunnel

	// Of several roles, or of none.
	ReasonForwarding      ReasonID = "forwarding"       // passes packets on
	ReasonPortForward     ReasonID = "port-forward"     // of a gateway
	ReasonStaticNeighbour ReasonID = "static-neighbour" // arp: static
	ReasonOwnAddress      ReasonID = "own-address"      // manage_addresses
	ReasonTunnel          ReasonID = "tunnel"           // a point-to-point tunnel
	ReasonTunnelRoute     ReasonID = "tunnel-route"     // what is behind its other end

	// Of what a plan puts back.
	ReasonAsFound        ReasonID = "as-found"         // it was found with another value
	ReasonNotThereBefore ReasonID = "not-there-before" // it was not found at all
	ReasonFoundLost      ReasonID = "found-lost"       // what was found lay on something that is gone
)
