package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The parts are what a hub is made of and nothing that it does: the transport of the echo, one Ed25519 signature that is
// verified for each message, the rows that a submission leaves with as many random bytes in them, one bbolt transaction and
// one signature a batch, a few hundred bytes on the disk beside the database, and an answer as long as a receipt. No policy,
// no encryption, no checksum, no tree, no index, no limit. What a hub reaches of it is what its own work leaves.
type parts struct {
	db     *bbolt.DB
	beside *os.File
	keys   ed25519.PrivateKey
	said   []byte // as long as a manifest
	proof  []byte // its signature
	queue  chan partsOp
}

// partsOp is a message that waits for its batch.
type partsOp struct {
	message []byte
	done    chan<- error
}

// partsRows are the rows of one submission as the hub of the benchmark writes them, but for its content: bytes of the key,
// bytes of the value, and whether keys follow one another.
var partsRows = []struct {
	bucket     string
	key, value int
	ordered    bool
}{
	{"event", 9, 3400, true}, {"leaf", 9, 62, true}, {"outbox", 18, 712, true}, {"asking", 24, 25, true},
	{"content", 78, 52, false}, {"standing", 36, 123, false}, {"manifest", 69, 123, false}, {"delivery", 37, 123, false},
}

const (
	partsManifest   = 1500
	partsReceipt    = 2500
	partsCheckpoint = 400
)

func partsServer(ctx context.Context, args []string) (err error) {
	if len(args) != 2 {
		return errors.New("usage: bench parts CONFIG ADDRESS")
	}
	dir := filepath.Dir(args[0])
	p := parts{said: random(partsManifest), queue: make(chan partsOp, clients)}
	_, p.keys, err = ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	p.proof = ed25519.Sign(p.keys, p.said)
	if p.db, err = bbolt.Open(filepath.Join(dir, "parts.db"), 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: 16 << 30}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.db.Close()) }()
	p.db.AllocSize = 8 << 20
	if p.beside, err = os.Create(filepath.Join(dir, "parts.checkpoint")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.beside.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { p.run(ctx) })
	defer func() { cancel(); run.Wait() }()
	return serveUnary(ctx, args, p.handle)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (p *parts) handle(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m := &wrapperspb.BytesValue{}
	if err := decode(m); err != nil {
		return nil, err
	}
	if !ed25519.Verify(p.keys.Public().(ed25519.PublicKey), p.said, p.proof) {
		return nil, errors.New("the signature does not hold")
	}
	done := make(chan error, 1)
	select {
	case p.queue <- partsOp{m.GetValue(), done}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := <-done; err != nil {
		return nil, err
	}
	return wrapperspb.Bytes(make([]byte, partsReceipt)), nil
}

// run writes what waits, a batch a transaction.
func (p *parts) run(ctx context.Context) {
	var n uint64
	for {
		var ops []partsOp
		select {
		case op := <-p.queue:
			ops = append(ops, op)
		case <-ctx.Done():
			return
		}
		for len(p.queue) > 0 {
			ops = append(ops, <-p.queue)
		}
		err := p.db.Update(func(tx *bbolt.Tx) error {
			for _, op := range ops {
				n++
				if err := p.put(tx, n, op.message); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			_, err = p.beside.WriteAt(append(ed25519.Sign(p.keys, p.said), make([]byte, partsCheckpoint)...), 0)
		}
		if err == nil {
			err = p.beside.Sync()
		}
		for _, op := range ops {
			op.done <- err
		}
	}
}

func (p *parts) put(tx *bbolt.Tx, n uint64, message []byte) error {
	for _, row := range partsRows {
		b, err := tx.CreateBucketIfNotExists([]byte(row.bucket))
		if err != nil {
			return err
		}
		key := random(row.key)
		if row.ordered {
			binary.BigEndian.PutUint64(key, n)
		}
		if err := b.Put(key, random(row.value)); err != nil {
			return err
		}
	}
	b, err := tx.CreateBucketIfNotExists([]byte("message"))
	if err != nil {
		return fmt.Errorf("a bucket for messages: %w", err)
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), message)
}
