package kernel

import (
	"errors"
	"os"

	"github.com/lvsform/lvsform/state"
	"github.com/mdlayher/netlink"
)

func (k *Kernel) observeSyncDaemons(host state.Host) error {
	answers, err := k.execute(ipvsFamily(), ipvsCmdGetDaemon, netlink.Dump, nothing)
	if err != nil {
		return err
	}
	for _, m := range answers {
		ad, err := netlink.NewAttributeDecoder(m.Data)
		if err != nil {
			return err
		}
		for ad.Next() {
			if ad.Type() != ipvsCmdAttrDaemon {
				continue
			}
			d, err := decodeSyncDaemon(ad.Bytes())
			if err != nil {
				return err
			}
			host.Put(d)
		}
		if err := ad.Err(); err != nil {
			return err
		}
	}
	return nil
}

func decodeSyncDaemon(data []byte) (state.SyncDaemon, error) {
	var d state.SyncDaemon
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return d, err
	}
	for ad.Next() {
		switch ad.Type() {
		case ipvsDaemonAttrState:
			d.Role = state.SyncBackup
			if ad.Uint32() == ipvsStateMaster {
				d.Role = state.SyncMaster
			}
		case ipvsDaemonAttrMcastIfn:
			d.Interface = ad.String()
		case ipvsDaemonAttrSyncID:
			d.ID = uint8(ad.Uint32())
		case ipvsDaemonAttrSyncMaxLen:
			d.MaxLen = ad.Uint16()
		case ipvsDaemonAttrMcastGroup:
			d.Group, err = ipvsAddr(ad.Bytes(), false)
		case ipvsDaemonAttrMcastGroup6:
			d.Group, err = ipvsAddr(ad.Bytes(), true)
		case ipvsDaemonAttrMcastPort:
			d.Port = ad.Uint16() // of this machine's order, unlike a service's
		case ipvsDaemonAttrMcastTTL:
			d.TTL = ad.Uint8()
		}
	}
	return d, errors.Join(ad.Err(), err)
}

func (k *Kernel) doSyncDaemon(c state.Change) error {
	switch c.Op() {
	case state.Add:
		return k.startSyncDaemon(c.After.(state.SyncDaemon))
	case state.Remove:
		return k.stopSyncDaemon(c.Before.(state.SyncDaemon))
	default:
		// A running daemon cannot be told anything: it is stopped and started
		// again. Connections go on; only their copies pause for a moment.
		before := c.Before.(state.SyncDaemon)
		if err := k.stopSyncDaemon(before); err != nil {
			return err
		}
		err := k.startSyncDaemon(c.After.(state.SyncDaemon))
		if err != nil {
			err = errors.Join(err, k.startSyncDaemon(before))
		}
		return err
	}
}

func (k *Kernel) startSyncDaemon(d state.SyncDaemon) error {
	return k.syncDaemon(ipvsCmdNewDaemon, d.Role, func(ae *netlink.AttributeEncoder) {
		ae.String(ipvsDaemonAttrMcastIfn, d.Interface)
		ae.Uint32(ipvsDaemonAttrSyncID, uint32(d.ID))
		ae.Uint16(ipvsDaemonAttrSyncMaxLen, d.MaxLen)
		if d.Group.Is6() {
			ae.Bytes(ipvsDaemonAttrMcastGroup6, d.Group.AsSlice())
		} else {
			ae.Bytes(ipvsDaemonAttrMcastGroup, d.Group.AsSlice())
		}
		ae.Uint16(ipvsDaemonAttrMcastPort, d.Port)
		ae.Uint8(ipvsDaemonAttrMcastTTL, d.TTL)
	})
}

// stopSyncDaemon stops a daemon. Of one that was stopped before its thread ever
// ran, the kernel's result is EINTR, and netlink does not answer with that at
// all: then the list of daemons tells.
func (k *Kernel) stopSyncDaemon(d state.SyncDaemon) error {
	err := k.syncDaemon(ipvsCmdDelDaemon, d.Role, nothing)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	now := state.Host{}
	if listErr := k.observeSyncDaemons(now); listErr != nil {
		return errors.Join(err, listErr)
	}
	if _, there := now[state.IDOf(d)]; there {
		return err
	}
	return nil
}

func (k *Kernel) syncDaemon(command uint8, role string, encode func(*netlink.AttributeEncoder)) error {
	number := uint32(ipvsStateBackup)
	if role == state.SyncMaster {
		number = ipvsStateMaster
	}
	_, err := k.execute(ipvsFamily(), command, netlink.Acknowledge, func(ae *netlink.AttributeEncoder) {
		ae.Nested(ipvsCmdAttrDaemon, func(nested *netlink.AttributeEncoder) error {
			nested.Uint32(ipvsDaemonAttrState, number)
			encode(nested)
			return nil
		})
	})
	return err
}
