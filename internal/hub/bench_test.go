package hub_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/hub"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// BenchmarkSubmit is 64 desks' connections that submit at once to a hub on bolt, without the transport: what of a
// submission is the hub's own work. The processor's time is that of all of the process.
func BenchmarkSubmit(b *testing.B) {
	remembering, err := engine.New(b.Context(), engine.Config{Remember: true})
	if err != nil {
		b.Fatal(err)
	}
	var batches atomic.Int64
	w := testkit.NewExchange(b, func(c *testkit.Config) {
		c.Hub = func(h *hub.Config) { h.Engine = remembering }
		c.Ledger = func(l *ledger.Config) { l.Rehearse, l.Observe = false, func(ledger.Commit) { batches.Add(1) } }
	})
	all := make([]*posternv1.SealedNotification, b.N)
	for i := range all {
		f := w.Example("shared_in_full")
		f.FormId, f.PrisonNumber = "", fmt.Sprintf("%c%04d%cZ", 'A'+i%26, i/676%10000, 'A'+i/26%26)
		f.Children = f.Children[:1]
		f.Consent.Children = []uint32{1}
		all[i] = w.Seal(testkit.HMPBristol, f)[0]
	}
	desk := w.Identity("/prison/" + testkit.HMPBristol + "/desk").Party()
	ctx, cancel := context.WithCancel(rpc.WithParty(b.Context(), desk))
	var loops sync.WaitGroup
	loops.Go(func() { _ = w.Ledger.Run(ctx) })
	var next atomic.Int64
	var submitters sync.WaitGroup
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	batches.Store(0)
	start, used := time.Now(), processor(b)
	b.ResetTimer()
	for range 64 {
		submitters.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				answer, err := w.Hub.Submit(ctx, &posternv1.SubmitRequest{Notification: all[i]})
				if err != nil || answer.GetDecision().GetOutcome() != share {
					b.Errorf("%v: %v", answer.GetDecision().GetOutcome(), err)
					return
				}
			}
		})
	}
	submitters.Wait()
	b.StopTimer()
	used = processor(b) - used
	runtime.ReadMemStats(&after)
	n := float64(b.N)
	b.ReportMetric(float64(used.Microseconds())/n, "cpu-µs/submit")
	b.ReportMetric(n/time.Since(start).Seconds(), "submits/s")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "bytes/submit")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/submit")
	b.ReportMetric(n/float64(batches.Load()), "submits/batch")
	b.ReportMetric(float64(proto.Size(all[0])), "size")
	cancel()
	loops.Wait()
}

// processor is the processor time of this process so far.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
