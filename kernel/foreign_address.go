package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// protocolOwner names those who sign routes and addresses, by the numbers of
// linux/rtnetlink.h and of iproute2's rt_protos.
func protocolOwner(protocol uint8) string {
	switch protocol {
	case unix.RTPROT_KEEPALIVED:
		return "keepalived"
	case unix.RTPROT_BIRD:
		return "bird"
	case unix.RTPROT_ZEBRA:
		return "zebra"
	case unix.RTPROT_BGP:
		return "bgp"
	case unix.RTPROT_OSPF:
		return "ospf"
	case unix.RTPROT_ISIS:
		return "isis"
	case unix.RTPROT_RIP:
		return "rip"
	case unix.RTPROT_EIGRP:
		return "eigrp"
	case unix.RTPROT_BABEL:
		return "babel"
	case unix.RTPROT_OPENR:
		return "openr"
	case unix.RTPROT_OVN:
		return "ovn"
	default:
		return ""
	}
}

// ifaProto is IFA_PROTO (Linux 5.18). Its first numbers are what the kernel
// itself sets: on lo, from a router, link-local.
const (
	ifaProto      = 11
	ifaKernelProt = 3
)

// foreignAddresses finds VIPs that somebody has signed. lvsform signs none.
func foreignAddresses(ctx context.Context, vips []netip.Addr, names map[int]string) []state.Foreign {
	var signs []state.Foreign
	_ = dumpEach(ctx, unix.NETLINK_ROUTE, unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.SizeofIfAddrmsg, func(head []byte, ad *netlink.AttributeDecoder) {
		var (
			local, address netip.Addr
			protocol       uint8
			link           = int(binary.NativeEndian.Uint32(head[4:]))
		)
		for ad.Next() {
			switch ad.Type() {
			case unix.IFA_LOCAL: // IPv4's own; IFA_ADDRESS may be the peer
				local, _ = netip.AddrFromSlice(ad.Bytes())
			case unix.IFA_ADDRESS:
				address, _ = netip.AddrFromSlice(ad.Bytes())
			case ifaProto:
				protocol = ad.Uint8()
			}
		}
		if !local.IsValid() {
			local = address
		}
		if protocol <= ifaKernelProt || !slices.Contains(vips, local) {
			return
		}
		owner := protocolOwner(protocol)
		signs = append(signs, state.Foreign{
			Owner: owner,
			What: fmt.Sprintf("address %s dev %s proto %s", netip.PrefixFrom(local, int(head[1])), names[link],
				protocolName(owner, protocol)),
		})
	})
	return signs
}

func protocolName(owner string, protocol uint8) string {
	if owner == "" {
		return fmt.Sprint(protocol)
	}
	return owner
}

// mostForeignRoutes bounds the routes that are listed; a VIP seldom has two.
const mostForeignRoutes = 50

// foreignRoutes finds the routes of routing programs that lead to a VIP, other
// than by default. A router has a million routes: they are read one at a time,
// and of nearly all only the protocol.
func foreignRoutes(ctx context.Context, vips []netip.Addr, names map[int]string) []state.Foreign {
	if len(vips) == 0 {
		return nil
	}
	var signs []state.Foreign
	_ = dumpEach(ctx, unix.NETLINK_ROUTE, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.SizeofRtMsg, func(head []byte, ad *netlink.AttributeDecoder) {
		owner, bits := protocolOwner(head[5]), int(head[1])
		if head[0] != unix.AF_INET && head[0] != unix.AF_INET6 {
			return // MPLS' labels, multicast's own
		}
		if owner == "" || bits == 0 || len(signs) == mostForeignRoutes {
			return
		}
		var to, via netip.Addr
		link := ""
		for ad.Next() {
			switch ad.Type() {
			case unix.RTA_DST:
				to, _ = netip.AddrFromSlice(ad.Bytes())
			case unix.RTA_GATEWAY:
				via, _ = netip.AddrFromSlice(ad.Bytes())
			case unix.RTA_OIF:
				link = names[int(ad.Uint32())]
			}
		}
		prefix := netip.PrefixFrom(to, bits)
		if !slices.ContainsFunc(vips, prefix.Contains) {
			return
		}
		what := "route " + prefix.String()
		if via.IsValid() {
			what += " via " + via.String()
		}
		if link != "" {
			what += " dev " + link
		}
		signs = append(signs, state.Foreign{Owner: owner, What: what + " proto " + owner})
	})
	return signs
}

// dumpEach asks for a listing and hands on each answer: its fixed head and the
// attributes behind. Unlike the libraries' calls it keeps none of them. The
// answers are those of the calling thread's network namespace.
func dumpEach(ctx context.Context, protocol int, ask, answer uint16, headLen int, each func(head []byte, ad *netlink.AttributeDecoder)) error {
	req := nl.NewNetlinkRequest(int(ask), unix.NLM_F_DUMP)
	req.AddRawData(make([]byte, headLen)) // any family
	err := req.ExecuteIter(protocol, answer, func(m []byte) bool {
		if len(m) < headLen {
			return true
		}
		if ad, err := netlink.NewAttributeDecoder(m[headLen:]); err == nil {
			each(m[:headLen], ad)
		}
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	return ctx.Err()
}
