package bolt

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"postern/internal/store"
)

// submitted is the part of a hub's database that a submission is written to.
var submitted = store.Schema{Name: "hub", Version: 1,
	Keyspaces: []store.Keyspace{"record", "leaf", "content", "body", "standing", "outbox", "asked", "sequence", "tile", "log"},
	Appended:  []store.Keyspace{"record", "leaf", "body", "outbox", "asked"}}

// BenchmarkSubmissions is the rows that a hub writes for a batch of submissions, in a database that has many: most of them
// in the order of their keys, some at a random key each. It counts the processor's time, and what
// the disk is asked for; with TMPDIR=/dev/shm there is none.
func BenchmarkSubmissions(b *testing.B) {
	const batch, before = 24, 300
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hub.db"), Schema: submitted})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	random := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 16<<20) // the values of a batch, which the store has no use for once it is written
	_, _ = random.Read(block)
	var used int
	bytes := func(n int) []byte {
		used += n + checksumSize
		return block[used-n-checksumSize : used-checksumSize : used]
	}
	id := func() []byte { return []byte(fmt.Sprintf("%016x-%016x", random.Uint64(), random.Uint64())) }
	var n uint64
	at := func(prefix string, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefix), n) }
	write := func() {
		type row struct {
			ks         store.Keyspace
			key, value []byte
		}
		var rows []row
		used = 0
		for range batch {
			n++
			id, content, manifest := id(), id(), id()
			rows = append(rows,
				row{"record", at("r", n), bytes(3415)},
				row{"leaf", at("r", n), bytes(54)},
				row{"content", append([]byte("urn:postern:prison:desk-of-a-prison:MDI\x00"), content...), bytes(44)},
				row{"body", at("E06000023\x00", n), bytes(11929)},
				row{"standing", append(id, 0), bytes(230)},
				row{"outbox", at("E06000023\x00", n), bytes(704)},
				row{"asked", at(fmt.Sprintf("MD%d\x002026-11-30\x00", n%4), n), bytes(17)},
				row{"standing", id, bytes(80)},
				row{"standing", append(append(id[:len(id):len(id)], 1), manifest...), bytes(32)})
		}
		rows = append(rows, row{"sequence", []byte("E06000023"), bytes(8)}, row{"tile", at("r\x00", n/256), bytes(32 * int(n%256+1))},
			row{"log", []byte("r"), bytes(200)})
		if err := s.Update(b.Context(), func(tx store.Tx) error {
			for _, r := range rows {
				if err := tx.PutOwn(r.ks, r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	for range before {
		write()
	}
	old := stats(s)
	start := processorTime()
	b.ReportAllocs()
	for b.Loop() {
		write()
	}
	taken := processorTime() - start
	now := stats(s)
	b.ReportMetric(float64(taken)/float64(b.N)/batch, "cpu-µs/submission")
	b.ReportMetric(float64(now.GetWrite()-old.GetWrite())/float64(b.N), "writes/op")
	b.ReportMetric(float64(now.GetPageCount()-old.GetPageCount())/float64(b.N), "pages/op")
}

// processorTime is that of this process so far, in microseconds.
func processorTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}

func stats(s store.Store) *bbolt.TxStats {
	all := s.(*database).db.Stats()
	return &all.TxStats
}
