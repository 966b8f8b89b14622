package verify_test

import (
	"testing"

	"postern/internal/ledger/verify"
)

// BenchmarkReceiptAt is the check of a receipt of a long log before it leaves, its signature left out.
func BenchmarkReceiptAt(b *testing.B) {
	l := newLog(b, origin, 5000)
	r := l.receipt(b, 4990, 5000)
	p, err := verify.ParseProof(r.GetTlogProof())
	check(b, err)
	head := l.head(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verify.ReceiptAt(r, p.Checkpoint, head); err != nil {
			b.Fatal(err)
		}
	}
}
