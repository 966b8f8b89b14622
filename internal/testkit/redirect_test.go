package testkit_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// found is an exchange in which HMP Parc, which has an agreement with both, has told Bristol of a family.
type found struct {
	*testkit.Exchange
	t                   *testing.T
	desk                *testkit.Desk
	bristol, lancashire *testkit.Inbox
	id                  string
}

func newFound(t *testing.T, f *posternv1.Form, edits ...func(*testkit.Config)) *found {
	t.Helper()
	x := testkit.NewExchange(t, edits...)
	s := &found{Exchange: x, t: t, desk: x.Desk(testkit.HMPParc), bristol: x.Inbox(testkit.Bristol), lancashire: x.Inbox(testkit.Lancashire)}
	s.id = s.desk.Take(f)[0]
	x.Settle()
	if len(s.bristol.Items()) != 1 {
		t.Fatal("Bristol does not have it")
	}
	return s
}

func (s *found) passOn(children ...uint32) *localv1.RedirectItemResponse {
	s.t.Helper()
	out, err := s.bristol.RedirectItem(s.t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire, Children: children})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// state is what Bristol sees of what it passed on.
func (s *found) state() posternv1.RedirectState {
	s.t.Helper()
	all := s.bristol.Items()[0].GetPassedOn()
	if len(all) != 1 || all[0].GetAuthority() != testkit.Lancashire {
		s.t.Fatalf("passed on: %v", all)
	}
	return all[0].GetState()
}

func (s *found) read(in *testkit.Inbox) *localv1.GetItemResponse {
	s.t.Helper()
	out, err := in.GetItem(s.t.Context(), &localv1.GetItemRequest{Id: s.id})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// prison is all that the prison can see: what its desk shows, what the hub has for it to fetch, and the size of its log.
func (s *found) prison() string {
	s.t.Helper()
	out := protojson.Format(s.desk.Get(s.id).GetNotification())
	err := s.Store.View(s.t.Context(), func(r store.Snapshot) error {
		return r.Scan(schema.HubUpdate, nil, nil, func(key, value []byte) (bool, error) {
			out += string(key) + string(value)
			return true, nil
		})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	_, _, checkpoint := s.Ledger.Cut().Head(ledger.Sent)
	return out + checkpoint
}

// events are the events of a kind in a log.
func (s *found) events(log ledger.Log, kind logv1.Kind) (all []ledger.Logged) {
	s.t.Helper()
	_, err := s.Ledger.Events(s.t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if e.Leaf.Kind == kind && e.Origin == s.Ledger.Origin(log) {
			all = append(all, e)
		}
		return true, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestAChildFoundElsewhereIsPassedOn(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	before := s.prison()
	out := s.passOn()
	if out.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || !slices.ContainsFunc(out.GetDecision().GetReasons(), func(r *posternv1.Reason) bool { return r.GetRuleId() == "redirected" }) {
		t.Fatalf("decided %v", out.GetDecision())
	}
	s.Settle()
	first, there := s.read(s.bristol), s.read(s.lancashire)
	if there.GetItem().GetPassedOnBy() != testkit.Bristol || there.GetItem().GetFactsMismatch() || len(there.GetSections()) != len(first.GetSections()) || len(first.GetSections()) == 0 {
		t.Fatalf("Lancashire reads %v", there.GetItem())
	}
	for i, section := range first.GetSections() {
		if !proto.Equal(section, there.GetSections()[i]) {
			t.Errorf("Lancashire reads another %s", section.GetPath())
		}
	}
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED {
		t.Errorf("Bristol sees %s", s.state())
	}
	events := s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)
	if len(events) != 1 || events[0].Details.GetAuthority() != testkit.Lancashire || len(s.events(ledger.Sent, logv1.Kind_KIND_REDIRECTED)) > 0 {
		t.Errorf("recorded %d times", len(events))
	}
	// The same again is the same, and whoever got it that way cannot pass it on.
	if again := s.passOn(); !proto.Equal(again.GetDecision(), out.GetDecision()) || len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)) != 1 {
		t.Errorf("again: %v", again)
	}
	s.Settle()
	if len(s.lancashire.Items()) != 1 || s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED {
		t.Errorf("again, Lancashire has %d, and Bristol sees %s", len(s.lancashire.Items()), s.state())
	}
	_, err := s.lancashire.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Bristol})
	wantReason(t, err, "PASSED_ON")
	if after := s.prison(); after != before {
		t.Errorf("the prison sees\n%s\nand before\n%s", after, before)
	}
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	if err == nil || fault.From(err).Reason != reason {
		t.Errorf("%v, want %s", err, reason)
	}
}

func TestOnlyTheChildrenWhoAreThereArePassedOn(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
	s.passOn(2)
	s.Settle()
	there := s.read(s.lancashire)
	for _, section := range there.GetSections() {
		if len(section.GetPath()) > 8 && section.GetPath()[:8] == "child/1/" {
			t.Errorf("Lancashire reads %s", section.GetPath())
		}
	}
	if there.GetItem().GetChildren() != 1 || len(there.GetDecision().GetChildren()) != 1 || there.GetDecision().GetChildren()[0].GetNumber() != 2 {
		t.Errorf("Lancashire is told of %v", there.GetDecision().GetChildren())
	}
	_, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire, Children: []uint32{3}})
	wantReason(t, err, "NO_CHILD")
}

func TestWhatIsNotPassedOn(t *testing.T) {
	named := formtest.New(testkit.Bristol)
	named.Consent.FollowsChild, named.Consent.Authorities = false, []string{testkit.Bristol}
	for name, c := range map[string]struct {
		form *posternv1.Form
		edit func(*testkit.Config)
		rule string
	}{
		"the parent named one team": {named, func(*testkit.Config) {}, "redirected"},
		"no agreement with it":      {formtest.New(testkit.Bristol), func(c *testkit.Config) { c.Register.Without = []string{testkit.Lancashire} }, "no_data_sharing_agreement"},
	} {
		s := newFound(t, c.form, c.edit)
		before := s.prison()
		out := s.passOn()
		s.Settle()
		if out.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_REFER_TO_PERSON ||
			!slices.ContainsFunc(allReasons(out.GetDecision()), func(r *posternv1.Reason) bool { return r.GetRuleId() == c.rule }) {
			t.Errorf("%s: %v", name, out.GetDecision())
		}
		if len(s.lancashire.Items()) > 0 || s.state() != posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED || s.prison() != before {
			t.Errorf("%s: Lancashire has %d, and Bristol sees %s", name, len(s.lancashire.Items()), s.state())
		}
		if len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)) != 1 {
			t.Errorf("%s: it is not recorded", name)
		}
		for authority, reason := range map[string]string{testkit.Bristol: "OUR_OWN", "W06000006": "NO_RECIPIENT", "E06000008": "NO_AUTHORITY"} {
			_, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: authority})
			wantReason(t, err, reason)
		}
	}
}

// An answer that is lost, and one that comes twice, change nothing.
func TestARedirectIsOneWhateverTheLineDoes(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.bristol.ToHub.Duplicate(true)
	s.passOn()
	s.bristol.ToHub.Duplicate(false)
	s.lancashire.Link.LoseAnswers(1)
	settleLater(s.Exchange)
	s.passOn()
	settleLater(s.Exchange)
	if len(s.lancashire.Items()) != 1 || s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED {
		t.Errorf("Lancashire has %d, and Bristol sees %s", len(s.lancashire.Items()), s.state())
	}
}

// A team that does not answer in time is for the team that passed it on to telephone, and for nobody else.
func TestARedirectThatDoesNotArriveIsForTheTeamThatMadeIt(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	before := s.prison()
	s.lancashire.Link.Down(true)
	s.passOn()
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_SENT {
		t.Errorf("on its way, Bristol sees %s", s.state())
	}
	s.Clock.Advance(25 * time.Hour)
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || s.prison() != before {
		t.Errorf("given up, Bristol sees %s", s.state())
	}
	// They telephone, the other team mends its line, and it is passed on again.
	s.lancashire.Link.Down(false)
	s.passOn()
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED || len(s.lancashire.Items()) != 1 || s.prison() != before {
		t.Errorf("again, Bristol sees %s", s.state())
	}
}

// What changed since it was decided stops it on its way; they pass it on again.
func TestARedirectOnAnOldDirectoryIsNotSent(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.Down(true)
	s.passOn()
	s.Settle()
	s.LoadDirectory(2, testkit.Register{Without: []string{testkit.Lancashire}})
	s.lancashire.Link.Down(false)
	settleLater(s.Exchange)
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || len(s.lancashire.Items()) > 0 {
		t.Errorf("Lancashire has %d, and Bristol sees %s", len(s.lancashire.Items()), s.state())
	}
	if out := s.passOn(); out.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		t.Error("it is passed on without an agreement")
	}
}

func (s *found) withdraw(paths ...string) {
	s.t.Helper()
	if _, err := s.desk.Withdraw(s.t.Context(), &localv1.WithdrawNotificationRequest{Id: s.id, Paths: paths,
		Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff); err != nil {
		s.t.Fatal(err)
	}
	settleLater(s.Exchange)
}

// A withdrawal follows the child: every team that may have it is asked, and the prison sees what it would see without.
func TestAWithdrawalFollowsTheChild(t *testing.T) {
	for name, paths := range map[string][]string{"all": nil, "a part": {"child/1/phone", "parent/custody"}} {
		s, alone := newFound(t, formtest.New(testkit.Bristol)), newFound(t, formtest.New(testkit.Bristol))
		s.passOn()
		s.Settle()
		s.withdraw(paths...)
		alone.withdraw(paths...)
		for _, in := range []*testkit.Inbox{s.bristol, s.lancashire} {
			item := s.read(in)
			stop := item.GetItem().GetStop()
			if stop == nil || len(stop.GetPaths()) != len(paths) || len(paths) == 0 && len(item.GetSections()) > 0 ||
				slices.ContainsFunc(item.GetSections(), func(o *localv1.OpenedSection) bool { return slices.Contains(paths, o.GetPath()) }) {
				t.Errorf("%s: a team reads %v", name, item)
			}
		}
		if _, err := s.lancashire.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
			t.Error(err)
		}
		s.Settle()
		asked, answered := s.events(ledger.Received, logv1.Kind_KIND_STOP_ASKED), s.events(ledger.Received, logv1.Kind_KIND_STOP_ANSWERED)
		if len(asked) != 1 || len(answered) != 1 || string(answered[0].Core.GetFollowsEvent()) != string(asked[0].Leaf.EventID[:]) {
			t.Errorf("%s: asked %d times and answered %d", name, len(asked), len(answered))
		}
		with, without := s.desk.Get(s.id).GetNotification(), alone.desk.Get(alone.id).GetNotification()
		sizeWith, _, _ := s.Ledger.Cut().Head(ledger.Sent)
		sizeWithout, _, _ := alone.Ledger.Cut().Head(ledger.Sent)
		if with.GetState() != without.GetState() || !proto.Equal(with.GetWithdrawals()[0].GetAnswer(), without.GetWithdrawals()[0].GetAnswer()) ||
			with.GetReply().GetCode() != without.GetReply().GetCode() || sizeWith != sizeWithout {
			t.Errorf("%s: the prison sees\n%v, %d\nand without a redirect\n%v, %d", name, with, sizeWith, without, sizeWithout)
		}
		// What was withdrawn does not go on any more.
		if len(paths) == 0 {
			_, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire})
			wantReason(t, err, "WITHDRAWN")
		}
	}
}

func TestWhatIsWithdrawnOnItsWayToAnotherTeamDoesNotArrive(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.Down(true)
	s.passOn()
	s.withdraw()
	s.lancashire.Link.Down(false)
	settleLater(s.Exchange)
	if items := s.lancashire.Items(); len(items) > 0 {
		t.Errorf("Lancashire has %v", items)
	}
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
		t.Errorf("Bristol sees %s", s.state())
	}
}

// A team may have what the hub gave up for lost, and what is decided when it is passed on once more changes nothing of
// that: a withdrawal reaches it, and its answer is taken.
func TestAWithdrawalReachesWhatWasPassedOnBefore(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.LoseAnswers(1)
	s.passOn()
	s.Settle()
	s.LoadDirectory(2, testkit.Register{Without: []string{testkit.Lancashire}})
	settleLater(s.Exchange)
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || len(s.lancashire.Items()) != 1 {
		t.Fatalf("Lancashire has %d, and Bristol sees %s", len(s.lancashire.Items()), s.state())
	}
	if out := s.passOn(); out.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		t.Fatal("it is passed on without an agreement")
	}
	s.withdraw()
	if item := s.read(s.lancashire); item.GetItem().GetStop() == nil || len(item.GetSections()) > 0 {
		t.Errorf("Lancashire reads %v", item.GetItem())
	}
	if _, err := s.lancashire.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
		t.Error(err)
	}
	s.Settle()
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_STOP_ANSWERED)); n != 1 {
		t.Errorf("answered %d times", n)
	}
}

// What was passed on once more takes the place of what was given up: after a withdrawal the hub has neither.
func TestNothingThatWasGivenUpOutlivesItsWithdrawal(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	dead := func() int {
		list, err := s.Hub.ListDeadLetters(t.Context(), &localv1.ListDeadLettersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.GetDeadLetters())
	}
	s.lancashire.Link.Down(true)
	for range 2 {
		s.passOn()
		s.Settle()
		s.Clock.Advance(11 * 24 * time.Hour) // longer than any authority is waited for
		s.Settle()
		if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || dead() != 1 {
			t.Fatalf("Bristol sees %s, and %d were given up", s.state(), dead())
		}
	}
	s.withdraw()
	if dead() != 0 {
		t.Errorf("%d that were given up are kept", dead())
	}
}

// A part that was withdrawn before is not passed on.
func TestWhatIsLeftIsPassedOn(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.withdraw("child/1/phone")
	s.passOn()
	s.Settle()
	if item := s.read(s.lancashire); slices.ContainsFunc(item.GetSections(), func(o *localv1.OpenedSection) bool { return o.GetPath() == "child/1/phone" }) || len(item.GetSections()) == 0 {
		t.Errorf("Lancashire reads %v", item.GetItem().GetPaths())
	}
}

// The new team takes it only with the desk's signature, the redirect, the decision on it and the one that it follows.
func TestWhatNobodyVouchesForIsNotTakenFromAnotherTeam(t *testing.T) {
	for name, change := range map[string]func(*posternv1.Delivery){
		"without the first decision": func(d *posternv1.Delivery) { d.FirstReceipt = nil },
		"by itself":                  func(d *posternv1.Delivery) { d.FirstReceipt = d.GetReceipt() },
		"by the first decision":      func(d *posternv1.Delivery) { d.Receipt = d.GetFirstReceipt() },
		"without the redirect":       func(d *posternv1.Delivery) { d.GetNotification().Redirections = nil },
		"without the desk":           func(d *posternv1.Delivery) { d.GetNotification().GetManifest().Signatures = nil },
		"with less":                  func(d *posternv1.Delivery) { d.GetNotification().Sections = d.GetNotification().GetSections()[1:] },
	} {
		s := newFound(t, formtest.New(testkit.Bristol))
		refused := false
		s.lancashire.Link.Requests(func(_ string, b []byte) []byte {
			req := &posternv1.DeliverRequest{}
			if err := proto.Unmarshal(b, req); err != nil {
				t.Error(err)
			}
			change(req.GetDelivery())
			refused = true
			out, err := proto.Marshal(req)
			if err != nil {
				t.Error(err)
			}
			return out
		})
		s.passOn()
		settleLater(s.Exchange)
		if items := s.lancashire.Items(); !refused || len(items) > 0 {
			t.Errorf("%s: Lancashire has %d", name, len(items))
		}
	}
}

// A team cannot pass on what it was not sent, nor say one thing in its report and another beside it.
func TestAHubRefusesARedirectOfWhatWasNotSent(t *testing.T) {
	var patterns []string
	for _, p := range section.All() {
		if p.Name != "phone" {
			patterns = append(patterns, p.Pattern)
		}
	}
	s := newFound(t, formtest.New(testkit.Bristol), func(c *testkit.Config) {
		c.Register.Sections = map[string][]string{testkit.Bristol: patterns} // the desk seals the telephone number, and the hub drops it
	})
	var whole *posternv1.SealedNotification
	s.desk.Link.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.SubmitRequest{}
		if proto.Unmarshal(b, req) == nil && req.GetNotification().GetManifest() != nil {
			whole = req.GetNotification()
		}
		return b
	})
	other := s.desk.Take(formtest.New(testkit.Bristol))[0]
	s.Settle()
	phone := whole.GetSections()[slices.IndexFunc(whole.GetSections(), func(o *posternv1.SealedSection) bool { return o.GetPath() == "child/1/phone" })]
	for name, c := range map[string]struct {
		change func(*posternv1.SealedNotification) *posternv1.SealedNotification
		want   string
	}{
		"nothing":              {func(*posternv1.SealedNotification) *posternv1.SealedNotification { return nil }, "NOT_ONE_SIGNATURE"},
		"without the redirect": {func(n *posternv1.SealedNotification) *posternv1.SealedNotification { n.Redirections = nil; return n }, "REDIRECT_DIFFERS"},
		"to somebody else":     {func(n *posternv1.SealedNotification) *posternv1.SealedNotification { return n }, "REDIRECT_DIFFERS"},
		"a section not released": {func(n *posternv1.SealedNotification) *posternv1.SealedNotification {
			n.Sections = append(n.Sections, phone)
			n.Redirections[0].SectionKeys = append(n.Redirections[0].SectionKeys, &posternv1.SealedSection{Path: phone.GetPath(), Ciphertext: []byte("made up")})
			return n
		}, "NOT_RELEASED"},
	} {
		s.bristol.ToHub.Requests(func(_ string, b []byte) []byte {
			req := &posternv1.ReportRequest{}
			if proto.Unmarshal(b, req) != nil || req.GetRedirected() == nil {
				return b
			}
			if name == "to somebody else" {
				r := &posternv1.Report{}
				if err := proto.Unmarshal(req.GetSigned().GetPayload(), r); err != nil {
					t.Error(err)
				}
				r.GetRedirect().Authority = "W06000006"
				payload, err := proto.Marshal(r)
				if err != nil {
					t.Error(err)
				}
				if req.Signed, err = envelope.SignStatement(s.Identity("/authority/"+testkit.Bristol+"/inbox"), envelope.TypeReport, payload); err != nil {
					t.Error(err)
				}
			}
			req.Redirected = c.change(req.GetRedirected())
			out, err := proto.Marshal(req)
			if err != nil {
				t.Error(err)
			}
			return out
		})
		_, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: other, Authority: testkit.Lancashire})
		if err == nil || fault.From(err).Reason != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	s.bristol.ToHub.Requests(nil)
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)); n > 0 {
		t.Errorf("%d were recorded", n)
	}
	// And whoever was not sent it hears the same as of what is not there.
	_, err := s.lancashire.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: other, Authority: testkit.Bristol})
	wantReason(t, err, "NOT_FOUND")
}
