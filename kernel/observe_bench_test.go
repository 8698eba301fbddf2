package kernel

import (
	"context"
	"testing"
)

// BenchmarkObserve is the cost of reading a host as it is. It reads only, but
// wants root: run it in the lab for a host with ip_vs.
func BenchmarkObserve(b *testing.B) {
	k, err := Open()
	if err != nil {
		b.Fatal(err)
	}
	defer k.Close()
	for b.Loop() {
		if _, _, err := k.Observe(context.Background(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
