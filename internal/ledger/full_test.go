package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"

	"postern/internal/store"
)

// full is a store of which only the space kept back is left.
type full struct {
	store.Store
	updates int // with the right to it
}

func (f *full) Update(context.Context, func(store.Tx) error) error { return store.Full(nil) }

func (f *full) Reserved() store.Store { return taking{f} }

// taking is a full store for who may take what is kept back.
type taking struct{ *full }

func (t taking) Update(ctx context.Context, fn func(store.Tx) error) error {
	t.updates++
	return t.Store.Update(ctx, fn)
}

func TestAFullDiskTakesWhatMustNotFailAndRefusesTheRestOfItsBatch(t *testing.T) {
	h := newHub(t)
	disk := &full{Store: h.store}
	h.Ledger.store = disk
	var waiting []*pending
	for i, may := range []bool{false, true, false, true} {
		p, err := h.enqueue(record(Sent, i), may)
		check(t, err)
		waiting = append(waiting, p)
	}
	_, err := h.Step(t.Context())
	check(t, err)
	for i, p := range waiting {
		if !p.finished() || (p.err == nil) != p.full || p.err != nil && !errors.Is(p.err, store.ErrFull) {
			t.Errorf("op %d, which may use what is kept back: %v, got %v", i, p.full, p.err)
		}
	}
	if size, _, _ := h.Head(Sent); size != 2 || disk.updates != 1 {
		t.Errorf("%d leaves in %d transactions, want 2 in 1", size, disk.updates)
	}
	if err := h.Append(t.Context(), record(Sent, 9)); !errors.Is(err, store.ErrFull) {
		t.Errorf("ordinary work on a full disk: %v", err)
	}
	check(t, h.AppendReserved(t.Context(), record(Sent, 10)))
}

func TestALedgerOpensOnAFullDisk(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 3)
	c := h.Config
	c.Store = &full{Store: h.store}
	var err error
	c.Keys.NextSent, _, err = GenerateKey(chacha("next"), "hub.example/sent")
	check(t, err)
	l, err := Open(t.Context(), c) // signs the newest checkpoint with the next key too
	check(t, err)
	if _, _, checkpoint := l.Head(Sent); strings.Count(checkpoint, "\u2014 ") != 2 {
		t.Errorf("signed as\n%s", checkpoint)
	}
}

// A new generation is opened when events or a key are lost: that the disk is full too must not keep a hub from signing.
func TestAGenerationOpensOnAFullDisk(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 3)
	c := h.Config
	c.Store, c.Keys = &full{Store: h.store}, nextGeneration(t, 2)
	l, err := OpenGeneration(t.Context(), Generation{Config: c, Before: h.verifierKeys()})
	check(t, err)
	if size, _, _ := l.Head(Sent); size != 1 {
		t.Errorf("it has %d leaves", size)
	}
	h.Ledger = l
}
