package ledger

import (
	"errors"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
)

func TestObserveSeesDurableBatchesOnly(t *testing.T) {
	h := newHub(t)
	var seen []Commit
	h.observe = func(c Commit) { seen = append(seen, c) }
	for _, err := range h.batch(record(Sent, 1), record(Received, 2), func(*Tx) error { return errOp }, record(Sent, 3)) {
		if err != nil && err != errOp {
			t.Fatal(err)
		}
	}
	if len(seen) != 1 || seen[0].Ops != 4 || len(seen[0].Events) != 3 || seen[0].Took < 0 || seen[0].Time.IsZero() {
		t.Fatalf("seen: %+v", seen)
	}
	for i, want := range []Log{Sent, Received, Sent} {
		if got := seen[0].Events[i]; got.Log != want || got.Kind == logv1.Kind_KIND_UNSPECIFIED {
			t.Errorf("event %d is %+v", i, got)
		}
	}

	// An op without a leaf is a commit all the same; one that writes nothing is none, nor is one that failed.
	check(t, h.Append(t.Context(), func(tx *Tx) error { return tx.Put(schema.HubMeta, []byte("k"), []byte("v")) }))
	if len(seen) != 2 || len(seen[1].Events) != 0 {
		t.Fatalf("seen: %+v", seen[1:])
	}
	check(t, h.Append(t.Context(), func(*Tx) error { return nil }))
	if err := h.Append(t.Context(), func(tx *Tx) error { return errors.Join(record(Sent, 4)(tx), errOp) }); err == nil {
		t.Fatal("the op's error is lost")
	}
	if len(seen) != 2 {
		t.Fatalf("seen: %+v", seen[2:])
	}
	if err := h.Stopped(); err != nil {
		t.Fatalf("it works and says %v", err)
	}
}

func TestStoppedSaysWhy(t *testing.T) {
	h := newHub(t)
	h.stop(fault.New(fault.Unavailable, "LEDGER_STOPPED", "It stopped.").Because(store.ErrOutcomeUnknown))
	if err := h.Stopped(); fault.From(err).Reason != "LEDGER_STOPPED" || !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Fatalf("Stopped: %v", err)
	}
}

func TestNewest(t *testing.T) {
	h := newHub(t)
	if at, err := h.Newest(t.Context(), Sent); err != nil || !at.IsZero() {
		t.Fatalf("of an empty log: %s, %v", at, err)
	}
	h.add(Sent, 3)
	at, err := h.Newest(t.Context(), Sent)
	check(t, err)
	if now := h.clock(); at.After(now) || now.Sub(at) > 24*365*time.Hour || !at.Equal(at.Truncate(time.Hour)) {
		t.Errorf("the newest event is of %s, now is %s", at, now)
	}
	if at, err := h.Newest(t.Context(), Received); err != nil || !at.IsZero() {
		t.Errorf("of the other log: %s, %v", at, err)
	}
	if _, err := h.Newest(t.Context(), 7); fault.KindOf(err) != fault.NotFound {
		t.Errorf("of no log: %v", err)
	}
}
