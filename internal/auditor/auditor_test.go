package auditor_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// audited is a world with two shared notifications, and their ids.
func audited(t *testing.T) (*testkit.Exchange, []string) {
	t.Helper()
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPBristol)
	ids := append(d.Take(formtest.New(testkit.Bristol)), d.Take(formtest.New(testkit.Bristol))...)
	x.Settle()
	return x, ids
}

func get(t *testing.T, x *testkit.Exchange, name string) *localv1.GetEventResponse {
	t.Helper()
	out, err := x.Auditor().GetEvent(t.Context(), &localv1.GetEventRequest{Id: name})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryEventOfBothLogsVerifies(t *testing.T) {
	x, ids := audited(t)
	names := append(ids, envelope.Reference(ids[0]), strings.ToLower(envelope.Reference(ids[1])))
	_, err := x.Ledger.Events(t.Context(), "", 100, func(e ledger.Logged) (bool, error) {
		names = append(names, hex.EncodeToString(e.Leaf.EventID[:]), strings.ToUpper(hex.EncodeToString(e.Leaf.EventID[:])))
		return true, nil
	})
	if err != nil || len(names) < 10 {
		t.Fatalf("%d names: %v", len(names), err)
	}
	for _, name := range names {
		if out := get(t, x, name); out.GetFault() != "" || out.GetResponse().GetEvent().GetKind() == "" {
			t.Errorf("%s: %s", name, out.GetFault())
		}
	}
}

// Whatever of an answer is changed, the auditor is told; it is never shown as verified.
func TestEveryChangedFieldIsAFault(t *testing.T) {
	x, ids := audited(t)
	other := get(t, x, ids[1]).GetResponse()
	link := x.ToHub(testkit.AuditorPath)
	for name, edit := range map[string]func(*posternv1.GetEventResponse){
		"event id":          func(r *posternv1.GetEventResponse) { r.Event.EventId = other.GetEvent().GetEventId() },
		"origin":            func(r *posternv1.GetEventResponse) { r.Event.Origin = "elsewhere.test/sent" },
		"index":             func(r *posternv1.GetEventResponse) { r.Event.Index++ },
		"kind":              func(r *posternv1.GetEventResponse) { r.Event.Kind = "refused" },
		"time":              func(r *posternv1.GetEventResponse) { r.Event.RecordTime.Seconds-- },
		"notification":      func(r *posternv1.GetEventResponse) { r.Event.NotificationId = ids[1] },
		"reference":         func(r *posternv1.GetEventResponse) { r.Event.Reference = envelope.Reference(ids[1]) },
		"prison":            func(r *posternv1.GetEventResponse) { r.Event.PrisonId = "PRI" },
		"authority":         func(r *posternv1.GetEventResponse) { r.Event.Authority = testkit.Lancashire },
		"outcome":           func(r *posternv1.GetEventResponse) { r.Event.Decision.Outcome = posternv1.Outcome_OUTCOME_WITHHOLD },
		"a reason":          func(r *posternv1.GetEventResponse) { r.Event.Decision.Children[0].Reasons[0].Text = "Because." },
		"a section":         func(r *posternv1.GetEventResponse) { r.Event.Decision.Paths = r.Event.Decision.Paths[1:] },
		"no decision":       func(r *posternv1.GetEventResponse) { r.Event.Decision = nil },
		"offered":           func(r *posternv1.GetEventResponse) { r.Event.OfferedPaths = nil },
		"unknown field":     func(r *posternv1.GetEventResponse) { r.Event.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1}) },
		"no event":          func(r *posternv1.GetEventResponse) { r.Event = nil },
		"details":           func(r *posternv1.GetEventResponse) { r.Details[50] ^= 1 },
		"no details":        func(r *posternv1.GetEventResponse) { r.Details = nil },
		"another's details": func(r *posternv1.GetEventResponse) { r.Details = other.GetDetails() },
		"leaf":              func(r *posternv1.GetEventResponse) { r.Receipt.Leaf[30] ^= 1 },
		"core":              func(r *posternv1.GetEventResponse) { r.Receipt.Core[10] ^= 1 },
		"opening":           func(r *posternv1.GetEventResponse) { r.Receipt.Opening[0] ^= 1 },
		"digest of details": func(r *posternv1.GetEventResponse) { r.Receipt.DetailsSha256[0] ^= 1 },
		"proof": func(r *posternv1.GetEventResponse) {
			r.Receipt.TlogProof = strings.Replace(r.Receipt.TlogProof, "index", "indes", 1)
		},
		"another's proof":   func(r *posternv1.GetEventResponse) { r.Receipt.TlogProof = other.GetReceipt().GetTlogProof() },
		"another's receipt": func(r *posternv1.GetEventResponse) { r.Receipt = other.GetReceipt() },
		"no receipt":        func(r *posternv1.GetEventResponse) { r.Receipt = nil },
		"another event":     func(r *posternv1.GetEventResponse) { proto.Reset(r); proto.Merge(r, other) },
		"nothing":           func(r *posternv1.GetEventResponse) { proto.Reset(r) },
	} {
		t.Run(name, func(t *testing.T) {
			link.Answers(func(_ string, b []byte) []byte {
				r := &posternv1.GetEventResponse{}
				if err := proto.Unmarshal(b, r); err != nil {
					t.Error(err)
				}
				edit(r)
				b, err := proto.Marshal(r)
				if err != nil {
					t.Error(err)
				}
				return b
			})
			for _, asked := range []string{ids[0], envelope.Reference(ids[0])} {
				if got := get(t, x, asked); got.GetFault() == "" {
					t.Errorf("shown as verified: %v", got.GetResponse())
				}
			}
		})
	}
	link.Answers(nil)
	if got := get(t, x, ids[0]); got.GetFault() != "" {
		t.Errorf("the control: %s", got.GetFault())
	}
}

func TestAListAndItsErrorsArePassedOn(t *testing.T) {
	x, _ := audited(t)
	out, err := x.Auditor().ListEvents(t.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{PageSize: 2}})
	if err != nil || len(out.GetResponse().GetEvents()) != 2 || out.GetResponse().GetNextPageToken() == "" {
		t.Errorf("%v: %v", out, err)
	}
	x.ToHub(testkit.AuditorPath).Down(true)
	if _, err := x.Auditor().ListEvents(t.Context(), &localv1.ListEventsRequest{}); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	if _, err := x.Auditor().GetEvent(t.Context(), &localv1.GetEventRequest{Id: "x"}); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
}
