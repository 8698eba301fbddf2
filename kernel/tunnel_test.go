package kernel

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
)

// One thing that cannot be set on a device that was made anew does not cost the
// device the rest.
func TestPutOnTriesAll(t *testing.T) {
	on := []state.Item{
		state.Up{Link: "tun0"},
		state.Address{Link: "tun0", Prefix: netip.MustParsePrefix("10.0.0.1/32")},
		state.Address{Link: "tun0", Prefix: netip.MustParsePrefix("10.0.0.2/32")},
		state.Route{To: netip.MustParsePrefix("10.1.0.0/16"), Link: "tun0"},
	}
	var tried []state.Item
	err := putOn(on, func(c state.Change) error {
		tried = append(tried, c.After)
		switch len(tried) {
		case 2:
			return unix.EPERM
		case 4:
			return unix.ENETUNREACH
		}
		return nil
	})
	if !slices.Equal(tried, on) || !errors.Is(err, unix.EPERM) || !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("tried %v, error %v", tried, err)
	}
	if err := putOn(on, func(state.Change) error { return nil }); err != nil {
		t.Error(err)
	}
}
