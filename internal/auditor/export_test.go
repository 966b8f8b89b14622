package auditor_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/auditor"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// exporting is an auditor, and a hub with a real ledger and a connection that breaks in ways a test chooses.
type exporting struct {
	posternv1.UnimplementedAuditServiceServer
	*ledger.Ledger
	auditor localv1.AuditorServiceClient
	keys    verify.Keys
	anchors *identity.Anchors

	send func(call, message int, m *posternv1.ExportLogResponse) error // before each message; an error ends the call
	cut  func(*posternv1.Receipt)                                      // changes a receipt
	call int
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

	noError(t, ca.Init(filepath.Join(dir, "ca"), ca.Config{Domain: "postern.example"}))
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	noError(t, ca.Issue(filepath.Join(dir, "ca"), "spiffe://postern.example/auditor/one", ca.IssueConfig{OutCert: cert, OutKey: key}))
	id, err := identity.Load(cert, key)
	noError(t, err)
	pem, err := os.ReadFile(filepath.Join(dir, "ca", "auditor", "ca.pem"))
	noError(t, err)
	x.anchors, err = identity.NewAnchors(identity.AnchorConfig{Domain: "postern.example", Auditor: pem})
	noError(t, err)

	hub := serve(t, func(r grpc.ServiceRegistrar) { posternv1.RegisterAuditServiceServer(r, x) })
	a, err := auditor.Open(t.Context(), auditor.Config{Hub: posternv1.NewAuditServiceClient(hub), LogKeys: x.keys, Identity: id, Anchors: x.anchors,
		Clock: time.Now, Memory: follow.InFile(filepath.Join(dir, "known.json"))})
	noError(t, err)
	x.auditor = localv1.NewAuditorServiceClient(serve(t, func(r grpc.ServiceRegistrar) { localv1.RegisterAuditorServiceServer(r, a) }))
	return x
}

func serve(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{}, register)
	noError(t, err)
	t.Cleanup(stop)
	return conn
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

// add appends n events to the sent log and returns the id of the last.
func (x *exporting) add(t *testing.T, n int) (last [16]byte) {
	t.Helper()
	noError(t, x.Append(t.Context(), func(tx *ledger.Tx) error {
		for range n {
			e, err := tx.Record(ledger.Sent, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Core: &logv1.Core{}, Details: &logv1.Details{}})
			if err != nil {
				return err
			}
			last = e.EventID()
		}
		return nil
	}))
	return last
}

// GetCheckpoint proves what is known, as a hub does.
func (x *exporting) GetCheckpoint(ctx context.Context, req *posternv1.GetCheckpointRequest) (*posternv1.GetCheckpointResponse, error) {
	g, _ := x.LogOf(req.GetOrigin())
	_, _, checkpoint := x.Cut().Head(g)
	proofs, err := x.Cut().Proofs(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received)
	return &posternv1.GetCheckpointResponse{Checkpoint: checkpoint, Proofs: proofs}, err
}

// ExportLog answers as a hub does, ten entries a message and a hundred a call, unless the connection breaks.
func (x *exporting) ExportLog(req *posternv1.ExportLogRequest, stream grpc.ServerStreamingServer[posternv1.ExportLogResponse]) error {
	size, checkpoint, p, err := x.HeadSince(stream.Context(), req.GetOrigin(), req.GetKnownSize())
	if err != nil {
		return err
	}
	x.call++
	proofs, err := x.Cut().Proofs(stream.Context(), req.GetKnownLogs(), ledger.Sent, ledger.Received)
	if err != nil {
		return err
	}
	messages := []*posternv1.ExportLogResponse{{Checkpoint: checkpoint, Consistency: p, Proofs: proofs}}
	end := min(size, req.GetStartIndex()+100)
	if req.GetEndIndex() > 0 {
		end = min(end, req.GetEndIndex())
	}
	err = x.Range(stream.Context(), req.GetOrigin(), req.GetStartIndex(), end, func(e ledger.Logged) (bool, error) {
		if e.Index%10 == 0 || len(messages) == 1 {
			messages = append(messages, &posternv1.ExportLogResponse{})
		}
		last := messages[len(messages)-1]
		last.Entries = append(last.Entries, &posternv1.ExportedEntry{Index: e.Index, Leaf: e.Record.Leaf,
			Body: &posternv1.ExportedBody{Core: e.Record.Core, Details: e.Record.Details, Opening: e.Record.Opening}})
		return true, nil
	})
	if err != nil {
		return err
	}
	for i, m := range messages {
		if x.send != nil {
			if err := x.send(x.call, i, m); err != nil {
				return err
			}
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// GetProof cuts a receipt, which the test may change.
func (x *exporting) GetProof(ctx context.Context, req *posternv1.GetProofRequest) (*posternv1.GetProofResponse, error) {
	id, err := hex.DecodeString(req.GetEventId())
	if err != nil {
		return nil, err
	}
	r, err := x.Receipt(ctx, [16]byte(id))
	if err == nil && x.cut != nil {
		x.cut(r)
	}
	return &posternv1.GetProofResponse{Receipt: r}, err
}

// export runs an export to its end.
func (x *exporting) export(t *testing.T, dir string) (*localv1.ExportResponse, error) {
	stream, err := x.auditor.Export(t.Context(), &localv1.ExportRequest{Directory: dir})
	noError(t, err)
	var last *localv1.ExportResponse
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		last = proto.CloneOf(m)
	}
}

func (x *exporting) verify(t *testing.T, dir string) *archive.Report {
	t.Helper()
	r, err := archive.Verify(t.Context(), os.DirFS(dir), archive.Config{Keys: x.keys, Anchors: x.anchors})
	noError(t, err)
	return r
}

var errBroken = fault.New(fault.Unavailable, "BROKEN", "The connection broke.")

func TestExportGoesOnWhereACallEnded(t *testing.T) {
	x := newExporting(t)
	dir := filepath.Join(t.TempDir(), "export")
	x.add(t, 730)
	x.send = func(call, message int, _ *posternv1.ExportLogResponse) error {
		if message > 1+call%8 {
			return errBroken
		}
		return nil
	}
	for range 2 {
		out, err := x.export(t, dir)
		noError(t, err)
		size, _, _ := x.Head(ledger.Sent)
		if log := out.GetLogs()[1]; !out.GetDone() || log.GetSize() != size || log.GetWritten() != size || log.GetFolder() != "sent" || log.GetRoot() == "" {
			t.Fatalf("%v", out)
		}
		if r := x.verify(t, dir); r.Logs[1].Size != size || r.By.ID != "one" {
			t.Fatalf("%+v", r)
		}
		x.add(t, 300)
	}
}

func TestAnExportThatCannotGoOnChangesNothing(t *testing.T) {
	x := newExporting(t)
	dir := t.TempDir()
	x.add(t, 30)
	_, err := x.export(t, dir)
	noError(t, err)
	before := x.verify(t, dir).Logs
	x.add(t, 200)
	denied := fault.New(fault.Denied, "NO", "You may not.")
	for reason, c := range map[string]struct {
		kind fault.Kind
		send func(call, message int, m *posternv1.ExportLogResponse) error
	}{
		"BROKEN": {fault.Unavailable, func(_, message int, _ *posternv1.ExportLogResponse) error {
			if message > 0 {
				return errBroken
			}
			return nil
		}},
		"NO": {fault.Denied, func(_, message int, _ *posternv1.ExportLogResponse) error {
			if message > 3 {
				return denied
			}
			return nil
		}},
		"EXPORT_ENDED": {fault.Unavailable, func(_, _ int, m *posternv1.ExportLogResponse) error { m.Entries = nil; return nil }},
		"ENTRY_MISSING": {fault.Unverified, func(_, message int, m *posternv1.ExportLogResponse) error {
			if message == 4 {
				m.Entries = m.Entries[1:]
			}
			return nil
		}},
		"COMMITMENT_WRONG": {fault.Unverified, func(_, message int, m *posternv1.ExportLogResponse) error {
			if message == 2 {
				m.Entries[0].Body.Opening[3]++
			}
			return nil
		}},
		"ROOT_WRONG": {fault.Unverified, func(_, message int, m *posternv1.ExportLogResponse) error {
			if message == 2 {
				m.Entries[0].Body, m.Entries[0].Leaf[3] = nil, m.Entries[0].Leaf[3]+1
			}
			return nil
		}},
	} {
		x.send = c.send
		_, err := x.export(t, dir)
		wantReason(t, err, c.kind, reason)
		if after := x.verify(t, dir).Logs; after[1] != before[1] {
			t.Fatalf("%s: %+v", reason, after)
		}
	}
	_, err = x.export(t, "not/absolute")
	wantReason(t, err, fault.Invalid, "BAD_FOLDER")
}

func TestAProofIsCheckedBeforeItIsGiven(t *testing.T) {
	x := newExporting(t)
	id := fmt.Sprintf("%x", x.add(t, 3))
	out, err := x.auditor.GetProof(t.Context(), &localv1.GetProofRequest{Id: id})
	noError(t, err)
	if _, err := verify.Receipt(out.GetReceipt(), x.keys); err != nil {
		t.Fatal(err)
	}
	other, err := x.Receipt(t.Context(), x.add(t, 1))
	noError(t, err)
	x.cut = func(r *posternv1.Receipt) { proto.Reset(r); proto.Merge(r, other) }
	_, err = x.auditor.GetProof(t.Context(), &localv1.GetProofRequest{Id: strings.ToUpper(id)})
	wantReason(t, err, fault.Unverified, "EVENT_OF_ANOTHER")
	x.cut = func(r *posternv1.Receipt) { r.Opening[0]++ }
	_, err = x.auditor.GetProof(t.Context(), &localv1.GetProofRequest{Id: id})
	wantReason(t, err, fault.Unverified, "COMMITMENT_WRONG")
}

// TestProofByName asks a real hub for a proof by every name there is.
func TestProofByName(t *testing.T) {
	x, ids := audited(t)
	want := get(t, x, ids[0]).GetResponse().GetEvent().GetEventId()
	for _, name := range []string{ids[0], envelope.Reference(ids[0]), want} {
		out, err := x.Auditor().GetProof(t.Context(), &localv1.GetProofRequest{Id: name})
		noError(t, err)
		event, err := verify.Receipt(out.GetReceipt(), x.LogKeys())
		noError(t, err)
		if hex.EncodeToString(event.EventID[:]) != want {
			t.Errorf("%s gives the proof of %x", name, event.EventID)
		}
	}
	_, err := x.Auditor().GetProof(t.Context(), &localv1.GetProofRequest{Id: strings.Repeat("0", 32)})
	if fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}
