package kernel

import (
	"fmt"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// answerLimit bounds the wait for an answer, which the kernel has normally
// written before the request returns.
const answerLimit = 5 * time.Second

// genericFamily is a family of generic netlink: its name and the version of
// its commands.
type genericFamily struct {
	name    string
	version uint8
}

// execute sends one request to a family and returns the answers. Looking up a
// family loads its module, so ask whether that is there first.
func (k *Kernel) execute(f genericFamily, command uint8, flags netlink.HeaderFlags, encode func(*netlink.AttributeEncoder)) ([]genetlink.Message, error) {
	if k.generic == nil {
		c, err := genetlink.Dial(nil)
		if err != nil {
			return nil, fmt.Errorf("open generic netlink: %w", err)
		}
		k.generic, k.families = c, map[string]uint16{}
	}
	// before the look-up too: the last request's deadline would end it at once
	if err := k.generic.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return nil, err
	}
	id, known := k.families[f.name]
	if !known {
		family, err := k.generic.GetFamily(f.name)
		if err != nil {
			return nil, fmt.Errorf("generic netlink family %s: %w", f.name, err)
		}
		id = family.ID
		k.families[f.name] = id
	}
	ae := netlink.NewAttributeEncoder()
	encode(ae)
	data, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	return k.generic.Execute(genetlink.Message{
		Header: genetlink.Header{Command: command, Version: f.version},
		Data:   data,
	}, id, netlink.Request|flags)
}

// nothing is the attributes of a request without any.
func nothing(*netlink.AttributeEncoder) {}

// bigEndian16 encodes a port as the wire has it.
func bigEndian16(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }
