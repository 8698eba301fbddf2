package kernel

import (
	"fmt"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftTables are the tables of nftables that have a chain; true: one of
// lvsform's.
type nftTables map[nftTable]bool

// family reports whether lvsform has a chain in a table of the family.
func (t nftTables) family(number uint8) bool {
	for table, ours := range t {
		if ours && table.family == number {
			return true
		}
	}
	return false
}

// readNFTables asks nftables for its chains.
func readNFTables() (nftTables, error) {
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
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN,
			Flags: netlink.Request | netlink.Dump,
		},
		// struct nfgenmsg: all families, version 0, no resource.
		Data: make([]byte, nfgenmsgLen),
	})
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	found := nftTables{}
	for _, m := range answers {
		if len(m.Data) < nfgenmsgLen {
			continue
		}
		ad, err := netlink.NewAttributeDecoder(m.Data[nfgenmsgLen:])
		if err != nil {
			return nil, err
		}
		table, chain := nftTable{family: m.Data[0]}, ""
		for ad.Next() {
			switch ad.Type() {
			case unix.NFTA_CHAIN_TABLE:
				table.name = ad.String()
			case unix.NFTA_CHAIN_NAME:
				chain = ad.String()
			}
		}
		if err := ad.Err(); err != nil {
			return nil, err
		}
		found[table] = found[table] || strings.HasPrefix(chain, chainPrefix)
	}
	return found, nil
}

// nfgenmsgLen is the length of struct nfgenmsg, which begins with the family.
const nfgenmsgLen = 4
