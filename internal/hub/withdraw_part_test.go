package hub_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestAPartIsWithdrawnBeforeItBegan(t *testing.T) {
	w := newWorld(t)
	n := w.one(formtest.New(testkit.Bristol, testkit.Bristol))
	first, _ := w.decided(n)
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/2", "child/1/phone")); got != "withdrawn" {
		t.Errorf("answered %s", got)
	}
	if w.waiting() != 1 || w.rows(schema.HubOutboxBody) != 1 {
		t.Fatalf("%d wait", w.waiting())
	}
	made := w.events(decided)
	narrow := made[len(made)-1]
	left := narrow.Details.GetDecision().GetPaths()
	if len(made) != 2 || slices.ContainsFunc(left, func(p string) bool { return p == "child/1/phone" || p[:7] == "child/2" }) ||
		!slices.Contains(left, "child/1/home") || len(left) >= len(first.GetDecision().GetPaths()) {
		t.Fatalf("decided again: %v", left)
	}
	if len(narrow.Core.GetSectionsSha256()) != len(left) || !bytes.Equal(narrow.Core.GetFollowsEvent(), w.events(withdrawn)[0].Leaf.EventID[:]) {
		t.Errorf("core %v", narrow.Core)
	}
	u := w.updates(testkit.HMPBristol)
	if len(u) != 1 || !proto.Equal(u[0].GetDecision(), narrow.Details.GetDecision()) {
		t.Fatalf("the desk is told %v", u)
	}
	if e := must(verify.Receipt(u[0].GetReceipt(), w.LogKeys()))(t); e.EventID != narrow.Leaf.EventID {
		t.Errorf("with the receipt of %v", e)
	}
	w.settle()
	item := w.item(idOf(t, n))
	if item.GetItem().GetChildren() != 1 || len(item.GetSections()) != len(left) || item.GetItem().GetStop() != nil {
		t.Errorf("the team sees %v", item.GetItem())
	}
	if len(w.events(stopAsked)) != 0 || len(w.events(logv1.Kind_KIND_DELIVERED)) != 1 {
		t.Error("a stop request, or not delivered once")
	}
	// The rest can be withdrawn too, now that the team has it.
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n)); got != "stop_asked" {
		t.Errorf("answered %s", got)
	}
}

func TestWithoutTheMinimumNothingIsLeftToSend(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	w.decided(n)
	w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/safety"))
	made := w.events(decided)
	if w.waiting() != 0 || len(made) != 2 || made[1].Details.GetDecision().GetOutcome() != refer {
		t.Fatalf("%d wait: an address without the way to knock safely; %v", w.waiting(), made[1].Details.GetDecision())
	}
	w.settle()
	if w.item(idOf(t, n)) != nil {
		t.Error("it went")
	}
}

func TestAPartIsWithdrawnAfterASendBegan(t *testing.T) {
	w := newWorld(t)
	in := w.Inbox(testkit.Bristol)
	n := w.shareable()
	w.decided(n)
	in.Link.LoseAnswers(1) // the team has it, and the hub does not know
	if _, err := w.Hub.StepDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := len(w.item(idOf(t, n)).GetSections())
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/phone")); got != "stop_asked" {
		t.Errorf("answered %s", got)
	}
	if w.waiting() != 2 {
		t.Fatalf("%d wait, not what is left and the stop request", w.waiting())
	}
	w.settle()
	item := w.item(idOf(t, n))
	if len(item.GetSections()) != all-1 || slices.Contains(item.GetItem().GetPaths(), "child/1/phone") || !slices.Equal(item.GetItem().GetStop().GetPaths(), []string{"child/1/phone"}) {
		t.Errorf("the team sees %v", item.GetItem())
	}
	u := w.updates(testkit.HMPBristol)
	if len(u) != 3 || u[0].GetDecision().GetOutcome() != share || !slices.Equal(u[1].GetReply().GetPaths(), []string{"child/1/phone"}) || u[2].GetAcknowledgement() == nil {
		t.Errorf("the desk is told %v", u)
	}
}

// What a send held that began before it was decided again, narrower, the team may have, whatever came of it since.
func TestAPartIsWithdrawnThatOnlyAnEarlierSendHeld(t *testing.T) {
	w := newWorld(t)
	in := w.Inbox(testkit.Bristol)
	n := w.shareable()
	w.decided(n)
	in.Link.LoseAnswers(1) // the team has all of it, and the hub does not know
	if _, err := w.Hub.StepDelivery(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.LoadDirectory(2, without("child/{n}/phone"))
	w.settle()
	if decided := w.events(logv1.Kind_KIND_DECIDED); len(decided) != 2 || slices.Contains(decided[1].Details.GetDecision().GetPaths(), "child/1/phone") {
		t.Fatalf("%d decisions, want a second that is narrower", len(decided))
	}
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/phone")); got != "stop_asked" {
		t.Errorf("answered %s", got)
	}
	w.settle()
	if item := w.item(idOf(t, n)); slices.Contains(item.GetItem().GetPaths(), "child/1/phone") {
		t.Errorf("the team sees %v", item.GetItem().GetPaths())
	}
}

func TestWhatWasNotReleasedNeedsNoStop(t *testing.T) {
	w := newWorld(t)
	f := formtest.New(testkit.Bristol)
	f.Consent.Sections = slices.DeleteFunc(f.Consent.Sections, func(s string) bool { return s == "child/{n}/school" })
	n := w.one(f)
	w.decided(n)
	w.settle()
	if got := w.withdraw(testkit.HMPBristol, idOf(t, n), paths("child/1/school")); got != "withdrawn" {
		t.Errorf("answered %s", got)
	}
	if len(w.events(stopAsked)) != 0 || w.waiting() != 0 {
		t.Error("the team was asked to stop what it was never sent")
	}
}

// Nothing goes by this route yet, so the manifests are made by hand.
func TestWhatDidNotGoByPermissionIsObjectedTo(t *testing.T) {
	for _, route := range []posternv1.Route{posternv1.Route_ROUTE_URGENT, posternv1.Route_ROUTE_DUTY} {
		w := newWorld(t)
		n := w.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(d *envelope.Draft) { d.Manifest.GetOffer().Route = route })[0]
		w.decided(n)
		if got := w.withdraw(testkit.HMPBristol, idOf(t, n)); got != "objection_recorded" {
			t.Errorf("%v: answered %s", route, got)
		}
		e := w.events(withdrawn)[0]
		if e.Core.GetOutcome() != refer || w.rows(schema.HubWithdrawal) != 0 {
			t.Errorf("%v: %v, %d tombstones", route, e.Core, w.rows(schema.HubWithdrawal))
		}
	}
}

func TestARefusedWithdrawalIsRecorded(t *testing.T) {
	w := newWorld(t)
	n := w.shareable()
	w.decided(n)
	good := w.withdrawal(testkit.HMPBristol, idOf(t, n))
	foreign := w.withdrawal(testkit.HMPParc, idOf(t, n))
	cases := map[string]struct {
		edit   func(*posternv1.SealedNotification)
		kind   fault.Kind
		reason string
	}{
		"no stop request":        {func(s *posternv1.SealedNotification) { s.StopRequest = nil }, fault.Unverified, "NOT_ONE_SIGNATURE"},
		"another's stop request": {func(s *posternv1.SealedNotification) { s.StopRequest = foreign.StopRequest }, fault.Invalid, "BAD_STOP_REQUEST"},
		"a stop request for more": {func(s *posternv1.SealedNotification) {
			s.StopRequest = w.withdrawal(testkit.HMPBristol, idOf(t, w.shareable())).StopRequest
		}, fault.Invalid, "BAD_STOP_REQUEST"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := proto.CloneOf(good)
			c.edit(s)
			before := len(w.events(logv1.Kind_KIND_REFUSED))
			_, err := w.submit(testkit.HMPBristol, s)
			wantFault(t, err, c.kind, c.reason)
			if len(w.events(logv1.Kind_KIND_REFUSED)) != before+1 {
				t.Error("the refusal is not in the log")
			}
		})
	}
	if w.waiting() != 1 {
		t.Error("it was stopped nevertheless")
	}
}

func TestOnlyWhoWasAskedAnswers(t *testing.T) {
	w := newWorld(t)
	in := w.Inbox(testkit.Bristol)
	n := w.shareable()
	w.decided(n)
	w.settle()
	ask := func(answer posternv1.StopAnswerCode) error {
		_, err := in.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: idOf(t, n), Answer: answer})
		return err
	}
	wantFault(t, ask(posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED), fault.Precondition, "NOT_WITHDRAWN")
	unasked := must(envelope.SignStatement(w.Identity("/authority/E06000023/inbox"), envelope.TypeReport, must(proto.Marshal(&posternv1.Report{
		NotificationId: idOf(t, n), ManifestSha256: subjectOf(t, n).manifest, Report: &posternv1.Report_StopAnswer{StopAnswer: &posternv1.StopAnswer{Code: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}}}))(t)))(t)
	_, err := posternv1.NewMailboxServiceClient(in.ToHub).Report(t.Context(), &posternv1.ReportRequest{Signed: unasked})
	wantFault(t, err, fault.NotFound, "NOT_FOUND")

	w.withdraw(testkit.HMPBristol, idOf(t, n))
	w.settle()
	heard := len(w.updates(testkit.HMPBristol))
	for _, answer := range []posternv1.StopAnswerCode{posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY, posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY, posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED} {
		if err := ask(answer); err != nil {
			t.Fatal(err)
		}
		w.settle()
	}
	all := w.events(logv1.Kind_KIND_STOP_ANSWERED)
	if len(all) != 2 || all[0].Log != ledger.Received || all[0].Details.GetRefusal() != "RETAINED_DUTY" || all[1].Details.GetRefusal() != "STOPPED" ||
		!bytes.Equal(all[0].Core.GetFollowsEvent(), w.events(stopAsked)[0].Leaf.EventID[:]) {
		t.Errorf("recorded %v", all)
	}
	if len(w.updates(testkit.HMPBristol)) != heard {
		t.Error("the prison heard what the team answered")
	}
	if got := w.item(idOf(t, n)).GetItem().GetStop().GetAnswer(); got != posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED {
		t.Errorf("the team sees the answer %v", got)
	}
}

// What is left of a notification cannot be decided again, as nobody vouches for its desk's certificate any more, or as its
// content is lost. The withdrawal of a part stands all the same: nothing of it waits or is kept, and a person decides.
func TestAPartIsWithdrawnOfWhatCannotBeDecidedAgain(t *testing.T) {
	lose := func(w *world) { // as a damaged database might
		var place []byte
		must(0, w.Store.View(w.t.Context(), func(s store.Snapshot) error {
			return s.Scan(schema.HubOutboxBody, nil, nil, func(key, _ []byte) (bool, error) { place = bytes.Clone(key); return false, nil })
		}))(w.t)
		must(0, w.Ledger.Append(w.t.Context(), func(tx *ledger.Tx) error { return tx.Delete(schema.HubOutboxBody, place) }))(w.t)
	}
	for name, lost := range map[string]bool{"nobody vouches for it": false, "its content is lost": true} {
		for where, arrived := range map[string]bool{"waiting": false, "kept": true} {
			t.Run(name+", "+where, func(t *testing.T) {
				w, id, forsake, _ := disowned(t)
				if arrived {
					w.settle()
				}
				if lost {
					lose(w)
				} else {
					forsake()
				}
				want := map[bool]string{false: "withdrawn", true: "stop_asked"}[arrived]
				if got := w.withdraw(testkit.HMPBristol, id, paths("child/1/phone")); got != want {
					t.Errorf("answered %s", got)
				}
				made, _ := w.decisions()
				last := made[len(made)-1]
				if len(made) != 2 || last.GetOutcome() != refer || len(last.GetChildren()) != 1 || last.GetChildren()[0].GetOutcome() != refer || last.GetDueTime() == nil {
					t.Errorf("decided again: %v", last)
				}
				if told := w.again(); len(told) != map[bool]int{false: 1, true: 0}[arrived] {
					t.Errorf("the desk is told of %d decisions", len(told)) // what the team has, and when, it is not told
				}
				if w.rows(schema.HubOutbox)-len(w.events(stopAsked)) != 0 || w.rows(schema.HubKept) != 0 {
					t.Errorf("%d wait and %d are kept beside the stop request", w.rows(schema.HubOutbox), w.rows(schema.HubKept))
				}
			})
		}
	}
}
