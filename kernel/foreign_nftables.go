package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftTable is a table of nftables: its family's number and its name.
type nftTable struct {
	family uint8
	name   string
}

func (t nftTable) String() string {
	families := map[uint8]string{
		unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6",
		unix.NFPROTO_ARP: "arp", unix.NFPROTO_NETDEV: "netdev", unix.NFPROTO_BRIDGE: "bridge",
	}
	return families[t.family] + " " + t.name
}

// nftRule is a rule that names one of the addresses, or IPVS.
type nftRule struct {
	table  nftTable
	chain  string
	handle uint64
	names  string // which
}

// nftForeign is what nftables has of others than lvsform, whoever's tool made
// it: nft, or iptables with nftables below.
type nftForeign struct {
	chains map[nftTable][]string // also the built-in ones
	rules  []nftRule
}

// mostNFTRules bounds the rules that are looked at.
const mostNFTRules = 1 << 19

// foreignNFT reads the chains and looks through the rules. Nothing is loaded
// for it, and no program runs.
func foreignNFT(ctx context.Context, vips []netip.Addr) nftForeign {
	out := nftForeign{chains: map[nftTable][]string{}}
	if !mayAskNFT() {
		return out
	}
	const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	_ = dumpEach(ctx, unix.NETLINK_NETFILTER, subsystem|unix.NFT_MSG_GETCHAIN, subsystem|unix.NFT_MSG_NEWCHAIN, nfgenmsgLen,
		func(head []byte, ad *netlink.AttributeDecoder) {
			table, name := nftTable{family: head[0]}, ""
			for ad.Next() {
				switch ad.Type() {
				case unix.NFTA_CHAIN_TABLE:
					table.name = ad.String()
				case unix.NFTA_CHAIN_NAME:
					name = ad.String()
				}
			}
			if !strings.HasPrefix(name, chainPrefix) {
				out.chains[table] = append(out.chains[table], name)
			}
		})
	if len(out.chains) == 0 {
		return out
	}
	seen := 0
	_ = dumpEach(ctx, unix.NETLINK_NETFILTER, subsystem|unix.NFT_MSG_GETRULE, subsystem|unix.NFT_MSG_NEWRULE, nfgenmsgLen,
		func(head []byte, ad *netlink.AttributeDecoder) {
			if seen++; seen > mostNFTRules {
				return
			}
			r := nftRule{table: nftTable{family: head[0]}}
			for ad.Next() {
				switch ad.Type() {
				case unix.NFTA_RULE_TABLE:
					r.table.name = ad.String()
				case unix.NFTA_RULE_CHAIN:
					r.chain = ad.String()
				case unix.NFTA_RULE_HANDLE:
					r.handle = binary.BigEndian.Uint64(padded(ad.Bytes(), 8))
				case unix.NFTA_RULE_EXPRESSIONS:
					x := nftExpressions{family: head[0], vips: vips, loads: map[uint32]nftLoad{}}
					ad.Nested(x.read)
					r.names = x.names
				}
			}
			if r.names != "" && !strings.HasPrefix(r.chain, chainPrefix) {
				out.rules = append(out.rules, r)
			}
		})
	return out
}

// mayAskNFT reports whether asking nftables loads nothing: its module is
// loaded, or built in (which a kernel does not always say), or there is none.
func mayAskNFT() bool {
	const module = "nf_tables"
	if there, err := moduleLoaded(module); err == nil && there {
		return true
	}
	dir, err := moduleDir()
	if err != nil {
		return false
	}
	listed, err := listsModule(filepath.Join(dir, "modules.dep"), module)
	return !listed && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// padded makes numbers of unexpected length readable.
func padded(b []byte, n int) []byte {
	if len(b) == n {
		return b
	}
	return make([]byte, n)
}

// nftLoad is what a register holds: a piece of the packet's network header,
// and the mask that was put on it.
type nftLoad struct {
	offset int
	mask   []byte
}

// nftExpressions looks for addresses in a rule's expressions, which are a
// little program: load from the packet into a register, mask, compare.
type nftExpressions struct {
	family uint8
	vips   []netip.Addr
	loads  map[uint32]nftLoad
	names  string // the first that is found
}

func (x *nftExpressions) read(list *netlink.AttributeDecoder) error {
	for list.Next() {
		list.Nested(func(ad *netlink.AttributeDecoder) error {
			name := ""
			for ad.Next() {
				switch ad.Type() {
				case unix.NFTA_EXPR_NAME:
					name = ad.String()
				case unix.NFTA_EXPR_DATA:
					ad.Nested(func(data *netlink.AttributeDecoder) error {
						data.ByteOrder = binary.BigEndian
						x.expression(name, data)
						return nil
					})
				}
			}
			return nil
		})
	}
	return nil
}

func (x *nftExpressions) expression(name string, ad *netlink.AttributeDecoder) {
	numbers, bytes := map[uint16]uint32{}, map[uint16][]byte{}
	text := ""
	for ad.Next() {
		b := ad.Bytes()
		bytes[ad.Type()] = b
		if len(b) == 4 {
			numbers[ad.Type()] = binary.BigEndian.Uint32(b)
		}
		if name == "match" && ad.Type() == unix.NFTA_MATCH_NAME {
			text = ad.String()
		}
	}
	switch name {
	case "payload":
		delete(x.loads, numbers[unix.NFTA_PAYLOAD_DREG])
		if numbers[unix.NFTA_PAYLOAD_BASE] == unix.NFT_PAYLOAD_NETWORK_HEADER && len(bytes[unix.NFTA_PAYLOAD_DREG]) != 0 {
			x.loads[numbers[unix.NFTA_PAYLOAD_DREG]] = nftLoad{offset: int(numbers[unix.NFTA_PAYLOAD_OFFSET])}
		}
	case "bitwise":
		load, ok := x.loads[numbers[unix.NFTA_BITWISE_SREG]]
		delete(x.loads, numbers[unix.NFTA_BITWISE_DREG])
		if ok {
			load.mask = nftValue(bytes[unix.NFTA_BITWISE_MASK])
			x.loads[numbers[unix.NFTA_BITWISE_DREG]] = load
		}
	case "cmp":
		op := numbers[unix.NFTA_CMP_OP]
		load, ok := x.loads[numbers[unix.NFTA_CMP_SREG]]
		if ok && (op == unix.NFT_CMP_EQ || op == unix.NFT_CMP_NEQ) {
			x.compare(load, nftValue(bytes[unix.NFTA_CMP_DATA]))
		}
	case "match": // an extension of iptables
		if text == "ipvs" {
			x.found("IPVS")
		}
		x.within(bytes[unix.NFTA_MATCH_INFO])
	case "target":
		x.within(bytes[unix.NFTA_TARGET_INFO])
	case "immediate": // what a native dnat or snat takes its address from
		x.within(nftValue(bytes[unix.NFTA_IMMEDIATE_DATA]))
	}
}

// nftValue takes a value out of the attribute around it.
func nftValue(b []byte) []byte {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return nil
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_DATA_VALUE {
			return ad.Bytes()
		}
	}
	return nil
}

func (x *nftExpressions) found(name string) {
	if x.names == "" {
		x.names = name
	}
}

// within looks for a whole address in data of an extension.
func (x *nftExpressions) within(data []byte) {
	for _, vip := range x.vips {
		if strings.Contains(string(data), string(vip.AsSlice())) {
			x.found(vip.String())
		}
	}
}

// compare takes the addresses out of what a piece of the network header is
// compared with. nft loads source and destination at once where it can, and of
// a network of whole octets only these.
func (x *nftExpressions) compare(load nftLoad, value []byte) {
	for _, f := range addressFields(x.family, load.offset) {
		from, to := f.offset-load.offset, f.offset-load.offset+f.size
		if from < 0 || from >= len(value) {
			continue
		}
		to = min(to, len(value))
		network, mask := make([]byte, f.size), make([]byte, f.size)
		copy(network, value[from:to])
		for i := range mask[:to-from] {
			mask[i] = 0xff
		}
		if load.mask != nil {
			if len(load.mask) < to {
				continue
			}
			copy(mask, load.mask[from:to])
		}
		for _, vip := range x.vips {
			if ip := vip.AsSlice(); len(ip) == f.size && masked(ip, network, mask) {
				x.found(vip.String())
			}
		}
	}
}

type addressField struct{ offset, size int }

// addressFields are the source and the destination in a family's network
// header. In a table of both IPv4 and IPv6, where a load begins tells which.
func addressFields(family uint8, offset int) []addressField {
	four, six := []addressField{{12, 4}, {16, 4}}, []addressField{{8, 16}, {24, 16}}
	switch {
	case family == unix.NFPROTO_ARP:
		return []addressField{{14, 4}, {24, 4}} // behind MAC addresses of 6 octets
	case family == unix.NFPROTO_IPV6, family != unix.NFPROTO_IPV4 && (offset == six[0].offset || offset == six[1].offset):
		return six
	default:
		return four
	}
}

// tail is what can be said of a rule without nft.
func (r nftRule) tail() string { return fmt.Sprintf("handle %d, which names %s", r.handle, r.names) }
