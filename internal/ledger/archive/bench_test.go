package archive_test

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"postern/internal/ledger"
	"postern/internal/ledger/archive"
)

// BenchmarkVerify verifies an export of 4,096 entries with Inputs of 3,000 bytes, beside SHA-256 of the same bytes. The
// processor time tells more than the clock on a machine that others use too.
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
	run := func(name string, cores int, fn func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.SetBytes(bytes)
			before := processor()
			for b.Loop() {
				fn(b)
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64((processor()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
	run("sha256", 1, func(*testing.B) {
		for _, f := range files {
			_ = sha256.Sum256(f.Data)
		}
	})
	for _, cores := range []int{1, runtime.NumCPU()} {
		run(fmt.Sprintf("verify on %d", cores), cores, func(b *testing.B) {
			if _, err := archive.Verify(b.Context(), files, w.config()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// processor is the processor time that this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
