package archive_test

import (
	"crypto/sha256"
	"runtime"
	"testing"

	"postern/internal/ledger"
	"postern/internal/ledger/archive"
)

// BenchmarkVerify reports how fast an export is verified, as a ratio to SHA-256 of the same bytes on one core.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, newTrust(b), "bench")
	for range 16 {
		w.addSized(ledger.Sent, 256, func(int) int { return 3000 })
	}
	files := w.exported(nil)
	var bytes int64
	for _, f := range files {
		bytes += int64(len(f.Data))
	}
	size, _, _ := w.Head(ledger.Sent)
	b.Run("sha256", func(b *testing.B) {
		b.SetBytes(bytes)
		for b.Loop() {
			for _, f := range files {
				_ = sha256.Sum256(f.Data)
			}
		}
		b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
	for _, cores := range []int{1, runtime.NumCPU()} {
		b.Run("verify on "+string(rune('0'+cores)), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.SetBytes(bytes)
			for b.Loop() {
				if _, err := archive.Verify(b.Context(), files, w.config()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
