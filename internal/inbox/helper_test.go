package inbox_test

import (
	"crypto/sha256"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	bristolInbox = "/authority/E06000023/inbox"
	bli          = "/prison/BLI/desk"
)

// submit submits a notification as HMP Bristol; it must be shared.
func submit(t *testing.T, x *testkit.Exchange, n *posternv1.SealedNotification) {
	t.Helper()
	answer := must(x.Submission(testkit.HMPBristol).Submit(t.Context(), &posternv1.SubmitRequest{Notification: n}))(t)
	if answer.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		t.Fatalf("decided %v", answer.GetDecision())
	}
}

// held shares a notification with Bristol and returns the delivery that the hub would send, which stays in its outbox.
func held(t *testing.T, x *testkit.Exchange, n *posternv1.SealedNotification) *posternv1.Delivery {
	t.Helper()
	submit(t, x, n)
	link := x.Inbox(testkit.Bristol).Link
	req := &posternv1.DeliverRequest{}
	link.Requests(func(_ string, b []byte) []byte {
		if err := proto.Unmarshal(b, req); err != nil {
			t.Error(err)
		}
		return b
	})
	link.Down(true)
	x.Clock.Advance(testkit.MaxWait)
	if worked, err := x.Hub.StepDelivery(t.Context()); err != nil || !worked {
		t.Fatalf("worked %v: %v", worked, err)
	}
	link.Requests(nil)
	link.Down(false)
	if req.GetDelivery() == nil {
		t.Fatal("nothing was sent")
	}
	return req.GetDelivery()
}

// ordinary is a notification of a family that is shared in full.
func ordinary(x *testkit.Exchange) *posternv1.SealedNotification {
	return x.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol))[0]
}

// recorded is the receipt of an event that a hub gone wrong records: the delivery's own core with changes.
func recorded(t *testing.T, x *testkit.Exchange, d *posternv1.Delivery, log ledger.Log, kind logv1.Kind, edit func(*logv1.Core)) *posternv1.Receipt {
	t.Helper()
	core := &logv1.Core{}
	if err := proto.Unmarshal(d.GetReceipt().GetCore(), core); err != nil {
		t.Fatal(err)
	}
	edit(core)
	var id [16]byte
	err := x.Ledger.Append(t.Context(), func(tx *ledger.Tx) error {
		e, err := tx.Record(log, ledger.Event{Kind: kind, Time: core.GetEventTime().AsTime(), Core: core, Details: &logv1.Details{}})
		id = e.EventID()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return must(x.Ledger.Receipt(t.Context(), id))(t)
}

// deliver delivers as the hub.
func deliver(t *testing.T, in *testkit.Inbox, d *posternv1.Delivery) *posternv1.DeliverResponse {
	t.Helper()
	return must(in.Client().Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: d}))(t)
}

// acknowledged checks that the answer is the inbox's acknowledgement of this delivery.
func acknowledged(t *testing.T, x *testkit.Exchange, d *posternv1.Delivery, answer *posternv1.DeliverResponse) {
	t.Helper()
	party := must(envelope.VerifyStatement(answer.GetAcknowledgement(), envelope.TypeAcknowledgement, x.Anchors(), x.Clock.Now()))(t)
	ack := &posternv1.Acknowledgement{}
	if err := proto.Unmarshal(answer.GetAcknowledgement().GetPayload(), ack); err != nil {
		t.Fatal(err)
	}
	if party != x.Identity(bristolInbox).Party() || string(ack.GetManifestSha256()) != string(manifestOf(d)) {
		t.Errorf("signed by %s", party.URI())
	}
}

// refused checks that the answer is the inbox's signed refusal for this reason.
func refused(t *testing.T, x *testkit.Exchange, d *posternv1.Delivery, answer *posternv1.DeliverResponse, signer string, want posternv1.RefusalReason) {
	t.Helper()
	if answer.GetReport() == nil {
		t.Fatalf("not refused: %v", answer)
	}
	party := must(envelope.VerifyStatement(answer.GetReport(), envelope.TypeReport, x.Anchors(), x.Clock.Now()))(t)
	r := &posternv1.Report{}
	if err := proto.Unmarshal(answer.GetReport().GetPayload(), r); err != nil {
		t.Fatal(err)
	}
	if party != x.Identity(signer).Party() || r.GetRefusal().GetReason() != want || r.GetDeliveryId() != d.GetDeliveryId() ||
		string(r.GetManifestSha256()) != string(manifestOf(d)) {
		t.Errorf("%s says %v, want %v", party.URI(), r, want)
	}
}

func manifestOf(d *posternv1.Delivery) []byte {
	sum := sha256.Sum256(d.GetNotification().GetManifest().GetPayload())
	return sum[:]
}

// rows counts what an inbox has stored, but for what it remembers of the hub's logs and the names in its directory.
func rows(t *testing.T, in *testkit.Inbox) (n int) {
	t.Helper()
	err := in.Store.View(t.Context(), func(s store.Snapshot) error {
		for _, ks := range schema.Inbox.Keyspaces {
			if err := s.Scan(ks, nil, nil, func(key, _ []byte) (bool, error) {
				if !slices.Contains([]string{"hub's logs", "names", "time seen to pass"}, string(key)) {
					n++
				}
				return true, nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// events counts the hub's events of a kind with what they say of why.
func events(t *testing.T, x *testkit.Exchange, kind logv1.Kind, why string) (n int) {
	t.Helper()
	_, err := x.Ledger.Events(t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if e.Leaf.Kind == kind && e.Details.GetRefusal() == why {
			n++
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantFault(t *testing.T, err error, kind fault.Kind, reason string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no fault, want %s", reason)
	}
	if f := fault.From(err); f.Kind != kind || f.Reason != reason {
		t.Fatalf("%v %s (%v), want %v %s", f.Kind, f.Reason, err, kind, reason)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
