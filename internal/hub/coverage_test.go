package hub_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// counts submits a prison's counts.
func (w *world) counts(prison string, days ...*posternv1.ReceptionDay) error {
	_, err := w.submit(prison, w.Seal(prison, formtest.Declined(), func(d *envelope.Draft) {
		d.Manifest.Statement, d.Hub = &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{Days: days}}, nil
	})[0])
	return err
}

func (w *world) coverage(req *posternv1.GetCoverageRequest) []*posternv1.Coverage {
	w.t.Helper()
	out, err := posternv1.NewCoverageServiceClient(w.ToHub(testkit.AuditorPath)).GetCoverage(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.GetPrisons()
}

func TestCoverageCountsPeopleAndNobodyTwice(t *testing.T) {
	w := newWorld(t)
	day := w.Clock.Now().AddDate(0, 0, -2).Format(time.DateOnly)
	n := 0
	// asked submits the outcome of asking the person with this number; told is an offer.
	asked := func(number string, outcome posternv1.EnquiryOutcome, edits ...func(*posternv1.Form)) {
		t.Helper()
		f := formtest.Enquiry(outcome)
		if outcome == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
			f = w.Example("shared_in_part")
		}
		f.PrisonNumber, f.Reception.ReceiveDate, f.AskAgainDate = number, day, ""
		f.Reception.Reason = posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION
		for _, edit := range edits {
			edit(f)
		}
		for _, sealed := range w.Seal(testkit.HMPBristol, f) {
			n++
			if _, err := w.submit(testkit.HMPBristol, sealed); err != nil {
				t.Fatal(err)
			}
		}
	}
	const told, children, none, declined, notAsked = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN,
		posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED
	asked("A0001ZZ", none)
	asked("A0002ZZ", notAsked)
	asked("A0002ZZ", declined) // asked after all
	asked("A0003ZZ", children)
	asked("A0003ZZ", told)     // and agreed
	asked("A0003ZZ", children) // said once more: the same person
	asked("A0004ZZ", notAsked)
	asked("A0005ZZ", declined)
	asked("A0005ZZ", notAsked) // nobody asked again: the answer stays
	asked("A0006ZZ", none, func(f *posternv1.Form) { f.Reception.Reason = posternv1.ReceptionReason_RECEPTION_REASON_TRANSFER })
	asked("A0007ZZ", none, func(f *posternv1.Form) { f.Reception.ReceiveDate = w.Clock.Now().Format(time.DateOnly) }) // a day nobody counted
	if err := w.counts(testkit.HMPBristol, &posternv1.ReceptionDay{ReceiveDate: day, Received: 9}); err != nil {
		t.Fatal(err)
	}
	if err := w.counts(testkit.HMPBristol, &posternv1.ReceptionDay{ReceiveDate: day, Received: 8}); err != nil { // counted again
		t.Fatal(err)
	}
	want := &posternv1.Coverage{PrisonId: testkit.HMPBristol, DaysCounted: 1, Received: 8, AskedOfReceived: 4, Asked: 5, Told: 1, NoChildren: 2, Declined: 2, NotAsked: 1}
	got := w.coverage(&posternv1.GetCoverageRequest{})
	if len(got) != 1 || !proto.Equal(got[0], want) {
		t.Errorf("the coverage is\n%v, want\n%v", got, want)
	}
	if got := w.coverage(&posternv1.GetCoverageRequest{PrisonId: testkit.HMPParc}); len(got) != 0 {
		t.Errorf("another prison has %v", got)
	}
	if got := w.coverage(&posternv1.GetCoverageRequest{StartDate: day, EndDate: day}); got[0].GetAsked() != 4 {
		t.Errorf("on that day %v", got)
	}
	if events := w.events(logv1.Kind_KIND_RECEPTIONS_COUNTED); len(events) != 2 {
		t.Errorf("%d counts are on record", len(events))
	}
	if events := w.events(logv1.Kind_KIND_DECIDED); len(events) != n {
		t.Errorf("%d decisions are on record, want %d", len(events), n)
	}
}

func TestTheSameCountsTwiceAreOneEvent(t *testing.T) {
	w := newWorld(t)
	sealed := w.Seal(testkit.HMPBristol, formtest.Declined(), func(d *envelope.Draft) {
		d.Manifest.Statement, d.Hub = &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{
			Days: []*posternv1.ReceptionDay{{ReceiveDate: w.Clock.Now().Format(time.DateOnly), Received: 3}}}}, nil
	})[0]
	first, err := w.submit(testkit.HMPBristol, sealed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.submit(testkit.HMPBristol, sealed)
	if err != nil || !proto.Equal(first.GetDecision(), again.GetDecision()) {
		t.Errorf("again: %v, %v", again.GetDecision(), err)
	}
	if n := len(w.events(logv1.Kind_KIND_RECEPTIONS_COUNTED)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestCountsThatCannotBeTrueAreRefused(t *testing.T) {
	w := newWorld(t)
	today, tomorrow := w.Clock.Now().Format(time.DateOnly), w.Clock.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	for name, days := range map[string][]*posternv1.ReceptionDay{
		"none":      nil,
		"to come":   {{ReceiveDate: tomorrow}},
		"no day":    {{ReceiveDate: "2026-02-30"}},
		"backwards": {{ReceiveDate: today}, {ReceiveDate: "2026-01-01"}},
		"twice":     {{ReceiveDate: today}, {ReceiveDate: today}},
		"too many":  {{ReceiveDate: today, Received: 1001}},
	} {
		err := w.counts(testkit.HMPBristol, days...)
		if fault.KindOf(err) != fault.Invalid || fault.From(err).Reason != "BAD_RECEPTIONS" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(w.events(logv1.Kind_KIND_RECEPTIONS_COUNTED)); n != 0 {
		t.Errorf("%d were recorded", n)
	}
}

// An auditor's scope holds for counts as for events, one whom nobody named may not ask, and that they were asked for is on
// record.
func TestCoverageIsOfTheAuditorsScope(t *testing.T) {
	for name, c := range map[string]struct {
		scope hub.Scope
		want  []string
	}{
		"all": {hub.Scope{All: true}, []string{"BLI", "PRI"}}, "a prison": {hub.Scope{Prisons: []string{"PRI"}}, []string{"PRI"}},
		"an authority": {hub.Scope{Authorities: []string{testkit.Bristol}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c2 *testkit.Config) {
				c2.Hub = func(h *hub.Config) { h.Auditors = map[string]hub.Scope{"ig": c.scope} }
			})
			day := &posternv1.ReceptionDay{ReceiveDate: w.Clock.Now().AddDate(0, 0, -2).Format(time.DateOnly), Received: 9}
			for _, prison := range []string{testkit.HMPBristol, testkit.HMPParc} {
				if err := w.counts(prison, day); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, p := range w.coverage(&posternv1.GetCoverageRequest{}) {
				got = append(got, p.GetPrisonId())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("sees %q, want %q", got, c.want)
			}
			w.coverage(&posternv1.GetCoverageRequest{PrisonId: "BLI"})
			asked := w.events(logv1.Kind_KIND_DISCLOSED_TO_AUDITOR)
			if len(asked) != 2 || asked[1].Details.GetQuestion() != `{"coverage":{"prison_id":"BLI"}}` {
				t.Errorf("on record: %v", asked)
			}
		})
	}
	w := newWorld(t, func(c *testkit.Config) { c.Hub = func(h *hub.Config) { h.Auditors = nil } })
	_, err := posternv1.NewCoverageServiceClient(w.ToHub(testkit.AuditorPath)).GetCoverage(t.Context(), &posternv1.GetCoverageRequest{})
	wantFault(t, err, fault.Denied, "AUDITOR_UNKNOWN")
}
