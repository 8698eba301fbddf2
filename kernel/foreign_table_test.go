package kernel

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/lvsform/lvsform/kernel/kerneltest"
)

// extension is a match or a target in a legacy table.
func extension(name string, data ...byte) []byte {
	b := make([]byte, extensionData+(len(data)+7)&^7)
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	copy(b[extensionName:], name)
	copy(b[extensionData:], data)
	return b
}

// rule makes an entry: source, destination (masked prefixes; zero: any),
// matches, and the target as the last extension.
func (l legacyEntry) rule(source, destination string, extensions ...[]byte) []byte {
	e := make([]byte, l.size)
	for i, s := range []string{source, destination} {
		if s == "" {
			continue
		}
		p := netip.MustParsePrefix(s)
		copy(e[i*l.addr:], p.Addr().AsSlice())
		for bit := range p.Bits() {
			e[(2+i)*l.addr+bit/8] |= 0x80 >> (bit % 8)
		}
	}
	for i, x := range extensions {
		if i == len(extensions)-1 {
			binary.NativeEndian.PutUint16(e[l.targets:], uint16(len(e)))
		}
		e = append(e, x...)
	}
	binary.NativeEndian.PutUint16(e[l.targets+2:], uint16(len(e)))
	return e
}

func TestScanLegacyTable(t *testing.T) {
	accept, end := extension("", 0xfe, 0xff, 0xff, 0xff), extension("ERROR", []byte("ERROR")...)
	chain := func(name string) []byte { return ipv4Entry().rule("", "", extension("ERROR", []byte(name)...)) }
	four := func(source, destination string) []byte { return ipv4Entry().rule(source, destination, accept) }
	for name, test := range map[string]struct {
		layout  legacyEntry
		entries [][]byte
		want    tableSigns
	}{
		"policies only":              {ipv4Entry(), [][]byte{four("", ""), four("", "")}, tableSigns{}},
		"another address":            {ipv4Entry(), [][]byte{four("192.0.2.31/32", "203.0.113.0/24")}, tableSigns{}},
		"a source":                   {ipv4Entry(), [][]byte{four("192.0.2.30/32", "")}, tableSigns{names: true}},
		"a destination's network":    {ipv4Entry(), [][]byte{four("203.0.113.1/32", "192.0.2.16/28")}, tableSigns{names: true}},
		"a network of odd length":    {ipv4Entry(), [][]byte{four("", "192.0.2.24/29")}, tableSigns{names: true}},
		"the network beside":         {ipv4Entry(), [][]byte{four("", "192.0.2.32/28")}, tableSigns{}},
		"IPVS' match":                {ipv4Entry(), [][]byte{ipv4Entry().rule("", "", extension("tcp", 1), extension("ipvs", 1), accept)}, tableSigns{names: true}},
		"another match":              {ipv4Entry(), [][]byte{ipv4Entry().rule("", "", extension("ipvsx", 1), accept)}, tableSigns{}},
		"a target to an address":     {ipv4Entry(), [][]byte{ipv4Entry().rule("", "", extension("DNAT", 1, 0, 0, 0, 192, 0, 2, 30))}, tableSigns{names: true}},
		"a range in a match":         {ipv4Entry(), [][]byte{ipv4Entry().rule("", "", extension("iprange", 192, 0, 2, 30, 192, 0, 2, 40), accept)}, tableSigns{names: true}},
		"chains":                     {ipv4Entry(), [][]byte{four("", ""), chain("DOCKER"), four("", ""), chain("mine")}, tableSigns{chains: []string{"DOCKER", "mine"}}},
		"lvsform's chain":            {ipv4Entry(), [][]byte{four("", ""), chain("LVSFORM-INPUT"), four("192.0.2.30/32", "")}, tableSigns{}},
		"a chain behind lvsform's":   {ipv4Entry(), [][]byte{chain("LVSFORM-INPUT"), chain("zone"), four("192.0.2.30/32", "")}, tableSigns{chains: []string{"zone"}, names: true}},
		"IPv6":                       {ipv6Entry(), [][]byte{ipv6Entry().rule("", "2001:db8::/64", accept)}, tableSigns{names: true}},
		"another network of IPv6":    {ipv6Entry(), [][]byte{ipv6Entry().rule("", "2001:db8:1::/64", accept)}, tableSigns{}},
		"ARP":                        {arpEntry(), [][]byte{arpEntry().rule("", "192.0.2.30/32", accept)}, tableSigns{names: true}},
		"ARP mangled to the address": {arpEntry(), [][]byte{arpEntry().rule("", "", extension("mangle", 192, 0, 2, 30))}, tableSigns{names: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var entries []byte
			for _, e := range append(test.entries, test.layout.rule("", "", end)) {
				entries = append(entries, e...)
			}
			got := test.layout.scan(entries, kerneltest.Addrs("192.0.2.30", "2001:db8::1e"))
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(tableSigns{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A table that is not laid out as expected ends the scan, and no more.
func TestScanLegacyTableOfNonsense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom([]legacyEntry{ipv4Entry(), ipv6Entry(), arpEntry()}).Draw(t, "layout")
		entries := l.rule("", "", extension("tcp", 1, 2, 3), extension("ERROR", []byte("zone")...))
		entries = append(entries, l.rule("", "", extension("x"))...)
		for range rapid.IntRange(0, 8).Draw(t, "changes") {
			at := rapid.IntRange(0, len(entries)-1).Draw(t, "at")
			if rapid.Bool().Draw(t, "in an offset") {
				at = l.targets + rapid.IntRange(0, 3).Draw(t, "octet")
			}
			entries[at] = rapid.Byte().Draw(t, "octet's value")
		}
		entries = entries[:rapid.IntRange(0, len(entries)).Draw(t, "length")]
		if got := l.scan(entries, kerneltest.Addrs("192.0.2.30", "2001:db8::1e")); len(got.chains) > 2 {
			t.Errorf("chains: %q", got.chains)
		}
	})
}

// nftExpr is an expression: its name, and attributes by number.
type nftExpr struct {
	name  string
	attrs []netlink.Attribute
}

func number(attr uint16, n uint32) netlink.Attribute {
	return netlink.Attribute{Type: attr, Data: binary.BigEndian.AppendUint32(nil, n)}
}

func value(t *testing.T, attr uint16, v ...byte) netlink.Attribute {
	return nested(t, attr, netlink.Attribute{Type: unix.NFTA_DATA_VALUE, Data: v})
}

func nested(t *testing.T, attr uint16, in ...netlink.Attribute) netlink.Attribute {
	t.Helper()
	b, err := netlink.MarshalAttributes(in)
	if err != nil {
		t.Fatal(err)
	}
	return netlink.Attribute{Type: attr | netlink.Nested, Data: b}
}

func TestNFTExpressions(t *testing.T) {
	load := func(offset, n uint32) nftExpr {
		return nftExpr{"payload", []netlink.Attribute{
			number(unix.NFTA_PAYLOAD_DREG, 1), number(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_NETWORK_HEADER),
			number(unix.NFTA_PAYLOAD_OFFSET, offset), number(unix.NFTA_PAYLOAD_LEN, n)}}
	}
	ports := nftExpr{"payload", []netlink.Attribute{
		number(unix.NFTA_PAYLOAD_DREG, 1), number(unix.NFTA_PAYLOAD_BASE, unix.NFT_PAYLOAD_TRANSPORT_HEADER),
		number(unix.NFTA_PAYLOAD_OFFSET, 16), number(unix.NFTA_PAYLOAD_LEN, 4)}}
	compare := func(op uint32, v ...byte) nftExpr {
		return nftExpr{"cmp", []netlink.Attribute{number(unix.NFTA_CMP_SREG, 1), number(unix.NFTA_CMP_OP, op), value(t, unix.NFTA_CMP_DATA, v...)}}
	}
	mask := func(v ...byte) nftExpr {
		return nftExpr{"bitwise", []netlink.Attribute{number(unix.NFTA_BITWISE_SREG, 1), number(unix.NFTA_BITWISE_DREG, 1), value(t, unix.NFTA_BITWISE_MASK, v...)}}
	}
	match := func(name string, info ...byte) nftExpr {
		return nftExpr{"match", []netlink.Attribute{
			{Type: unix.NFTA_MATCH_NAME, Data: append([]byte(name), 0)}, {Type: unix.NFTA_MATCH_INFO, Data: info}}}
	}
	vip, vip6 := []byte{192, 0, 2, 30}, netip.MustParseAddr("2001:db8::1e").AsSlice()
	const eq, ne = unix.NFT_CMP_EQ, unix.NFT_CMP_NEQ
	for name, test := range map[string]struct {
		family uint8
		rule   []nftExpr
		want   string
	}{
		"a destination":                  {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), compare(eq, vip...)}, "192.0.2.30"},
		"any other source":               {unix.NFPROTO_IPV4, []nftExpr{load(12, 4), compare(ne, vip...)}, "192.0.2.30"},
		"another address":                {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), compare(eq, 192, 0, 2, 31)}, ""},
		"a network of whole octets":      {unix.NFPROTO_IPV4, []nftExpr{load(16, 3), compare(eq, 192, 0, 2)}, "192.0.2.30"},
		"another of whole octets":        {unix.NFPROTO_IPV4, []nftExpr{load(16, 3), compare(eq, 192, 0, 3)}, ""},
		"a network with a mask":          {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), mask(255, 255, 255, 240), compare(eq, 192, 0, 2, 16)}, "192.0.2.30"},
		"another with a mask":            {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), mask(255, 255, 255, 240), compare(eq, 192, 0, 2, 32)}, ""},
		"source and destination at once": {unix.NFPROTO_INET, []nftExpr{load(12, 8), compare(eq, append([]byte{203, 0, 113, 1}, vip...)...)}, "192.0.2.30"},
		"no address of the header":       {unix.NFPROTO_IPV4, []nftExpr{load(4, 4), compare(eq, vip...)}, ""},
		"the header behind":              {unix.NFPROTO_IPV4, []nftExpr{ports, compare(eq, vip...)}, ""},
		"a register that is used again":  {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), ports, compare(eq, vip...)}, ""},
		"less than":                      {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), compare(unix.NFT_CMP_LT, vip...)}, ""},
		"IPv6":                           {unix.NFPROTO_IPV6, []nftExpr{load(24, 16), compare(eq, vip6...)}, "2001:db8::1e"},
		"IPv6 in a table of both":        {unix.NFPROTO_INET, []nftExpr{load(24, 4), compare(eq, vip6[:4]...)}, "2001:db8::1e"},
		"ARP":                            {unix.NFPROTO_ARP, []nftExpr{load(24, 4), compare(eq, vip...)}, "192.0.2.30"},
		"IPVS' match":                    {unix.NFPROTO_IPV4, []nftExpr{match("ipvs", 1)}, "IPVS"},
		"a match with the address":       {unix.NFPROTO_IPV4, []nftExpr{match("iprange", append(vip, 192, 0, 2, 40)...)}, "192.0.2.30"},
		"another match":                  {unix.NFPROTO_IPV4, []nftExpr{match("tcp", 0, 0, 0, 80)}, ""},
		"an address for NAT":             {unix.NFPROTO_IPV4, []nftExpr{{"immediate", []netlink.Attribute{value(t, unix.NFTA_IMMEDIATE_DATA, vip...)}}}, "192.0.2.30"},
		"a compare without its parts":    {unix.NFPROTO_IPV4, []nftExpr{load(16, 4), {"cmp", nil}, {"bitwise", nil}, {"payload", nil}, {"", nil}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list []netlink.Attribute
			for _, e := range test.rule {
				list = append(list, nested(t, unix.NFTA_LIST_ELEM,
					netlink.Attribute{Type: unix.NFTA_EXPR_NAME, Data: append([]byte(e.name), 0)}, nested(t, unix.NFTA_EXPR_DATA, e.attrs...)))
			}
			ad, err := netlink.NewAttributeDecoder(nested(t, 0, list...).Data)
			if err != nil {
				t.Fatal(err)
			}
			x := nftExpressions{family: test.family, vips: kerneltest.Addrs("192.0.2.30", "2001:db8::1e"), loads: map[uint32]nftLoad{}}
			if err := x.read(ad); err != nil || x.names != test.want {
				t.Errorf("names %q, want %q, %v", x.names, test.want, err)
			}
		})
	}
}
