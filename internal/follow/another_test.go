package follow_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// dishonest is a hub that answers every question for a checkpoint with the same.
type dishonest struct {
	posternv1.AuditServiceClient
	answer *posternv1.GetCheckpointResponse
}

func (d dishonest) GetCheckpoint(context.Context, *posternv1.GetCheckpointRequest, ...grpc.CallOption) (*posternv1.GetCheckpointResponse, error) {
	return d.answer, nil
}

// TestAnAnswerAboutAnotherLog: asked whether a new sent log has begun, the hub shows a new received log, whose first event names
// the end of the sent one. What the party knows of the received log is not over by that.
func TestAnAnswerAboutAnotherLog(t *testing.T) {
	x := testkit.NewExchange(t)
	shared(x)
	_, _, sent := x.Ledger.Head(ledger.Sent)
	_, _, received := x.Ledger.Head(ledger.Received)
	shared(x)
	_, _, shown := x.Ledger.Head(ledger.Sent)

	vkeys := []string{x.Ledger.VerifierKey(ledger.Sent), x.Ledger.VerifierKey(ledger.Received)}
	signers := map[ledger.Log]note.Signer{}
	for _, g := range []ledger.Log{ledger.Sent, ledger.Received} {
		skey, vkey, err := ledger.GenerateKey(rand.Reader, x.Ledger.Origin(g)+"/2")
		check(t, err)
		signers[g], err = note.NewSigner(skey)
		check(t, err)
		vkeys = append(vkeys, vkey)
	}
	s, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Schema: schema.Hub})
	check(t, err)
	defer s.Close()
	v, err := vault.Open(vault.Config{Dir: filepath.Join(t.TempDir(), "vault")})
	check(t, err)
	var elsewhere ledger.Keys // a ledger that makes the event, and not the log
	elsewhere.Sent, _, err = ledger.GenerateKey(rand.Reader, "elsewhere/sent")
	check(t, err)
	elsewhere.Received, _, err = ledger.GenerateKey(rand.Reader, "elsewhere/received")
	check(t, err)
	l, err := ledger.Open(t.Context(), ledger.Config{Store: s, Vault: v, Keys: elsewhere})
	check(t, err)
	var entry ledger.Entry
	check(t, l.Append(t.Context(), func(tx *ledger.Tx) (err error) {
		entry, err = tx.Record(ledger.Received, ledger.Event{Kind: logv1.Kind_KIND_GENERATION_OPENED, Core: &logv1.Core{FollowsCheckpoints: []string{sent}}, Details: &logv1.Details{}})
		return err
	}))
	opening, err := l.ReceiptOf(t.Context(), entry)
	check(t, err)
	head := verify.Head{Origin: signers[ledger.Received].Name(), Size: 1, Root: tlog.RecordHash(opening.GetLeaf())}
	signed, err := note.Sign(&note.Note{Text: head.Text()}, signers[ledger.Received])
	check(t, err)
	opening.TlogProof = verify.Proof{Checkpoint: string(signed)}.Text()

	keys, err := verify.NewKeys(vkeys...)
	check(t, err)
	f, err := follow.Open(t.Context(), follow.Config{Keys: keys, Memory: follow.InFile(x.Path("seen.json")), Clock: x.Clock.Now, First: []string{sent, received},
		Hub: dishonest{answer: &posternv1.GetCheckpointResponse{Checkpoint: string(signed), Opening: opening}}, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	seen, err := f.Verify(shown)
	check(t, err)
	err = f.Given(t.Context(), nil, seen)
	known, _ := f.GetLogs(t.Context(), nil)
	for _, k := range known.GetLogs() {
		if k.GetEnded() || k.GetOrigin() == head.Origin {
			t.Errorf("%s, ended %t, is followed", k.GetOrigin(), k.GetEnded())
		}
	}
	if fault.From(err).Reason != "LOG_STOPPED" || known.GetStop().GetReason() != "LOG_OF_ANOTHER" {
		t.Errorf("%v", err)
	}
}
