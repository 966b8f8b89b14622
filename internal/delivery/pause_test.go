package delivery_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/identity"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// pause pauses or resumes, and checks what it says.
func (h *hub) pause(on bool, want time.Time) {
	h.t.Helper()
	said := value(h.SetPause(h.t.Context(), on))(h.t)
	if stored := value(h.PausedSince(h.t.Context()))(h.t); !said.Equal(want) || !stored.Equal(want) {
		h.t.Fatalf("paused since %s, stored %s, want %s", said, stored, want)
	}
}

func TestAPauseHoldsEverythingAndLosesNothing(t *testing.T) {
	h := newHub(t)
	var came []uint64
	for _, address := range []string{"bristol.test:1", "lancs.test:1"} {
		h.listen(address, h.honest(func(d *posternv1.Delivery) { came = append(came, d.GetSequence()) }))
	}
	since := h.clock().Truncate(time.Second)
	h.share(bristol)
	h.pause(true, since)
	h.pass(time.Minute)
	h.pause(true, since) // again changes nothing
	h.share(bristol)     // what is decided meanwhile is enqueued
	h.share(lancs)
	if h.step() || len(came) > 0 {
		t.Fatalf("%v came during the pause", came)
	}

	h.restart(nil)
	if h.step() || len(came) > 0 {
		t.Fatalf("%v came after a restart", came)
	}
	if status := value(h.Status(t.Context()))(t); len(status) != 2 || status[0].Waiting != 2 || status[1].Waiting != 1 {
		t.Fatalf("the outbox is %v", status)
	}
	if it, _ := h.head(bristol); it.Attempts != 0 {
		t.Errorf("a pause counted as %d attempts", it.Attempts)
	}
	if lines := h.log.String(); strings.Contains(lines, "stopped short") || strings.Contains(lines, "failed") {
		t.Errorf("a pause is logged as a failure: %s", lines)
	}

	h.pause(false, time.Time{})
	h.pause(false, time.Time{})
	for h.step() {
	}
	if len(came) != 3 {
		t.Fatalf("%v came after the pause", came)
	}
}

// The desk hears in time, so that a person telephones, whatever the operator has done.
func TestWhatRunsOutDuringAPauseIsUndelivered(t *testing.T) {
	h := newHub(t)
	h.listen("bristol.test:1", h.honest(func(*posternv1.Delivery) { t.Error("it was sent") }))
	h.share(bristol)
	h.pause(true, h.clock().Truncate(time.Second))
	h.pass(13 * time.Hour) // the authority's patience is 12
	if !h.step() {
		t.Fatal("nothing was settled")
	}
	if all := h.updates(); len(all) != 1 || all[0].GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
		t.Errorf("the desk is told %v", all)
	}
	events := h.received()
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	if leaf := value(verify.ParseLeaf(events[0].Record.Leaf))(t); leaf.Kind != logv1.Kind_KIND_UNDELIVERED {
		t.Errorf("the event is %s", leaf.Kind)
	}
}

// A send that is under way when the pause comes ends and is recorded, and its line goes no further; the line goes on by
// itself when the pause ends.
func TestAPauseWhileALineWorks(t *testing.T) {
	h := newHub(t)
	started, release, came := make(chan struct{}), make(chan struct{}), make(chan uint64, 3)
	first := sync.OnceFunc(func() { close(started); <-release })
	h.listen("bristol.test:1", func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		first()
		came <- d.GetSequence()
		return h.acknowledge(to, d), nil
	})
	for range 3 {
		h.share(bristol)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() { stop(); running.Wait() }()
	<-started
	h.pause(true, h.clock().Truncate(time.Second))
	close(release)
	if got := <-came; got != 1 {
		t.Fatalf("number %d came first", got)
	}
	// The first is settled in a transaction of its own; when the ledger has it, the line has looked at the next or will.
	for len(h.received()) == 0 {
		_ = value(h.PausedSince(t.Context()))(t)
	}
	if n := len(came); n > 0 {
		t.Fatalf("%d more came during the pause", n)
	}
	h.pause(false, time.Time{})
	for want := uint64(2); want <= 3; want++ {
		if got := <-came; got != want {
			t.Fatalf("number %d came, want %d", got, want)
		}
	}
}
