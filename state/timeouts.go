package state

import "fmt"

// Timeouts are IPVS' own for connections, in seconds, as ipvsadm --set takes
// them. A host with ip_vs has exactly one item of this kind.
type Timeouts struct {
	TCP    uint32 `json:"tcp"`
	TCPFin uint32 `json:"tcpfin"`
	UDP    uint32 `json:"udp"`
}

// Kind implements Item.
func (Timeouts) Kind() Kind { return KindTimeouts }

// Key implements Item.
func (Timeouts) Key() string { return "tcp tcpfin udp" }

// Value implements Item.
func (t Timeouts) Value() string { return fmt.Sprintf("%d %d %d", t.TCP, t.TCPFin, t.UDP) }
