package fake

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvsform/lvsform/state"
	"github.com/lvsform/lvsform/state/statetest"
)

// The fake knows every kind: it may miss what an item needs, but it does not
// refuse the kind.
func TestFakeKnowsKinds(t *testing.T) {
	for _, i := range statetest.Items() {
		err := Booted().refuse(state.Change{After: i})
		if refused := errors.Is(err, unix.EOPNOTSUPP); refused != i.Kind().Traits().Observed {
			t.Errorf("%s: refused: %v", state.Text(i), err)
		}
	}
}
