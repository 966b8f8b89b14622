package hub_test

import (
	"bytes"
	"crypto/rand"
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

// delivered is a world in which one notification was shared with Bristol and delivered, and how a report names it.
func delivered(t *testing.T) (*world, subject) {
	w := newWorld(t)
	n := w.shareable()
	w.decided(n)
	w.Settle()
	return w, subjectOf(t, n)
}

// subject is what a report is about.
type subject struct {
	id       string
	manifest []byte
}

func subjectOf(t *testing.T, n *posternv1.SealedNotification) subject {
	t.Helper()
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	return subject{idOf(t, n), sum[:]}
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

func reply(about subject, code posternv1.ReplyCode, paths ...string) *posternv1.Report {
	return &posternv1.Report{NotificationId: about.id, ManifestSha256: about.manifest, ReportTime: timestamppb.New(testkit.Now),
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
	w, sent := delivered(t)
	var last posternv1.ReplyCode
	for number := range posternv1.ReplyCode_name {
		code := posternv1.ReplyCode(number)
		before, leaves := len(w.replies()), len(w.events(logv1.Kind_KIND_REPLIED))
		answer, err := w.report(bristolInbox, bristolInbox, reply(sent, code))
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
	_, err := w.report(bristolInbox, bristolInbox, reply(sent, 99))
	wantFault(t, err, fault.Invalid, "REPLY_CODE")
}

func TestEveryKindOfReport(t *testing.T) {
	w, sent := delivered(t)
	about := func(r *posternv1.Report) *posternv1.Report {
		r.NotificationId, r.ManifestSha256 = sent.id, sent.manifest
		return r
	}
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
	w, sent := delivered(t)
	const needs = posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL
	for _, part := range []string{"home", "carer", "safety", "phone"} {
		_, err := w.report(bristolInbox, bristolInbox, reply(sent, needs, "child/1/school", "child/1/"+part))
		wantFault(t, err, fault.Invalid, "NEVER_ASKED")
	}
	for _, path := range []string{"", "home", "child/1/secrets", "child/{n}/school", "child/0/school", "urgency"} {
		_, err := w.report(bristolInbox, bristolInbox, reply(sent, needs, path))
		wantFault(t, err, fault.Invalid, "UNKNOWN_SECTION")
	}
	if len(w.replies()) > 0 || len(w.events(logv1.Kind_KIND_REPLIED)) > 0 {
		t.Fatal("a refused question left a trace")
	}
	// Order and repetition could spell something: what the prison hears has neither.
	must(w.report(bristolInbox, bristolInbox, reply(sent, needs, "parent/language", "child/1/school", "parent/language")))(t)
	if told := w.replies(); len(told) != 1 || strings.Join(told[0].GetPaths(), " ") != "child/1/school parent/language" {
		t.Errorf("the prison hears %v", told)
	}
}

func TestARepeatedReportIsOneEvent(t *testing.T) {
	w, sent := delivered(t)
	r := reply(sent, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN)
	first := must(verify.Receipt(must(w.report(bristolInbox, bristolInbox, r))(t).GetReceipt(), w.LogKeys()))(t)
	w.Clock.Advance(time.Hour)
	again := must(verify.Receipt(must(w.report(bristolInbox, bristolInbox, r))(t).GetReceipt(), w.LogKeys()))(t)
	if first.EventID != again.EventID || len(w.events(logv1.Kind_KIND_REPLIED)) != 1 || len(w.replies()) != 1 {
		t.Errorf("%d events, %d replies", len(w.events(logv1.Kind_KIND_REPLIED)), len(w.replies()))
	}
}

func TestAnInboxReportsOnlyWhatItWasSent(t *testing.T) {
	w, sent := delivered(t)
	referred := w.one(formtest.New(testkit.Lancashire))
	w.decided(referred)
	accepted := posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT

	_, notYours := w.report(lancashireInbox, lancashireInbox, reply(sent, accepted))
	_, notShared := w.report(lancashireInbox, lancashireInbox, reply(subjectOf(t, referred), accepted))
	_, notThere := w.report(lancashireInbox, lancashireInbox, reply(subject{sent.id, make([]byte, 32)}, accepted))
	for _, err := range []error{notYours, notShared, notThere} {
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
		if !reflect.DeepEqual(err, notThere) {
			t.Errorf("%q differs from %q", err, notThere)
		}
	}
	for _, empty := range [][]byte{nil, {1, 2, 3}} {
		_, err := w.report(bristolInbox, bristolInbox, reply(subject{sent.id, empty}, accepted))
		wantFault(t, err, fault.NotFound, "NOT_FOUND")
	}
	_, err := w.report(bristolInbox, lancashireInbox, reply(sent, accepted))
	wantFault(t, err, fault.Denied, "SENDER_IS_NOT_CALLER")
	_, err = posternv1.NewMailboxServiceClient(w.ToHub(bristolInbox)).Report(t.Context(), &posternv1.ReportRequest{})
	wantFault(t, err, fault.Unverified, "NOT_ONE_SIGNATURE")
	if len(w.replies()) > 0 || len(w.events(logv1.Kind_KIND_REPLIED)) > 0 {
		t.Error("something was recorded")
	}
}

// Id and manifest must belong together. A report that names another notification, none, or what is no name is answered as
// one about nothing, whatever it says and wherever it is asked.
func TestAReportNamesItsNotification(t *testing.T) {
	w, sent := delivered(t)
	second := w.shareable()
	w.decided(second)
	w.Settle()
	other := subjectOf(t, second)
	absent := subject{must(envelope.NewID(rand.Reader))(t), bytes.Repeat([]byte{7}, 32)}
	const accepted = posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT
	ways := map[string]func(subject) error{
		"reply": func(s subject) error { _, err := w.report(bristolInbox, bristolInbox, reply(s, accepted)); return err },
		"redirect": func(s subject) error {
			_, err := w.report(bristolInbox, bristolInbox, &posternv1.Report{NotificationId: s.id, ManifestSha256: s.manifest, Report: &posternv1.Report_Redirect{
				Redirect: &posternv1.Redirect{ManifestSha256: s.manifest, Authority: testkit.Lancashire}}})
			return err
		},
		"what became of it": func(s subject) error {
			_, err := posternv1.NewMailboxServiceClient(w.ToHub(bristolInbox)).GetRedirect(t.Context(),
				&posternv1.GetRedirectRequest{NotificationId: s.id, ManifestSha256: s.manifest, Authority: testkit.Lancashire})
			return err
		},
	}
	for way, ask := range ways {
		nothing := ask(absent)
		wantFault(t, nothing, fault.NotFound, "NOT_FOUND")
		for name, s := range map[string]subject{
			"another notification, this manifest": {other.id, sent.manifest},
			"this notification, another manifest": {sent.id, other.manifest},
			"no notification":                     {"", sent.manifest},
			"another's reference":                 {envelope.Reference(other.id), sent.manifest},
			"a reference of nothing":              {envelope.Reference(absent.id), sent.manifest},
			"no name at all":                      {"the family", sent.manifest},
			"a key of the hub's":                  {sent.id + "\x01", sent.manifest},
			"an id in capitals":                   {strings.ToUpper(sent.id), sent.manifest},
		} {
			if err := ask(s); !reflect.DeepEqual(err, nothing) {
				t.Errorf("%s about %s: %v, want %v", way, name, err, nothing)
			}
		}
	}
	if len(w.replies()) > 0 || len(w.events(logv1.Kind_KIND_REPLIED))+len(w.events(logv1.Kind_KIND_REDIRECTED)) > 0 {
		t.Error("something was recorded")
	}
	for _, s := range []subject{sent, other} {
		must(w.report(bristolInbox, bristolInbox, reply(s, accepted)))(t)
	}
	for i, e := range w.events(logv1.Kind_KIND_REPLIED) {
		if want := []subject{sent, other}[i]; e.Details.GetNotificationId() != want.id || !bytes.Equal(e.Core.GetManifestSha256(), want.manifest) {
			t.Errorf("recorded of %s", e.Details.GetNotificationId())
		}
	}
}

// What was decided again stands by its newest decision, and is answered with its first when it comes again.
func TestWhatWasDecidedAgainIsFoundByItsManifest(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	first, before := w.decided(n)
	w.LoadDirectory(2, without("child/{n}/phone"))
	w.Settle()
	decisions := w.events(logv1.Kind_KIND_DECIDED)
	if len(decisions) != 2 || len(w.Inbox(testkit.Bristol).Items()) != 1 {
		t.Fatalf("%d decisions", len(decisions))
	}
	must(w.report(bristolInbox, bristolInbox, reply(subjectOf(t, n), posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN)))(t)
	replied := w.events(logv1.Kind_KIND_REPLIED)
	if len(replied) != 1 || !bytes.Equal(replied[0].Core.GetFollowsEvent(), decisions[1].Leaf.EventID[:]) {
		t.Errorf("the reply follows %v", replied)
	}
	second, after := w.decided(n)
	if before.EventID != after.EventID || !proto.Equal(first.GetDecision(), second.GetDecision()) || len(w.events(logv1.Kind_KIND_DECIDED)) != 2 {
		t.Errorf("the same again is answered with %x, and first was with %x", after.EventID, before.EventID)
	}
}

// A team is asked, by reference and by another prison, to stop what never came. It answers by the only name it knows.
func TestAStopOfWhatNeverCameIsAnsweredByReference(t *testing.T) {
	w := newWorld(t)
	n, slip := w.withSlip(formtest.New(testkit.Bristol))
	must(w.submit(testkit.HMPBristol, n))(t)
	w.try()
	if got := w.withdraw(testkit.HMPParc, envelope.Reference(idOf(t, n)), code(slip)); got != "stop_asked" {
		t.Fatalf("answered %s", got)
	}
	w.settle()
	asked, answered := w.events(stopAsked), w.events(logv1.Kind_KIND_STOP_ANSWERED)
	if len(asked) != 1 || len(answered) != 1 || answered[0].Details.GetRefusal() != "STOPPED" || answered[0].Details.GetNotificationId() != idOf(t, n) ||
		!bytes.Equal(answered[0].Core.GetFollowsEvent(), asked[0].Leaf.EventID[:]) {
		t.Errorf("asked %d times, answered %v", len(asked), answered)
	}
}
