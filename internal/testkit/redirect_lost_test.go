package testkit_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// lose replaces the hub's disk by an empty one and lets everybody tell the next hub what it must know.
func (s *found) lose() {
	s.t.Helper()
	s.LoseHub()
	settleLater(s.Exchange)
}

// stopped reports whether a team was asked to stop what it has of it.
func (s *found) stopped(in *testkit.Inbox) bool {
	return slices.ContainsFunc(in.Items(), func(i *localv1.Item) bool { return i.GetId() == s.id && i.GetStop() != nil })
}

// asPrison is what the prison may see of a withdrawal that was taken after a loss: its desk, and how much the log has that
// it knows.
func (s *found) asPrison() (*localv1.Notification, uint64) {
	s.t.Helper()
	size, _, _ := s.Ledger.Cut().Head(ledger.Sent)
	return s.desk.Get(s.id).GetNotification(), size
}

// The hub that knew of a redirect is gone. A withdrawal reaches the other team all the same, after one loss and after two,
// of all and of a part; the prison sees what it would see had nothing been passed on.
func TestAWithdrawalFollowsTheChildAfterALoss(t *testing.T) {
	for name, c := range map[string]struct {
		losses int
		paths  []string
	}{"all": {1, nil}, "a part": {1, []string{"child/1/phone"}}, "after two losses": {2, nil}} {
		t.Run(name, func(t *testing.T) {
			s, alone := newFound(t, formtest.New(testkit.Bristol)), newFound(t, formtest.New(testkit.Bristol))
			s.passOn()
			s.Settle()
			for range c.losses {
				s.lose()
				alone.lose()
			}
			if s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED || len(s.lancashire.Items()) != 1 {
				t.Fatalf("after the loss Bristol sees %s, and Lancashire has %d", s.state(), len(s.lancashire.Items()))
			}
			s.withdraw(c.paths...)
			alone.withdraw(c.paths...)
			for authority, in := range map[string]*testkit.Inbox{"Bristol": s.bristol, "Lancashire": s.lancashire} {
				item := s.read(in)
				if !s.stopped(in) || len(c.paths) == 0 && len(item.GetSections()) > 0 || slices.ContainsFunc(item.GetSections(), func(o *localv1.OpenedSection) bool { return slices.Contains(c.paths, o.GetPath()) }) {
					t.Errorf("%s reads %v", authority, item.GetItem())
				}
			}
			if _, err := s.lancashire.AnswerStop(t.Context(), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
				t.Error(err)
			}
			s.Settle()
			asked, answered := s.events(ledger.Received, logv1.Kind_KIND_STOP_ASKED), s.events(ledger.Received, logv1.Kind_KIND_STOP_ANSWERED)
			if len(asked) != 1 || asked[0].Details.GetAuthority() != testkit.Lancashire || len(answered) != 1 || string(answered[0].Core.GetFollowsEvent()) != string(asked[0].Leaf.EventID[:]) {
				t.Errorf("Lancashire was asked %d times and answered %d", len(asked), len(answered))
			}
			with, sizeWith := s.asPrison()
			without, sizeWithout := alone.asPrison()
			if with.GetState() != without.GetState() || !proto.Equal(with.GetWithdrawals()[0].GetAnswer().GetReasons()[0], without.GetWithdrawals()[0].GetAnswer().GetReasons()[0]) || with.GetReply().GetCode() != without.GetReply().GetCode() || sizeWith != sizeWithout {
				t.Errorf("the prison sees\n%v, %d\nand without a redirect\n%v, %d", with, sizeWith, without, sizeWithout)
			}
		})
	}
}

// The stop request to the other team was lost with the hub: the first team, asked by the next one, says who else has it.
func TestAStopThatWasLostWithTheHubFollowsTheChild(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.passOn()
	s.Settle()
	s.lancashire.Link.Down(true)
	s.withdraw()
	if !s.stopped(s.bristol) || s.stopped(s.lancashire) {
		t.Fatal("the line to Lancashire was not cut")
	}
	s.lose()
	s.lancashire.Link.Down(false)
	settleLater(s.Exchange)
	if !s.stopped(s.lancashire) || len(s.read(s.lancashire).GetSections()) > 0 {
		t.Errorf("Lancashire reads %v", s.read(s.lancashire).GetItem())
	}
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_STOP_ASKED)); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// What was on its way to the other team when the disk was lost does not go by itself: nobody knows whether it arrived, so
// the team that passed it on is told to telephone. It may pass it on again, and then it is there once.
func TestWhatWasOnItsWayToAnotherTeamIsDecidedByAPersonAfterALoss(t *testing.T) {
	for name, arrived := range map[string]bool{"it had not arrived": false, "the hub had not heard that it arrived": true} {
		t.Run(name, func(t *testing.T) {
			s := newFound(t, formtest.New(testkit.Bristol))
			if arrived {
				s.lancashire.Link.LoseAnswers(1)
			} else {
				s.lancashire.Link.Down(true)
			}
			s.passOn()
			s.Settle()
			if s.state() != posternv1.RedirectState_REDIRECT_STATE_SENT {
				t.Fatalf("Bristol sees %s", s.state())
			}
			had := len(s.lancashire.Items())
			s.LoseHub()
			s.lancashire.Link.Down(false)
			settleLater(s.Exchange)
			if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || len(s.lancashire.Items()) != had {
				t.Errorf("Bristol sees %s, and Lancashire has %d and had %d", s.state(), len(s.lancashire.Items()), had)
			}
			s.passOn()
			settleLater(s.Exchange)
			if s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED || len(s.lancashire.Items()) != 1 || len(s.read(s.lancashire).GetSections()) == 0 {
				t.Errorf("passed on again: Bristol sees %s, and Lancashire has %d", s.state(), len(s.lancashire.Items()))
			}
			s.withdraw()
			if !s.stopped(s.lancashire) {
				t.Error("Lancashire is not asked to stop")
			}
		})
	}
}

// What the hub that was lost had refused to pass on stays where it is, also when the next one would share it: nobody asked
// that one. And nobody is asked to stop what they never had.
func TestWhatWasNotPassedOnStaysHereAfterALoss(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.LoadDirectory(2, testkit.Register{Without: []string{testkit.Lancashire}})
	s.passOn()
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED {
		t.Fatalf("Bristol sees %s", s.state())
	}
	s.lose() // and the next hub has an agreement with Lancashire
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED || len(s.lancashire.Items()) > 0 {
		t.Errorf("Bristol sees %s, and Lancashire has %d", s.state(), len(s.lancashire.Items()))
	}
	s.withdraw()
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)); n > 0 || !s.stopped(s.bristol) || s.stopped(s.lancashire) {
		t.Errorf("%d redirects, Bristol asked %v, Lancashire asked %v", n, s.stopped(s.bristol), s.stopped(s.lancashire))
	}
}

// While the next hub has not heard from every prison what was withdrawn, what a person passes on waits too.
func TestWhatIsPassedOnWaitsForThePrisonsToo(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.LoseHubDisk()
	s.LoadDirectory(1, testkit.Register{})
	s.Settle()
	s.passOn()
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_SENT || len(s.lancashire.Items()) > 0 {
		t.Errorf("Bristol sees %s, and Lancashire has %d before the other prison has told", s.state(), len(s.lancashire.Items()))
	}
	s.Desk(testkit.HMPBristol)
	settleLater(s.Exchange)
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_DELIVERED || len(s.lancashire.Items()) != 1 {
		t.Errorf("Bristol sees %s, and Lancashire has %d", s.state(), len(s.lancashire.Items()))
	}
}

// A report of what was passed on before brings no content with it: whether that goes once more a person decides.
func TestAHubIsToldWithoutContent(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	path := "/authority/" + testkit.Bristol + "/inbox"
	payload, err := proto.Marshal(&posternv1.Report{NotificationId: s.id, ManifestSha256: s.manifest(), ReportTime: timestamppb.New(s.Clock.Now()), Report: &posternv1.Report_Redirect{
		Redirect: &posternv1.Redirect{ManifestSha256: s.manifest(), Authority: testkit.Lancashire}}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := envelope.SignStatement(s.Identity(path), envelope.TypeReport, payload)
	if err != nil {
		t.Fatal(err)
	}
	_, err = posternv1.NewMailboxServiceClient(s.ToHub(path)).Report(t.Context(), &posternv1.ReportRequest{Signed: signed, Redirected: &posternv1.SealedNotification{}, Resubmitted: true})
	if fault.From(err).Reason != "TOLD_WITH_CONTENT" {
		t.Errorf("got %v", err)
	}
}

// The next hub shares it with nobody any more, so that nothing can be passed on by it. A withdrawal reaches both teams; and
// what nobody knows the end of, the team that passed it on telephones about.
func TestAWithdrawalFollowsTheChildWhereNothingIsSharedAnyMore(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.passOn()
	s.Settle()
	s.lancashire.Link.Down(true)
	s.passOn()
	s.LoseHubDisk()
	s.LoadDirectory(1, testkit.Register{Without: []string{testkit.Bristol}})
	s.Desk(testkit.HMPBristol)
	s.lancashire.Link.Down(false)
	settleLater(s.Exchange)
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)); n > 0 {
		t.Errorf("%d redirects are recorded of what is not shared", n)
	}
	s.withdraw()
	if !s.stopped(s.bristol) || !s.stopped(s.lancashire) {
		t.Errorf("asked: Bristol %v, Lancashire %v", s.stopped(s.bristol), s.stopped(s.lancashire))
	}
}

func TestAHubThatNeverHearsOfARedirectIsNotAskedForEver(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.Down(true)
	s.passOn()
	s.LoseHubDisk()
	s.LoadDirectory(1, testkit.Register{Without: []string{testkit.Bristol}})
	settleLater(s.Exchange)
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_SENT {
		t.Errorf("at first Bristol sees %s", s.state())
	}
	s.Clock.Advance(25 * time.Hour)
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
		t.Errorf("a day later Bristol sees %s", s.state())
	}
}

// A team cannot have others asked to stop what it was never sent, nor those that are not there.
func TestOnlyTheTeamThatHadItTellsOfARedirect(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	about := s.manifest()
	for name, c := range map[string]struct {
		by, to string
		about  []byte
	}{
		"another team":             {testkit.Lancashire, testkit.Bristol, about},
		"what is not there":        {testkit.Bristol, testkit.Lancashire, make([]byte, 32)},
		"an authority that is not": {testkit.Bristol, "E99999999", about},
	} {
		_, err := s.tells(c.by, c.to, c.about)
		if fault.KindOf(err) != fault.NotFound || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	before := s.prison()
	for range 2 { // the same again is the same event, though it was signed anew
		if _, err := s.tells(testkit.Bristol, testkit.Lancashire, about); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(time.Second)
	}
	if n := len(s.events(ledger.Received, logv1.Kind_KIND_REDIRECTED)); n != 1 || s.prison() != before {
		t.Errorf("recorded %d times, or the prison sees it", n)
	}
}

// A team that got it from another one cannot ask what became of it elsewhere; and one that it was refused is nobody here.
func TestWhoGotItFromAnotherTeamLearnsNoMore(t *testing.T) {
	refused := formtest.New(testkit.Bristol)
	refused.Consent.FollowsChild, refused.Consent.Authorities = false, []string{testkit.Bristol}
	for name, f := range map[string]*posternv1.Form{"passed on": formtest.New(testkit.Bristol), "not passed on": refused} {
		s := newFound(t, f)
		shared := s.passOn().GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
		s.Settle()
		if shared != (len(s.lancashire.Items()) == 1) || shared != (name == "passed on") {
			t.Fatalf("%s: shared %v, Lancashire has %d", name, shared, len(s.lancashire.Items()))
		}
		ask := func(by string) error {
			_, err := posternv1.NewMailboxServiceClient(s.ToHub("/authority/"+by+"/inbox")).GetRedirect(t.Context(),
				&posternv1.GetRedirectRequest{NotificationId: s.id, ManifestSha256: s.manifest(), Authority: testkit.Lancashire})
			return err
		}
		if err := ask(testkit.Bristol); err != nil {
			t.Errorf("%s: the team that passed it on is answered %v", name, err)
		}
		if err := ask(testkit.Lancashire); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: the other team is answered %v", name, err)
		}
		if _, err := s.replies(testkit.Lancashire); shared != (err == nil) || !shared && fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: what the other team says of it is answered %v", name, err)
		}
	}
}

// replies says as a team's inbox that it will contact the family.
func (s *found) replies(by string) (*posternv1.ReportResponse, error) {
	s.t.Helper()
	path := "/authority/" + by + "/inbox"
	payload, err := proto.Marshal(&posternv1.Report{NotificationId: s.id, ManifestSha256: s.manifest(), ReportTime: timestamppb.New(s.Clock.Now()), Report: &posternv1.Report_Reply{
		Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}}})
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := envelope.SignStatement(s.Identity(path), envelope.TypeReport, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	return posternv1.NewMailboxServiceClient(s.ToHub(path)).Report(s.t.Context(), &posternv1.ReportRequest{Signed: signed})
}

// manifest is the digest of what Bristol was sent.
func (s *found) manifest() []byte {
	s.t.Helper()
	return s.events(ledger.Sent, logv1.Kind_KIND_DECIDED)[0].Core.GetManifestSha256()
}

// tells says as a team's inbox that it passed something on, to a hub before this one.
func (s *found) tells(by, to string, manifest []byte) (*posternv1.ReportResponse, error) {
	s.t.Helper()
	path := "/authority/" + by + "/inbox"
	payload, err := proto.Marshal(&posternv1.Report{NotificationId: s.id, ManifestSha256: manifest, ReportTime: timestamppb.New(s.Clock.Now()), Report: &posternv1.Report_Redirect{
		Redirect: &posternv1.Redirect{ManifestSha256: manifest, Authority: to}}})
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := envelope.SignStatement(s.Identity(path), envelope.TypeReport, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	return posternv1.NewMailboxServiceClient(s.ToHub(path)).Report(s.t.Context(), &posternv1.ReportRequest{Signed: signed, Resubmitted: true})
}

// The next hub did not share what the first had, and shared another manifest of the notification, which took the place of
// the one that was passed on. The withdrawal reaches the other team all the same: whoever passed it on knows still of which
// notification that was.
func TestAWithdrawalFollowsWhatAnotherTookThePlaceOf(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.passOn()
	s.Settle()
	s.LoseHubDisk()
	s.LoadDirectory(1, testkit.Register{Without: []string{testkit.Bristol}})
	s.Desk(testkit.HMPBristol)
	settleLater(s.Exchange)
	s.LoadDirectory(2, testkit.Register{})
	second := s.Seal(testkit.HMPParc, formtest.New(testkit.Bristol), func(d *envelope.Draft) {
		d.Manifest.NotificationId, d.Hub.MaybeSentSha256 = s.id, [][]byte{s.manifest()}
	})[0]
	if _, err := s.Submission(testkit.HMPParc).Submit(s.t.Context(), &posternv1.SubmitRequest{Notification: second}); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	if decided := s.events(ledger.Sent, logv1.Kind_KIND_DECIDED); len(decided) != 2 || decided[0].Core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || len(s.bristol.Items()) != 1 {
		t.Fatalf("%d decisions, and Bristol has %d", len(decided), len(s.bristol.Items()))
	}
	s.withdraw()
	if !s.stopped(s.lancashire) { // its own team has no more of the first than the other took the place of
		t.Error("Lancashire was not asked")
	}
}
