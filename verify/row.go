package verify

import "github.com/lvsform/lvsform/inventory"

// rowOf is what must be seen of a forwarding mode, beside what every mode must
// show: one function a mode, each returning the same three answers in the same
// order: the source the real server sees, the destination it sees, and the
// way of the replies. It is nil for a mode without a row.
func rowOf(m inventory.Mode) []func(*inventory.Service, *evidence) Check {
	switch m {
	case inventory.ModeDR:
		return drRow()
	default:
		return nil
	}
}

// drRow: the director changes nothing but the frame's MAC address, and the
// real server answers the client directly.
func drRow() []func(*inventory.Service, *evidence) Check {
	return []func(*inventory.Service, *evidence) Check{
		judgeSourceIsClient,
		judgeDestinationIsVIP,
		judgeRepliesBypassDirector,
	}
}
