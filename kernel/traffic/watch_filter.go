package traffic

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/flow"
	"github.com/lvsform/lvsform/state"
)

// watchFilter is a classic BPF program over an IP packet of one family. It
// passes every packet that matches a pattern, and keeps nearly all others in
// the kernel: the host may be a busy one.
func watchFilter(is6 bool, patterns []flow.Pattern) []bpf.Instruction {
	h := ipv4Header()
	if is6 {
		h = ipv6Header()
	}
	out := h.begin
	for _, p := range patterns {
		if p.Wrapped {
			for _, between := range wrappings() {
				out = append(out, block(h.wrapped(p, between))...)
			}
		} else if p.Is6() == is6 {
			out = append(out, block(h.plain(p))...)
		}
	}
	return append(out, bpf.RetConstant{})
}

// header tells where things are in a packet of one family.
type header struct {
	begin                         []bpf.Instruction // sets X; ends the program for what is never wanted
	protocol, source, destination uint32
	behind                        uint32 // offset of what follows the IP header, beyond X
	icmp                          uint32
}

func ipv4Header() header {
	return header{protocol: 9, source: 12, destination: 16, icmp: unix.IPPROTO_ICMP, begin: []bpf.Instruction{
		bpf.LoadAbsolute{Off: 6, Size: 2}, // fragment offset: only the first has ports
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: 0x1fff, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadMemShift{Off: 0},
	}}
}

func ipv6Header() header {
	return header{protocol: 6, source: 8, destination: 24, behind: 40, icmp: unix.IPPROTO_ICMPV6, begin: []bpf.Instruction{
		bpf.LoadConstant{Dst: bpf.RegX, Val: 0},
	}}
}

// plain is the part of the program for a packet that is in no tunnel.
func (h header) plain(p flow.Pattern) []bpf.Instruction {
	number := map[state.Protocol]uint32{state.TCP: unix.IPPROTO_TCP, state.UDP: unix.IPPROTO_UDP, protocolICMP: h.icmp}
	out := anyOf([]compare{{bpf.LoadAbsolute{Off: h.protocol, Size: 1}, number[p.Protocol]}})
	address := func(at uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: at, Size: 4} }
	out = append(out, addressAmong(address, h.source, p.From)...)
	out = append(out, addressAmong(address, h.destination, p.To)...)
	out = append(out, portAmong(h.behind, p.FromPorts)...)
	out = append(out, portAmong(h.behind+2, p.ToPorts)...)
	if p.Opening && p.Protocol == state.TCP {
		out = append(out,
			bpf.LoadIndirect{Off: h.behind + 13, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: tcpSYN, SkipTrue: 1},
			leave{},
		)
	}
	return out
}

// wrappings are the lengths of what can stand between the outer and the inner
// IP header: nothing, GRE with or without its optional words, IPv6 destination
// options, UDP and GUE with or without theirs.
func wrappings() []uint32 { return []uint32{0, 4, 8, 12, 16, 20} }

// wrapped is the part for a packet that begins so many octets behind the outer
// header. It looks at the inner addresses only.
func (h header) wrapped(p flow.Pattern, between uint32) []bpf.Instruction {
	inner := ipv4Header()
	if p.Is6() {
		inner = ipv6Header()
	}
	at := h.behind + between
	end := at + inner.destination + uint32(len(p.To[0].AsSlice()))
	out := []bpf.Instruction{
		// A load beyond the end of the packet would end the program.
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.ALUOpX{Op: bpf.ALUOpSub},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: end, SkipTrue: 1},
		leave{},
	}
	address := func(at uint32) bpf.Instruction { return bpf.LoadIndirect{Off: at, Size: 4} }
	out = append(out, addressAmong(address, at+inner.source, p.From)...)
	return append(out, addressAmong(address, at+inner.destination, p.To)...)
}

// leave stands for a jump to the end of its block until the block is complete.
type leave struct{}

// Assemble implements bpf.Instruction.
func (leave) Assemble() (bpf.RawInstruction, error) {
	return bpf.RawInstruction{}, errors.New("a jump without a target; this is a bug")
}

// block passes the packet when the instructions come to their end; when they
// leave it, the program goes on behind.
func block(body []bpf.Instruction) []bpf.Instruction {
	return resolve(append(body, bpf.RetConstant{Val: watchSnap}))
}

// resolve makes leave a jump to the end. A conditional jump reaches 255
// instructions, an unconditional one all.
func resolve(body []bpf.Instruction) []bpf.Instruction {
	for i, in := range body {
		if _, ok := in.(leave); ok {
			body[i] = bpf.Jump{Skip: uint32(len(body) - i - 1)}
		}
	}
	return body
}

// compare is a condition: what is loaded has the value.
type compare struct {
	load  bpf.Instruction
	value uint32
}

// anyOf goes on behind itself when all conditions of one alternative hold, and
// leaves the block when none do.
func anyOf(alternatives ...[]compare) []bpf.Instruction {
	var out []bpf.Instruction
	var done []int // places from which to go on behind
	for _, conditions := range alternatives {
		var one []bpf.Instruction
		for _, c := range conditions {
			one = append(one, c.load, bpf.JumpIf{Cond: bpf.JumpEqual, Val: c.value, SkipTrue: 1}, leave{})
		}
		out = append(out, resolve(append(one, bpf.Jump{}))...)
		done = append(done, len(out)-1)
	}
	out = append(out, leave{})
	for _, i := range done {
		out[i] = bpf.Jump{Skip: uint32(len(out) - i - 1)}
	}
	return out
}

// addressAmong wants one of the addresses at an offset; of none, any.
func addressAmong(load func(at uint32) bpf.Instruction, at uint32, list []netip.Addr) []bpf.Instruction {
	if len(list) == 0 {
		return nil
	}
	alternatives := make([][]compare, len(list))
	for i, a := range list {
		words := a.AsSlice()
		for w := 0; w < len(words); w += 4 {
			alternatives[i] = append(alternatives[i], compare{load(at + uint32(w)), binary.BigEndian.Uint32(words[w:])})
		}
	}
	return anyOf(alternatives...)
}

func portAmong(at uint32, list []uint16) []bpf.Instruction {
	if len(list) == 0 {
		return nil
	}
	alternatives := make([][]compare, len(list))
	for i, p := range list {
		alternatives[i] = []compare{{bpf.LoadIndirect{Off: at, Size: 2}, uint32(p)}}
	}
	return anyOf(alternatives...)
}
