package hub_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/hub"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// exporting is a hub with a ledger of its own, as an auditor's client sees it.
type exporting struct {
	*ledger.Ledger
	posternv1.AuditServiceClient
	keys verify.Keys
}

func newExporting(t *testing.T) *exporting {
	t.Helper()
	dir, x := t.TempDir(), &exporting{}
	v, err := vault.Open(vault.Config{Dir: filepath.Join(dir, "keys")})
	noError(t, err)
	s, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(dir, "hub.db"), Schema: schema.Hub})
	noError(t, err)
	t.Cleanup(func() { noError(t, s.Close()) })
	sent, sentKey, err := ledger.GenerateKey(nil, "hub.example/sent")
	noError(t, err)
	received, receivedKey, err := ledger.GenerateKey(nil, "hub.example/received")
	noError(t, err)
	log := slog.New(slog.DiscardHandler)
	x.Ledger, err = ledger.Open(t.Context(), ledger.Config{Store: s, Vault: v, Keys: ledger.Keys{Sent: sent, Received: received}, Log: log})
	noError(t, err)
	x.keys, err = verify.NewKeys(sentKey, receivedKey)
	noError(t, err)
	rules, err := engine.New(t.Context(), engine.Config{Timeout: time.Minute})
	noError(t, err)
	h, err := hub.Open(t.Context(), hub.Config{Store: s, Vault: v, Ledger: x.Ledger, Engine: rules, Clock: time.Now, Rand: rand.Reader, Log: log,
		Auditors: map[string]hub.Scope{"": {All: true}}})
	noError(t, err)
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{}, func(r grpc.ServiceRegistrar) { posternv1.RegisterAuditServiceServer(r, h) })
	noError(t, err)
	t.Cleanup(stop)
	x.AuditServiceClient = posternv1.NewAuditServiceClient(conn)
	return x
}

// add appends n events with an Input of a size.
func (x *exporting) add(t *testing.T, n, size int) {
	t.Helper()
	noError(t, x.append(t.Context(), n, size))
}

func (x *exporting) append(ctx context.Context, n, size int) error {
	return x.Append(ctx, func(tx *ledger.Tx) error {
		for range n {
			_, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Core: &logv1.Core{}, Details: &logv1.Details{Input: make([]byte, size)}})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// call makes one call and returns its first message, all entries and the size of the largest message.
func (x *exporting) call(t *testing.T, req *posternv1.ExportLogRequest) (first *posternv1.ExportLogResponse, all []*posternv1.ExportedEntry, largest int, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := x.ExportLog(ctx, req)
	noError(t, err)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return first, all, largest, nil
		}
		if err != nil {
			return first, all, largest, err
		}
		if first == nil {
			first = m
		} else if m.Checkpoint != "" || m.Consistency != nil {
			t.Error("a second checkpoint in one call")
		}
		all, largest = append(all, m.Entries...), max(largest, proto.Size(m))
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantReason(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Kind != kind || f.Reason != reason {
		t.Fatalf("want %v %s, got %v", kind, reason, err)
	}
}

// TestALongLogTakesSeveralCalls exports more entries than one call gives; together they are the log, and open it.
func TestALongLogTakesSeveralCalls(t *testing.T) {
	x := newExporting(t)
	const size = 4096 + 300
	for range 4 {
		x.add(t, size/4, 10)
	}
	var all []*posternv1.ExportedEntry
	for calls := 0; len(all) < size; calls++ {
		if calls == 2 {
			t.Fatal("more calls than it should take")
		}
		first, part, _, err := x.call(t, &posternv1.ExportLogRequest{Origin: "hub.example/sent", StartIndex: uint64(len(all))})
		noError(t, err)
		if _, _, checkpoint := x.Head(ledger.Sent); first.GetCheckpoint() != checkpoint {
			t.Fatal("not the newest checkpoint")
		}
		all = append(all, part...)
	}
	for i, e := range all {
		leaf, err := verify.ParseLeaf(e.GetLeaf())
		noError(t, err)
		noError(t, verify.Body(leaf, e.GetBody().GetOpening(), e.GetBody().GetCore(), e.GetBody().GetDetails()))
		held, err := x.Event(t.Context(), leaf.EventID)
		noError(t, err)
		if e.GetIndex() != uint64(i) || held.Index != uint64(i) || sha256.Sum256(held.Record.GetDetails()) != sha256.Sum256(e.GetBody().GetDetails()) {
			t.Fatalf("entry %d is %d", i, e.GetIndex())
		}
	}
	_, part, _, err := x.call(t, &posternv1.ExportLogRequest{Origin: "hub.example/sent", StartIndex: 7, EndIndex: 9})
	noError(t, err)
	if len(part) != 2 || part[0].GetIndex() != 7 {
		t.Fatalf("%d entries from %d", len(part), part[0].GetIndex())
	}
}

func TestLargeBodiesComeInSmallMessages(t *testing.T) {
	x := newExporting(t)
	for range 6 {
		x.add(t, 4, 200<<10)
	}
	_, all, largest, err := x.call(t, &posternv1.ExportLogRequest{Origin: "hub.example/sent"})
	noError(t, err)
	if len(all) != 24 || largest > 1<<20 {
		t.Fatalf("%d entries in messages of up to %d bytes", len(all), largest)
	}
}

func TestExportContinuesWhatTheCallerKnows(t *testing.T) {
	x := newExporting(t)
	x.add(t, 5, 1)
	size, root, _ := x.Head(ledger.Sent)
	older := verify.Head{Origin: "hub.example/sent", Size: size, Root: root}
	x.add(t, 8, 1)
	first, all, _, err := x.call(t, &posternv1.ExportLogRequest{Origin: "hub.example/sent", StartIndex: 13, KnownSize: 5})
	noError(t, err)
	newer, err := verify.Checkpoint(first.GetCheckpoint(), x.keys)
	noError(t, err)
	noError(t, verify.Continues(older, newer, first.GetConsistency()))
	if len(all) != 0 {
		t.Fatalf("%d entries after the last", len(all))
	}
	for _, c := range []struct {
		req    *posternv1.ExportLogRequest
		kind   fault.Kind
		reason string
	}{
		{&posternv1.ExportLogRequest{Origin: "elsewhere"}, fault.NotFound, "NOT_FOUND"},
		{&posternv1.ExportLogRequest{Origin: "hub.example/sent", KnownSize: 14}, fault.Precondition, "LOG_AHEAD"},
		{&posternv1.ExportLogRequest{Origin: "hub.example/sent", StartIndex: 14}, fault.Invalid, "BAD_RANGE"},
		{&posternv1.ExportLogRequest{Origin: "hub.example/sent", EndIndex: 14}, fault.Precondition, "LOG_AHEAD"},
		{&posternv1.ExportLogRequest{Origin: "hub.example/sent", StartIndex: 3, EndIndex: 2}, fault.Invalid, "BAD_RANGE"},
	} {
		_, _, _, err := x.call(t, c.req)
		wantReason(t, err, c.kind, c.reason)
	}
}

// TestCheckpointAndProofAreOfOneMoment asks while the log grows: the proof must always lead to the checkpoint beside it.
func TestCheckpointAndProofAreOfOneMoment(t *testing.T) {
	x := newExporting(t)
	x.add(t, 1, 1)
	size, root, _ := x.Head(ledger.Sent)
	known := verify.Head{Origin: "hub.example/sent", Size: size, Root: root}
	done, ctx := make(chan error), t.Context()
	go func() {
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			err = x.append(ctx, 1, 1)
		}
		done <- err
	}()
	for growing := true; growing; {
		select {
		case err := <-done:
			noError(t, err)
			growing = false
		default:
		}
		out, err := x.GetCheckpoint(t.Context(), &posternv1.GetCheckpointRequest{Origin: known.Origin, KnownSize: known.Size})
		noError(t, err)
		head, err := verify.Checkpoint(out.GetCheckpoint(), x.keys)
		noError(t, err)
		if err := verify.Continues(known, head, out.GetConsistency()); err != nil {
			t.Error(err)
		}
	}
}

// TestWhatIsExportedIsAnEvent: bodies go out only after an event says so, and the events of an auditor's own exports
// make no more of them.
func TestWhatIsExportedIsAnEvent(t *testing.T) {
	x := newExporting(t)
	size := func() uint64 { n, _, _ := x.Head(ledger.Received); return n }
	exported := func(origin string, from uint64, entries int) {
		t.Helper()
		_, all, _, err := x.call(t, &posternv1.ExportLogRequest{Origin: origin, StartIndex: from})
		noError(t, err)
		if len(all) != entries {
			t.Fatalf("%d entries, want %d", len(all), entries)
		}
	}
	x.add(t, 3, 1)
	exported("hub.example/sent", 3, 0)
	if size() != 0 {
		t.Fatal("an event, though nothing was opened")
	}
	exported("hub.example/sent", 0, 3)
	if size() != 1 {
		t.Fatalf("%d events", size())
	}
	for range 2 {
		exported("hub.example/received", 0, 1)
	}
	if size() != 1 {
		t.Fatalf("%d events", size())
	}
	var what logv1.Kind
	noError(t, x.Range(t.Context(), x.Origin(ledger.Received), 0, 1, func(e ledger.Logged) (bool, error) {
		what = e.Leaf.Kind
		return true, nil
	}))
	if what != logv1.Kind_KIND_DISCLOSED_TO_AUDITOR {
		t.Fatal(what)
	}
}
