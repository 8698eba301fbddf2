package traffic

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQuestions(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	v4 := arpQuestion(mac, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.30"))
	v6 := neighbourQuestion(mac, netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::30"))
	if diff := cmp.Diff("0001080006040001"+"020000000007"+"c0000207"+"000000000000"+"c000021e", hex.EncodeToString(v4.packet)); diff != "" {
		t.Errorf("ARP request (-want +got)\n%s", diff)
	}
	const (
		source = "20010db8000000000000000000000007"
		target = "20010db8000000000000000000000030"
		group  = "ff0200000000000000000001ff000030"
	)
	if diff := cmp.Diff("6000000000203aff"+source+group+"87001bbf00000000"+target+"0101"+"020000000007", hex.EncodeToString(v6.packet)); diff != "" {
		t.Errorf("neighbour solicitation (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff("33:33:ff:00:00:30", v6.to.String()); diff != "" {
		t.Errorf("solicitation's group (-want +got)\n%s", diff)
	}

	const advertisement = "6000000000203aff" + target + source + "8800000060000000"
	for name, test := range map[string]struct {
		q      question
		packet string
		want   string // empty: no answer
	}{
		"ARP reply":                    {v4, "0001080006040002" + "020000000003" + "c000021e" + "020000000007" + "c0000207", "02:00:00:00:00:03"},
		"ARP reply for another":        {v4, "0001080006040002" + "020000000003" + "c000021f" + "020000000007" + "c0000207", ""},
		"ARP request from the address": {v4, "0001080006040001" + "020000000003" + "c000021e" + "020000000007" + "c0000207", ""},
		"ARP reply cut short":          {v4, "0001080006040002" + "020000000003" + "c000021e", ""},

		"advertisement":                        {v6, advertisement + target + "0201" + "020000000003", "02:00:00:00:00:03"},
		"advertisement without the option":     {v6, advertisement + target, "02:00:00:00:00:99"},
		"advertisement with another before it": {v6, advertisement + target + "0e01000000000000" + "0201" + "020000000003", "02:00:00:00:00:03"},
		"advertisement with an empty option":   {v6, advertisement + target + "0000000000000000" + "0201" + "020000000003", "02:00:00:00:00:99"},
		"advertisement of another":             {v6, advertisement + source + "0201" + "020000000003", ""},
		"solicitation":                         {v6, hex.EncodeToString(v6.packet), ""},
		"advertisement cut short":              {v6, advertisement, ""},
	} {
		t.Run(name, func(t *testing.T) {
			vm, err := bpf.NewVM(test.q.filter)
			if err != nil {
				t.Fatal(err)
			}
			packet := unhex(t, test.packet)
			n, err := vm.Run(packet)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if n != 0 {
				if mac := test.q.answer(packet, net.HardwareAddr{2, 0, 0, 0, 0, 0x99}); mac != nil {
					got = mac.String()
				}
			}
			if got != test.want {
				t.Errorf("answer %q, want %q", got, test.want)
			}
		})
	}
}

func TestScanNeighbours(t *testing.T) {
	const table = `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.30       0x1         0x6         02:00:00:00:00:03     *        eth0
192.0.2.31       0x1         0x2         02:00:00:00:00:04     *        eth0
192.0.2.32       0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.30       0x1         0x2         02:00:00:00:00:05     *        eth1
`
	for _, test := range []struct {
		device, address string
		mac             string
		permanent       bool
	}{
		{"eth0", "192.0.2.30", "02:00:00:00:00:03", true},
		{"eth0", "192.0.2.31", "02:00:00:00:00:04", false},
		{"eth0", "192.0.2.32", "", false},
		{"eth0", "192.0.2.3", "", false},
		{"eth1", "192.0.2.30", "02:00:00:00:00:05", false},
	} {
		mac, permanent, err := scanNeighbours(strings.NewReader(table), test.device, netip.MustParseAddr(test.address))
		if err != nil || mac != test.mac || permanent != test.permanent {
			t.Errorf("%s on %s: %s, permanent: %v, %v", test.address, test.device, mac, permanent, err)
		}
	}
}
