package kernel

import (
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// From linux/netfilter/nf_tables.h.
const (
	nftMsgGetChain   = 4
	nftAttrChainName = 3
)

// nftChains tells in which families nftables has a chain with a name of that
// prefix, by the families' numbers.
func nftChains(prefix string) (map[uint8]bool, error) {
	// Asking would load the module.
	if there, err := moduleLoaded("nf_tables"); err != nil || !there {
		return nil, err
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open nfnetlink: %w", err)
	}
	defer c.Close() //nolint:errcheck // nothing is written
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | nftMsgGetChain,
			Flags: netlink.Request | netlink.Dump,
		},
		// struct nfgenmsg: all families, version 0, no resource.
		Data: make([]byte, nfgenmsgLen),
	})
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	found := map[uint8]bool{}
	for _, m := range answers {
		if len(m.Data) < nfgenmsgLen {
			continue
		}
		ad, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgLen:])
		if err != nil {
			return nil, err
		}
		for ad.Next() {
			if ad.Type() == nftAttrChainName && strings.HasPrefix(ad.String(), prefix) {
				found[m.Data[0]] = true
			}
		}
		if err := ad.Err(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// nfgenmsgLen is the length of struct nfgenmsg, which begins with the family.
const nfgenmsgLen = 4
