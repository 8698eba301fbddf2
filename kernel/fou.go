package kernel

import (
	"context"
	"encoding/binary"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

func fouFamily() genericFamily { return genericFamily{name: "fou", version: 1} }

// From linux/fou.h.
const (
	fouCmdAdd = 1
	fouCmdDel = 2
	fouCmdGet = 3

	fouAttrPort = 1 // big-endian
	fouAttrAF   = 2
	fouAttrType = 4

	fouEncapGUE = 2
)

func (k *Kernel) observeFOUPorts(_ context.Context, host state.Host) error {
	there, err := moduleLoaded("fou")
	if err != nil || !there {
		return err
	}
	answers, err := k.execute(fouFamily(), fouCmdGet, netlink.Dump, nothing)
	if err != nil {
		return err
	}
	for _, m := range answers {
		ad, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return err
		}
		var (
			port state.FOUPort
			kind uint8
		)
		for ad.Next() {
			switch ad.Type() {
			case fouAttrPort:
				if b := ad.Bytes(); len(b) == 2 {
					port.Port = binary.BigEndian.Uint16(b)
				}
			case fouAttrAF:
				port.IPv6 = ad.Uint8() == unix.AF_INET6
			case fouAttrType:
				kind = ad.Uint8()
			}
		}
		if err := ad.Err(); err != nil {
			return err
		}
		if kind == fouEncapGUE {
			host.Put(port)
		}
	}
	return nil
}

func (k *Kernel) doFOUPort(c state.Change) error {
	var port state.FOUPort
	command := uint8(fouCmdAdd)
	switch c.Op() {
	case state.Add:
		port = c.After.(state.FOUPort)
	case state.Remove:
		port, command = c.Before.(state.FOUPort), fouCmdDel
	default:
		return errUnsupported // there is nothing to modify
	}
	if command == fouCmdDel {
		if there, err := moduleLoaded("fou"); err != nil || !there {
			return unix.EINVAL // what the kernel says of a port that is not there
		}
	}
	_, err := k.execute(fouFamily(), command, netlink.Acknowledge, func(ae *netlink.AttributeEncoder) {
		family := uint8(unix.AF_INET)
		if port.IPv6 {
			family = unix.AF_INET6
		}
		ae.Bytes(fouAttrPort, bigEndian16(port.Port))
		ae.Uint8(fouAttrAF, family)
		if command == fouCmdAdd {
			ae.Uint8(fouAttrType, fouEncapGUE)
		}
	})
	return err
}
