package ledger

import (
	"context"
	"testing"

	"postern/internal/schema"
)

// BenchmarkAppend is 64 appenders at once on bolt, each waiting until its event is durable; with a receipt, it also
// waits for that to be cut and verified.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name    string
		receipt bool
		file    bool
	}{{"durable", false, false}, {"receipt", true, false}, {"receipt and checkpoint file", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHub(b, func(config *Config) {
				if c.file {
					config.CheckpointFile = b.TempDir() + "/checkpoints"
				}
			})
			ctx, cancel := context.WithCancel(b.Context())
			ran := make(chan error, 1)
			go func() { ran <- h.Run(ctx) }()
			b.SetParallelism(32) // times GOMAXPROCS
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					var id [16]byte
					err := h.Append(ctx, func(tx *Tx) error {
						e, err := tx.Record(Sent, event(i))
						if err != nil {
							return err
						}
						id = e.EventID()
						return tx.Put(schema.HubIdempotency, id[:], id[:])
					})
					if err == nil && c.receipt {
						_, err = h.Receipt(ctx, id)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
			cancel()
			check(b, <-ran)
		})
	}
}
