package hub_test

import (
	"crypto/sha256"
	"reflect"
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

const (
	bristolInbox    = "/authority/E06000023/inbox"
	lancashireInbox = "/authority/E10000017/inbox"
)

// delivered is a world in which one notification was shared with Bristol and delivered, and its manifest's digest.
func delivered(t *testing.T) (*world, []byte) {
	w := newWorld(t)
	n := w.shareable()
	w.decided(n)
	w.Settle()
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	return w, sum[:]
}

// report signs as one inbox and sends as another.
func (w *world) report(signer, sender string, r *posternv1.Report) (*posternv1.ReportResponse, error) {
	w.t.Helper()
	payload := must(proto.Marshal(r))(w.t)
	signed := must(envelope.SignStatement(w.Identity(signer), envelope.TypeReport, payload))(w.t)
	return posternv1.NewMailboxServiceClient(w.ToHub(sender)).Report(w.t.Context(), &posternv1.ReportRequest{Signed: signed})
}

// replies are what HMP Bristol was told beyond the acknowledgement, when the hour is over.
func (w *world) replies() []*posternv1.Reply {
	w.t.Helper()
	w.Clock.Advance(time.Hour)
	var all []*posternv1.Reply
	for _, u := range must(w.Submission(testkit.HMPBristol).ListUpdates(w.t.Context(), &posternv1.ListUpdatesRequest{}))(w.t).GetUpdates() {
		if u.GetReply() != nil {
			all = append(all, u.GetReply())
		}
	}
	return all
}

func reply(manifest []byte, code posternv1.ReplyCode, paths ...string) *posternv1.Report {
	return &posternv1.Report{ManifestSha256: manifest, ReportTime: timestamppb.New(testkit.Now),
		Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: code, Paths: paths}}}
}

// The valve: what a team may say, and what of it the prison hears.
func TestTheValveLetsThroughTheClosedSet(t *testing.T) {
	const accepted = posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT
	hears := map[posternv1.ReplyCode]posternv1.ReplyCode{ // absent: refused
		posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT: accepted,
		posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA:         accepted,
		posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE:         accepted,
		posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN:        accepted,
		posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL:         posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL,
	}
	w, manifest := delivered(t)
	var last posternv1.ReplyCode
	for number := range posternv1.ReplyCode_name {
		code := posternv1.ReplyCode(number)
		before, leaves := len(w.replies()), len(w.events(logv1.Kind_KIND_REPLIED))
		answer, err := w.report(bristolInbox, bristolInbox, reply(manifest, code))
		want, ok := hears[code]
		if !ok {
			wantFault(t, err, fault.Invalid, "REPLY_CODE")
			if len(w.replies()) != before || len(w.events(logv1.Kind_KIND_REPLIED)) != leaves {
				t.Errorf("%v left a trace", code)
			}
			continue
		}
		event := must(verify.Receipt(must(answer, err)(t).GetReceipt(), w.LogKeys()))(t)
		if event.Kind != logv1.Kind_KIND_REPLIED || event.Origin != w.Ledger.Origin(ledger.Received) {
			t.Errorf("%v was recorded as %v in %s", code, event.Kind, event.Origin)
		}
		told := w.replies()
		if last == want {
			if len(told) != before {
				t.Errorf("%v says to the prison what was said before, and it is told again", code)
			}
		} else if len(told) != before+1 || !proto.Equal(told[before], &posternv1.Reply{Code: want}) {
			t.Errorf("of %v the prison hears %v", code, told[before:])
		}
		last = want
	}
	_, err := w.report(bristolInbox, bristolInbox, reply(manifest, 99))
	wantFault(t, err, fault.Invalid, "REPLY_CODE")
}

func TestEveryKindOfReport(t *testing.T) {
	w, manifest := delivered(t)
	about := func(r *posternv1.Report) *posternv1.Report { r.ManifestSha256 = manifest; return r }
	for name, c := range map[string]struct {
		report *posternv1.Report
		taken  string // what the log calls it; empty when it is refused
	}{
		"facts mismatch": {about(&posternv1.Report{Report: &posternv1.Report_FactsMismatch{FactsMismatch: &posternv1.FactsMismatch{Paths: []string{"child/1/home"}}}}), "FACTS_MISMATCH"},
		"family outcome": {about(&posternv1.Report{Report: &posternv1.Report_FamilyOutcome{FamilyOutcome: &posternv1.FamilyOutcome{
			Code: posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_ACCEPTED}}}), "OFFER_ACCEPTED"},
		"refusal": {about(&posternv1.Report{Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: 1}}}), ""},
		"nothing": {about(&posternv1.Report{}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			leaves := len(w.events(logv1.Kind_KIND_REPLIED))
			_, err := w.report(bristolInbox, bristolInbox, c.report)
			all := w.events(logv1.Kind_KIND_REPLIED)
			if c.taken == "" {
				wantFault(t, err, fault.Unimplemented, "REPORT_KIND")
				if len(all) != leaves {
					t.Error("it was recorded")
				}
			} else if err != nil || len(all) != leaves+1 || all[leaves].Details.GetRefusal() != c.taken {
				t.Errorf("%v, recorded %v", err, all[leaves:])
			}
			if told := w.replies(); len(told) > 0 {
				t.Errorf("the prison hears %v", told)
			}
		})
	}
}

func TestATeamMayNotAskForWhatCouldBetrayAFamily(t *testing.T) {
	w, manifest := delivered(t)
	const needs = posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL
	for _, part := range []string{"home", "carer", "safety", "phone"} {
		_, err := w.report(bristolInbox, bristolInbox, reply(manifest, needs, "child/1/school", "child/1/"+part))
		wantFault(t, err, fault.Invalid, "NEVER_ASKED")
	}
	for _, path := range []string{"", "home", "child/1/secrets", "child/{n}/school", "child/0/school", "urgency"} {
		_, err := w.report(bristolInbox, bristolInbox, reply(manifest, needs, path))
		wantFault(t, err, fault.Invalid, "UNKNOWN_SECTION")
	}
	if len(w.replies()) > 0 || len(w.events(logv1.Kind_KIND_REPLIED)) > 0 {
		t.Fatal("a refused question left a trace")
	}
	// Order and repetition could spell something: what the prison hears has neither.
	must(w.report(bristolInbox, bristolInbox, reply(manifest, needs, "parent/language", "child/1/school", "parent/language")))(t)
	if told := w.replies(); len(told) != 1 || strings.Join(told[0].GetPaths(), " ") != "child/1/school parent/language" {
		t.Errorf("the prison hears %v", told)
	}
}

func TestARepeatedReportIsOneEvent(t *testing.T) {
	w, manifest := delivered(t)
	r := reply(manifest, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN)
	first := must(verify.Receipt(must(w.report(bristolInbox, bristolInbox, r))(t).GetReceipt(), w.LogKeys()))(t)
	w.Clock.Advance(time.Hour)
	again := must(verify.Receipt(must(w.report(bristolInbox, bristolInbox, r))(t).GetReceipt(), w.LogKeys()))(t)
	if first.EventID != again.EventID || len(w.events(logv1.Kind_KIND_REPLIED)) != 1 || len(w.replies()) != 1 {
		t.Errorf("%d events, %d replies", len(w.events(logv1.Kind_KIND_REPLIED)), len(w.replies()))
	}
}

func TestAnInboxReportsOnlyWhatItWasSent(t *testing.T) {
	w, manifest := delivered(t)
	referred := w.one(formtest.New(testkit.Lancashire))
	w.decided(referred)
	sum := sha256.Sum256(referred.GetManifest().GetPayload())
	accepted := posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT

	_, notYours := w.report(lancashireInbox, lancashireInbox, reply(manifest, accepted))
	_, notShared := w.report(lancashireInbox, lancashireInbox, reply(sum[:], accepted))
	_, notThere := w.report(lancashireInbox, lancashireInbox, reply(make([]byte, 32), accepted))
	for _, err := range []error{notYours, notShared, notThere} {
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
		if !reflect.DeepEqual(err, notThere) {
			t.Errorf("%q differs from %q", err, notThere)
		}
	}
	for _, empty := range [][]byte{nil, {1, 2, 3}} {
		_, err := w.report(bristolInbox, bristolInbox, reply(empty, accepted))
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
	}
	_, err := w.report(bristolInbox, lancashireInbox, reply(manifest, accepted))
	wantFault(t, err, fault.Denied, "SENDER_IS_NOT_CALLER")
	_, err = posternv1.NewMailboxServiceClient(w.ToHub(bristolInbox)).Report(t.Context(), &posternv1.ReportRequest{})
	wantFault(t, err, fault.Unverified, "NOT_ONE_SIGNATURE")
	if len(w.replies()) > 0 || len(w.events(logv1.Kind_KIND_REPLIED)) > 0 {
		t.Error("something was recorded")
	}
}
