package testkit_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// worker is a call by somebody of the team.
func worker(t *testing.T) context.Context {
	return rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"})
}

// reply answers an item of Bristol's team.
func (s *found) reply(id string, code posternv1.ReplyCode, paths ...string) {
	s.t.Helper()
	if _, err := s.bristol.ReplyItem(worker(s.t), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: &posternv1.Reply{Code: code, Paths: paths}}); err != nil {
		s.t.Fatal(err)
	}
}

// outcome records what came of it at Bristol's team.
func (s *found) outcome(code posternv1.FamilyOutcomeCode) {
	s.t.Helper()
	if _, err := s.bristol.RecordOutcome(worker(s.t), &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: s.id}, Outcome: code}); err != nil {
		s.t.Fatal(err)
	}
}

// refused has Bristol's team try once what the hub does not know.
func (s *found) refused() {
	s.t.Helper()
	if worked, err := s.bristol.StepReports(s.t.Context()); !worked || err != nil {
		s.t.Fatalf("worked %v: %v", worked, err)
	}
}

// hours lets everybody do what they do in so many hours.
func (s *found) hours(n int) {
	s.t.Helper()
	for range n {
		s.Settle()
		s.Clock.Advance(time.Hour)
	}
	s.Settle()
}

// said is what the received log has of what teams said, oldest first.
func (s *found) said(kind logv1.Kind) (all []string) {
	s.t.Helper()
	for _, e := range slices.Backward(s.events(ledger.Received, kind)) {
		all = append(all, e.Details.GetRefusal())
	}
	return all
}

// A team says something while the hub is away for good. The next one refuses it until the desk has told it what it is about.
func TestWhatATeamSaysOutlivesTheHub(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(*found)
		kind logv1.Kind
		want string
		hear posternv1.ReplyCode
	}{
		"a reply": {func(s *found) { s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school") },
			logv1.Kind_KIND_REPLIED, "NEEDS_DETAIL", posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL},
		"an outcome": {func(s *found) { s.outcome(posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_MADE) },
			logv1.Kind_KIND_REPLIED, "OFFER_MADE", 0},
		"an answer to a stop request": {func(s *found) {
			s.withdraw("child/1/phone")
			if _, err := s.bristol.AnswerStop(worker(t), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
				t.Fatal(err)
			}
		}, logv1.Kind_KIND_STOP_ANSWERED, "STOPPED", posternv1.ReplyCode_REPLY_CODE_STOP_ASKED},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFound(t, formtest.New(testkit.Bristol))
			c.say(s)
			s.LoseHub() // before the report went
			s.refused()
			s.hours(4)
			if got := s.said(c.kind); !slices.Equal(got, []string{c.want}) {
				t.Errorf("the hub heard %q", got)
			}
			if n := s.desk.Get(s.id).GetNotification(); n.GetReply().GetCode() != c.hear {
				t.Errorf("the prison hears %v", n.GetReply())
			}
		})
	}
}

// What a team says first and what it says instead come to the hub in that order, though the first was refused and waits.
func TestTwoRepliesKeepTheirOrderAfterALoss(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school")
	s.LoseHub()
	s.refused()
	s.Settle() // now the hub knows it, and the first reply waits still
	s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT)
	s.hours(4)
	if got := s.said(logv1.Kind_KIND_REPLIED); !slices.Equal(got, []string{"NEEDS_DETAIL", "ACCEPTED_FOR_CONTACT"}) {
		t.Errorf("the hub heard %q", got)
	}
	if n := s.desk.Get(s.id).GetNotification(); n.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT {
		t.Errorf("the prison hears %v", n.GetReply())
	}
}

// What the hub never takes holds up nothing else, and after days it is for a person: the team telephones the prison. What
// came of it does not hide that, and whoever answers again has it sent once more.
func TestAReplyThatIsRefusedForDaysIsForAPerson(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	other := s.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	s.Settle()
	s.desk.Link.Down(true)
	s.LoseHub()
	s.outcome(posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_MADE)
	s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school")
	s.reply(other, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN)
	s.hours(90)
	if got := s.said(logv1.Kind_KIND_REPLIED); !slices.Equal(got, []string{"ALREADY_KNOWN"}) {
		t.Fatalf("the hub heard %q", got)
	}
	if i := s.read(s.bristol).GetItem(); i.GetDueTime() != nil || i.GetWork().GetUnheardTime() != nil {
		t.Fatalf("after less than four days it is given up: %v", i)
	}
	s.hours(160)
	if i := s.read(s.bristol).GetItem(); i.GetDueTime() == nil || i.GetWork().GetUnheardTime() == nil {
		t.Fatalf("nobody is to telephone: %v", i)
	}
	s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school") // the same by the same person
	if i := s.read(s.bristol).GetItem(); i.GetDueTime() != nil {
		t.Errorf("answered again, it is due: %v", i)
	}
	s.desk.Link.Down(false)
	s.hours(4)
	if n := s.desk.Get(s.id).GetNotification(); n.GetReply().GetCode() != posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL {
		t.Errorf("the prison hears %v", n.GetReply())
	}
	if got := s.said(logv1.Kind_KIND_REPLIED); !slices.Equal(got, []string{"ALREADY_KNOWN", "NEEDS_DETAIL"}) {
		t.Errorf("the hub heard %q", got)
	}
}

// What was withdrawn while a reply to it waited is withdrawn: the reply opens nothing again, and nobody is to telephone.
func TestAReplyToWhatWasWithdrawnMeanwhile(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.reply(s.id, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school")
	s.LoseHub()
	s.refused()
	s.withdraw()
	if _, err := s.bristol.AnswerStop(worker(t), &localv1.AnswerStopRequest{Id: s.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}); err != nil {
		t.Fatal(err)
	}
	s.hours(4)
	if n := s.desk.Get(s.id).GetNotification(); n.GetState() != localv1.State_STATE_STOP_ASKED {
		t.Errorf("the prison sees %v", n.GetState())
	}
	if i := s.read(s.bristol).GetItem(); i.GetDueTime() != nil {
		t.Errorf("the team has it to do: %v", i)
	}
	if got := s.said(logv1.Kind_KIND_STOP_ANSWERED); !slices.Equal(got, []string{"STOPPED"}) {
		t.Errorf("the hub heard %q", got)
	}
}
