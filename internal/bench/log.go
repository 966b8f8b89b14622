package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/engine"
	"postern/internal/envelope"
	actor "postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// openLedger opens the log of a hub that does not run, with its sequencer. It indexes nothing by itself.
func openLedger(ctx context.Context, folder string) (_ *ledger.Ledger, end func() error, err error) {
	var keys ledger.Keys
	for name, key := range map[string]*string{"sent": &keys.Sent, "received": &keys.Received} {
		text, err := os.ReadFile(filepath.Join(folder, "hub", name+".key"))
		if err != nil {
			return nil, nil, err
		}
		*key = strings.TrimSpace(string(text))
	}
	v, err := vault.Open(vault.Config{Dir: filepath.Join(folder, "hub", "vault")})
	if err != nil {
		return nil, nil, err
	}
	s, err := bolt.Open(ctx, bolt.Config{Path: filepath.Join(folder, "hub", schema.Hub.Name+".db"), Schema: schema.Hub})
	if err != nil {
		return nil, nil, err
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: s, Vault: v, Keys: keys, Terms: actor.Terms, Log: slog.New(slog.DiscardHandler),
		CheckpointFile: filepath.Join(folder, "hub-checkpoints", "newest")})
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	return l, func() error { cancel(); return errors.Join(<-ran, s.Close()) }, nil
}

const (
	batch     = 256 // ops of one transaction
	entrySize = 400 // bytes of one record
)

// appends measures row 4: records through the ledger beside the same bytes put into bbolt, a batch a transaction.
func (b *bench) appends() (err error) {
	folder, err := b.makeFolder("appends")
	if err != nil {
		return err
	}
	l, end, err := openLedger(b.ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	bare, err := bbolt.Open(filepath.Join(b.dir, "bare.db"), 0o600, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	body := make([]byte, entrySize)
	rand.Read(body)
	const n = 32 * batch
	var ours, theirs, ratio []float64
	for round := range b.opts.rounds + 1 {
		start := time.Now()
		if err := concurrently(2*batch, n, func() error { return appendOne(b.ctx, l, body) }); err != nil {
			return err
		}
		own := n / time.Since(start).Seconds()
		start = time.Now()
		for at := 0; at < n; at += batch {
			if err := bare.Update(func(tx *bbolt.Tx) error { return putBatch(tx, uint64(round*n+at), body) }); err != nil {
				return err
			}
		}
		other := n / time.Since(start).Seconds()
		b.say("appends: %.0f/s; bbolt %.0f/s", own, other)
		if round > 0 {
			ours, theirs, ratio = append(ours, own), append(theirs, other), append(ratio, own/other)
		}
	}
	b.table.add(4, fmt.Sprintf("log appends/s, batch %d, %d B", batch, entrySize), fmt.Sprintf("%.0f/s", median(ours)),
		fmt.Sprintf("the same bytes put into bare bbolt, in order: %.0f/s", median(theirs)), median(ratio), "≥ 0.75",
		"Ours are sealed, committed to, filed in two keyspaces with checksums, hashed into the tree, read back, signed, and the checkpoint is on the disk outside the database too (one more sync a batch)")
	return nil
}

func appendOne(ctx context.Context, l *ledger.Ledger, body []byte) error {
	return l.Append(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Core: &logv1.Core{}, Details: &logv1.Details{Input: body}})
		return err
	})
}

func putBatch(tx *bbolt.Tx, from uint64, body []byte) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
	for i := uint64(0); i < batch && err == nil; i++ {
		err = bucket.Put(binary.BigEndian.AppendUint64(nil, from+i), body)
	}
	return err
}

// concurrently calls fn n times from many goroutines.
func concurrently(goroutines, n int, fn func() error) error {
	var all sync.WaitGroup
	errs := make([]error, goroutines)
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < n && errs[g] == nil; i += goroutines {
				errs[g] = fn()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// fill writes n decisions into the log of a hub that does not run, by the code that writes them when it does: record,
// leaf, tree, the rows by which a decision is found again, and the index of events. What they say is invented, and the same
// for all.
func (b *bench) fill(folder string, n int) (err error) {
	d, err := openDesk(folder)
	if err != nil {
		return err
	}
	one, err := d.sealAll(b.ctx, 1, 1)
	if err != nil {
		return err
	}
	e, err := engine.New(b.ctx, engine.Config{})
	if err != nil {
		return err
	}
	decision, input := e.Decide(b.ctx, one[0].input(time.Now()))
	if b.opts.input > 0 {
		input = input[:min(b.opts.input, len(input))]
	}
	l, end, err := openLedger(b.ctx, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	const each = 50 // events an op; several ops make a batch
	start := time.Now()
	var done sync.Mutex
	count := 0
	err = concurrently(16, (n+each-1)/each, func() error {
		ids := make([][2]string, min(each, n)) // drawn before the transaction, which may run again
		for i := range ids {
			id, err := envelope.NewID(rand.Reader)
			if err != nil {
				return err
			}
			ids[i] = [2]string{id, rand.Text() + rand.Text()}
		}
		err := l.Append(b.ctx, func(tx *ledger.Tx) error {
			for _, id := range ids {
				if err := writeDecision(tx, d.identity.Party(), id[0], []byte(id[1])[:32], decision, input); err != nil {
					return err
				}
			}
			return nil
		})
		done.Lock()
		defer done.Unlock()
		if count += len(ids); count%100_000 < len(ids) {
			b.say("%d entries, %.0f/s", count, float64(count)/time.Since(start).Seconds())
		}
		return err
	})
	for worked := true; worked && err == nil; {
		worked, err = l.StepIndex(b.ctx)
	}
	return err
}

func writeDecision(tx *ledger.Tx, desk identity.Party, id string, manifest []byte, d *posternv1.Decision, input []byte) error {
	entry, err := tx.Record(ledger.Sent, ledger.Event{
		Kind: logv1.Kind_KIND_DECIDED,
		Core: &logv1.Core{ManifestSha256: manifest, Outcome: d.GetOutcome(), PolicyRevision: d.GetPolicyRevision(), EventTime: timestamppb.New(d.GetDecideTime().AsTime())},
		Details: &logv1.Details{Caller: desk.URI(), NotificationId: id, Authority: authority, Input: input, Decision: d,
			Sender: &posternv1.Sender{PrisonId: prison, StaffId: "DEMO01"}},
	})
	if err != nil {
		return err
	}
	event := entry.EventID()
	for _, row := range []struct {
		ks         store.Keyspace
		key, value string
	}{
		{schema.HubNotification, id + "\x01" + string(manifest), string(event[:]) + string(event[:])},
		{schema.HubNotification, id, string(event[:]) + string([]byte{byte(d.GetOutcome()), byte(posternv1.Route_ROUTE_STANDARD), 0}) + desk.URI()},
	} {
		if err := tx.Put(row.ks, []byte(row.key), []byte(row.value)); err != nil {
			return err
		}
	}
	return nil
}
