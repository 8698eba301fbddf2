package kernel

import (
	"testing"

	"github.com/lvsform/lvsform/kernel/kerneltest"
)

// newNamespace is the kernel of a network namespace of the test's own.
func newNamespace(t *testing.T) *Kernel {
	t.Helper()
	kerneltest.Namespace(t)
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func TestConformance(t *testing.T) {
	kerneltest.Run(t, newNamespace(t))
}
