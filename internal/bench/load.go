package main

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// clients is how many clients there are at once, each with a connection of its own.
const clients = 64

// load is what came of a number of calls.
type load struct {
	rate    float64 // calls a second
	latency []time.Duration
}

// drive makes n calls from all clients, each as soon as the one before is answered.
func drive(ctx context.Context, n int, call func(ctx context.Context, client, i int) error) (load, error) {
	return paced(ctx, n, 0, call)
}

// paced makes n calls at a rate, one after the other however long they take, and counts a call's latency from the
// moment when it was due: a server that stalls does not make its clients ask less. With rate 0 it is drive.
func paced(ctx context.Context, n int, rate float64, call func(ctx context.Context, client, i int) error) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	latency := make([]time.Duration, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	start := time.Now()
	for client := range clients {
		all.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				due := time.Now()
				if rate > 0 {
					due = start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				}
				if err := call(ctx, client, i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				latency[i] = time.Since(due)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return load{}, *err
	}
	return load{float64(n) / time.Since(start).Seconds(), latency}, nil
}

// quantile is the q-quantile, such as 0.99.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// median is the middle of the values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
