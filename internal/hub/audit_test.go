package hub_test

import (
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// busy is a world in which something of everything happened: shared with Bristol and delivered, referred for
// Lancashire, shared from HMP Parc with Lancashire, refused.
func busy(t *testing.T) *world {
	w := newWorld(t)
	w.decided(w.shareable())
	w.Clock.Advance(time.Hour)
	w.decided(w.one(formtest.New(testkit.Lancashire)))
	w.Clock.Advance(time.Hour)
	must(w.submit(testkit.HMPParc, w.Seal(testkit.HMPParc, formtest.New(testkit.Lancashire))[0]))(t)
	w.Clock.Advance(time.Hour)
	if _, err := w.submit(testkit.HMPParc, w.shareable()); err == nil {
		t.Fatal("taken")
	}
	w.Clock.Advance(time.Hour)
	w.Settle()
	return w
}

func TestEventsAreListedNewestFirstAndInPages(t *testing.T) {
	w := busy(t)
	audit := w.Audit(testkit.AuditorPath)
	all := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{}))(t).GetEvents()
	var kinds []string
	for _, e := range all {
		kinds = append(kinds, e.GetKind())
	}
	if got := strings.Join(kinds, " "); got != "delivered delivered refused decided decided decided directory_changed" {
		t.Fatalf("events %s", got)
	}
	var paged []*posternv1.Event
	for token := ""; ; {
		page := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{PageSize: 2, PageToken: token}))(t)
		paged = append(paged, page.GetEvents()...)
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	paged = undisclosed(paged) // that the first list was asked for
	if !slices.EqualFunc(all, paged, func(a, b *posternv1.Event) bool { return proto.Equal(a, b) }) {
		t.Error("pages of two give another list")
	}
	_, err := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{PageToken: "nonsense"})
	wantFault(t, err, fault.Invalid, "BAD_PAGE_TOKEN")
}

// undisclosed are the events that do not tell of a list.
func undisclosed(events []*posternv1.Event) []*posternv1.Event {
	return slices.DeleteFunc(events, func(e *posternv1.Event) bool { return e.GetKind() == "disclosed_to_auditor" })
}

func TestEventsAreFiltered(t *testing.T) {
	w := busy(t)
	audit := w.Audit(testkit.AuditorPath)
	first := w.events(logv1.Kind_KIND_DECIDED)[0].Details.GetNotificationId()
	for name, c := range map[string]struct {
		filter *posternv1.EventFilter
		want   string
	}{
		"kind":            {&posternv1.EventFilter{Kind: "decided"}, "decided decided decided"},
		"prison":          {&posternv1.EventFilter{PrisonId: "BLI"}, "delivered decided decided"},
		"prison, refused": {&posternv1.EventFilter{PrisonId: "PRI", Kind: "refused"}, "refused"},
		"authority":       {&posternv1.EventFilter{Authority: testkit.Lancashire}, "delivered decided decided"},
		"outcome":         {&posternv1.EventFilter{Outcome: refer}, "decided"},
		"rule":            {&posternv1.EventFilter{RuleId: "no_data_sharing_agreement"}, "decided"},
		"rule of a child": {&posternv1.EventFilter{RuleId: "consent_given"}, "decided decided"},
		"from":            {&posternv1.EventFilter{StartTime: timestamppb.New(testkit.Now.Add(3 * time.Hour))}, "delivered delivered refused"},
		"until":           {&posternv1.EventFilter{EndTime: timestamppb.New(testkit.Now.Add(time.Hour))}, "decided directory_changed"},
		"id":              {&posternv1.EventFilter{Notification: first}, "delivered decided"},
		"reference":       {&posternv1.EventFilter{Notification: strings.ToLower(envelope.Reference(first))}, "delivered decided"},
		"another id":      {&posternv1.EventFilter{Notification: "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b"}, ""},
		"two":             {&posternv1.EventFilter{Kind: "decided", PrisonId: "PRI"}, "decided"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []uint32{0, 1} {
				var kinds []string
				for token := ""; ; {
					page := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: c.filter, PageSize: size, PageToken: token}))(t)
					for _, e := range undisclosed(page.GetEvents()) {
						kinds = append(kinds, e.GetKind())
					}
					if token = page.GetNextPageToken(); token == "" {
						break
					}
				}
				if got := strings.Join(kinds, " "); got != c.want {
					t.Errorf("in pages of %d: %q, want %q", size, got, c.want)
				}
			}
		})
	}
	_, err := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: &posternv1.EventFilter{Notification: "PN-AAAA-AAAA"}})
	wantFault(t, err, fault.Invalid, "BAD_REFERENCE")
	for path, f := range map[string]*posternv1.EventFilter{
		"filter.kind":     {Kind: "forgotten"},
		"filter.outcome":  {Outcome: 99},
		"filter.route":    {Route: 99},
		"filter.end_time": {StartTime: timestamppb.New(testkit.Now), EndTime: timestamppb.New(testkit.Now)},
	} {
		_, err := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: f})
		if wantFault(t, err, fault.Invalid, "BAD_FILTER"); len(fault.From(err).Fields) != 1 || fault.From(err).Fields[0].Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAnEventIsFoundByEveryName(t *testing.T) {
	w := busy(t)
	audit := w.Audit(testkit.AuditorPath)
	e := w.events(logv1.Kind_KIND_DECIDED)[0]
	id, ref := e.Details.GetNotificationId(), envelope.Reference(e.Details.GetNotificationId())
	for _, name := range []string{hex.EncodeToString(e.Leaf.EventID[:]), strings.ToUpper(hex.EncodeToString(e.Leaf.EventID[:])), id, ref, strings.ToLower(strings.ReplaceAll(ref, "-", " "))} {
		got := must(audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: name}))(t)
		if got.GetEvent().GetNotificationId() != id || got.GetEvent().GetKind() != "decided" || got.GetEvent().GetReference() != ref {
			t.Errorf("%s is %v", name, got.GetEvent())
		}
		if _, err := verify.Receipt(got.GetReceipt(), w.LogKeys()); err != nil {
			t.Error(err)
		}
		if err := verify.Details(got.GetReceipt(), got.GetDetails()); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]struct {
		kind   fault.Kind
		reason string
	}{
		"":                                     {fault.Invalid, "BAD_EVENT_NAME"},
		"nonsense":                             {fault.Invalid, "BAD_EVENT_NAME"},
		strings.Repeat("ab", 16):               {fault.NotFound, "NOT_FOUND"},
		"5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b": {fault.NotFound, "NOT_FOUND"},
		envelope.Reference("5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b"): {fault.NotFound, "NOT_FOUND"},
	} {
		_, err := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: name})
		wantFault(t, err, want.kind, want.reason)
	}
}

func TestAnAmbiguousReferenceIsAnError(t *testing.T) {
	w := newWorld(t)
	ids := []string{"5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b", "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6c"}
	for _, id := range ids {
		w.decided(w.Seal(testkit.HMPBristol, formtest.Declined(), func(d *envelope.Draft) { d.Manifest.NotificationId = id })[0])
	}
	audit := w.Audit(testkit.AuditorPath)
	_, err := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: envelope.Reference(ids[0])})
	wantFault(t, err, fault.Precondition, "AMBIGUOUS")
	for _, id := range ids {
		if got := must(audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: id}))(t); got.GetEvent().GetNotificationId() != id {
			t.Error(got.GetEvent())
		}
	}
	page := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: &posternv1.EventFilter{Notification: envelope.Reference(ids[0])}}))(t)
	if len(page.GetEvents()) != 2 {
		t.Errorf("%d events by the reference", len(page.GetEvents()))
	}
}

// A proof is for those whose statement it is and those it was shared with. For everybody else "not yours" and "not
// there" are the same bytes.
func TestProofsAreGivenToTheirOwn(t *testing.T) {
	w := busy(t)
	decided := w.events(logv1.Kind_KIND_DECIDED)
	const bli, pri, bristol, lancashire = "/prison/BLI/desk", "/prison/PRI/desk", "/authority/E06000023/inbox", "/authority/E10000017/inbox"
	for name, c := range map[string]struct {
		event ledger.Logged
		may   []string
	}{
		"shared with Bristol":    {decided[0], []string{bli, bristol}},
		"referred":               {decided[1], []string{bli}},
		"shared with Lancashire": {decided[2], []string{pri, lancashire}},
		"refused":                {w.events(logv1.Kind_KIND_REFUSED)[0], []string{pri}},
		"delivered":              {w.events(logv1.Kind_KIND_DELIVERED)[0], nil},
		"the directory":          {w.events(logv1.Kind_KIND_DIRECTORY_CHANGED)[0], nil},
	} {
		t.Run(name, func(t *testing.T) {
			id := hex.EncodeToString(c.event.Leaf.EventID[:])
			for _, who := range []string{bli, pri, bristol, lancashire, testkit.AuditorPath} {
				got, err := w.Audit(who).GetProof(t.Context(), &posternv1.GetProofRequest{EventId: id})
				if slices.Contains(c.may, who) || who == testkit.AuditorPath {
					event := must(verify.Receipt(must(got, err)(t).GetReceipt(), w.LogKeys()))(t)
					if event.EventID != c.event.Leaf.EventID {
						t.Errorf("%s gets the proof of another", who)
					}
					continue
				}
				_, absent := w.Audit(who).GetProof(t.Context(), &posternv1.GetProofRequest{EventId: strings.Repeat("ab", 16)})
				wantFault(t, err, fault.NotFound, "NOT_FOUND")
				if !reflect.DeepEqual(err, absent) {
					t.Errorf("%s can tell %v from %v", who, err, absent)
				}
			}
		})
	}
	for _, bad := range []string{"", "nonsense", "abcd"} {
		_, err := w.Audit(bli).GetProof(t.Context(), &posternv1.GetProofRequest{EventId: bad})
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
	}
}

func TestADeskNeverSeesTheReceivedLog(t *testing.T) {
	w := busy(t)
	get := func(who, origin string) (*posternv1.GetCheckpointResponse, error) {
		return w.Audit(who).GetCheckpoint(t.Context(), &posternv1.GetCheckpointRequest{Origin: origin, KnownSize: 1})
	}
	const bli, bristol = "/prison/BLI/desk", "/authority/E06000023/inbox"
	_, refused := get(bli, w.Ledger.Origin(ledger.Received))
	_, unknown := get(bli, "elsewhere.test/received")
	wantFault(t, refused, fault.NotFound, "NOT_FOUND")
	wantFault(t, unknown, fault.NotFound, "NOT_FOUND")
	if !reflect.DeepEqual(refused, unknown) {
		t.Errorf("a desk can tell %q from %q", refused, unknown)
	}
	for _, c := range []struct {
		who string
		log ledger.Log
	}{{bli, ledger.Sent}, {bristol, ledger.Sent}, {bristol, ledger.Received}, {testkit.AuditorPath, ledger.Sent}, {testkit.AuditorPath, ledger.Received}} {
		got := must(get(c.who, w.Ledger.Origin(c.log)))(t)
		head := must(verify.Checkpoint(got.GetCheckpoint(), w.LogKeys()))(t)
		if size, root, _ := w.Ledger.Head(c.log); head.Size != size || head.Root != root || got.GetConsistency().GetNewSize() != size {
			t.Errorf("%s of %s: %v", c.who, c.log, got)
		}
	}
	// Nor does it get a proof of that log by naming it.
	known := []*posternv1.KnownLog{{Origin: w.Ledger.Origin(ledger.Received), Size: 1}, {Origin: w.Ledger.Origin(ledger.Sent), Size: 1}}
	updates := must(w.Submission(testkit.HMPBristol).ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{KnownLogs: known}))(t)
	answer := must(w.Submission(testkit.HMPBristol).Submit(t.Context(), &posternv1.SubmitRequest{Notification: w.shareable(), KnownLogs: known}))(t)
	for _, proofs := range [][]*posternv1.ConsistencyProof{updates.GetConsistency(), answer.GetConsistency()} {
		if len(proofs) != 1 || proofs[0].GetOrigin() != w.Ledger.Origin(ledger.Sent) {
			t.Errorf("proofs %v", proofs)
		}
	}
}

func TestTheLogContinuesForWhoeverRemembersIt(t *testing.T) {
	w := newWorld(t)
	older := head(t, w)
	for range 5 {
		w.decided(w.shareable())
		got := must(w.Audit(testkit.AuditorPath).GetCheckpoint(t.Context(), &posternv1.GetCheckpointRequest{Origin: older.Origin, KnownSize: older.Size}))(t)
		newer := must(verify.Checkpoint(got.GetCheckpoint(), w.LogKeys()))(t)
		if err := verify.Continues(older, newer, got.GetConsistency()); err != nil {
			t.Fatal(err)
		}
		older = newer
	}
	_, err := w.Audit(testkit.AuditorPath).GetCheckpoint(t.Context(), &posternv1.GetCheckpointRequest{Origin: older.Origin, KnownSize: older.Size + 1})
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
}

func head(t *testing.T, w *world) verify.Head {
	t.Helper()
	_, _, checkpoint := w.Ledger.Head(ledger.Sent)
	return must(verify.Checkpoint(checkpoint, w.LogKeys()))(t)
}
