package envelope_test

import (
	"testing"

	"postern/internal/envelope"
)

// BenchmarkVerify is what a hub does with what comes, a third of it or more the one Ed25519 signature.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	n := w.seal(b, family(b))
	c := w.whole()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.Verify(n, c); err != nil {
			b.Fatal(err)
		}
	}
}
