package testkit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// One of two children lives elsewhere and was passed on: the other one is still the team's.
func TestTheChildWhoStaysIsStillToDo(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
	if s.bristol.Items()[0].GetDueTime() == nil {
		t.Fatal("not due before")
	}
	s.passOn(1)
	s.Settle()
	if i := s.bristol.Items()[0]; i.GetDueTime() == nil {
		t.Errorf("nothing is due about child 2, whom nobody answered for: passed on %v", i.GetPassedOn())
	}
}

// A second child is found at the same authority later.
func TestAnotherChildIsNotSaidToBeWithATeamThatNeverHasHer(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
	s.passOn(1)
	s.Settle()
	out, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire, Children: []uint32{2}})
	s.Settle()
	there := false
	for _, i := range s.lancashire.Items() {
		there = there || slices.ContainsFunc(i.GetPaths(), func(p string) bool { return strings.HasPrefix(p, "child/2/") })
	}
	if err == nil && !there {
		t.Errorf("passing on child 2 says %v, and Lancashire never has her: %v; Bristol's item says %v", out.GetPassedOn(), s.lancashire.Items()[0].GetPaths(), s.bristol.Items()[0].GetPassedOn())
	}
}

// What came of it was recorded while it was on its way to the other team, where it never arrives.
func TestWhatGoesAstrayAfterAnOutcomeIsToDo(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.Down(true)
	s.passOn()
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"})
	if _, err := s.bristol.RecordOutcome(ctx, &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: s.id}, Outcome: posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_NOT_REACHED}); err != nil {
		t.Fatal(err)
	}
	for range 24 * 4 {
		s.Clock.Advance(time.Hour)
		s.Settle()
		if s.state() == posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
			break
		}
	}
	i := s.bristol.Items()[0]
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
		t.Fatalf("still %v at %v", s.state(), s.Clock.Now())
	}
	if i.GetDueTime() == nil {
		t.Errorf("nobody is led to what did not arrive: %v", i.GetPassedOn())
	}
	// Who telephoned says the same of it as before. That is no second press, and a second press of it is one.
	for range 2 {
		w, err := s.bristol.RecordOutcome(ctx, &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: s.id}, Outcome: posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_NOT_REACHED})
		if i = s.bristol.Items()[0]; err != nil || i.GetDueTime() != nil || len(w.GetWork().GetDeeds()) != 2 {
			t.Errorf("telephoned, it is due at %v: %v, %v", i.GetDueTime(), w.GetWork().GetDeeds(), err)
		}
		s.Clock.Advance(time.Minute)
	}
}

// What did not arrive and is passed on to the same team again was done twice, and the same pressed again once.
func TestPassingOnOnceMoreIsADeed(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol))
	s.lancashire.Link.Down(true)
	passOn := func() (deeds int) {
		t.Helper()
		ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"})
		for range 2 {
			if _, err := s.bristol.RedirectItem(ctx, &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire}); err != nil {
				t.Fatal(err)
			}
		}
		return len(s.bristol.Items()[0].GetWork().GetDeeds())
	}
	if n := passOn(); n != 1 {
		t.Errorf("once, the history has %d", n)
	}
	s.Clock.Advance(25 * time.Hour)
	s.Settle()
	if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
		t.Fatalf("still %v", s.state())
	}
	s.lancashire.Link.Down(false)
	if n := passOn(); n != 2 {
		t.Errorf("twice, the history has %d", n)
	}
}

// The second child lives where the first does, who waits for a call, and goes alone.
func TestReviewTheAddressOfASecondChild(t *testing.T) {
	x := testkit.NewExchange(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.GetChildren()[0].GetCarer().IsAdult = posternv1.Answer_ANSWER_NO
	f.GetChildren()[1].Home = &posternv1.ChildHome{Provenance: f.GetChildren()[0].GetHome().GetProvenance(), SameAsChild: 1}
	id := x.Desk(testkit.HMPBristol).Take(f)[0]
	x.Settle()
	got, err := x.Inbox(testkit.Bristol).GetItem(t.Context(), &localv1.GetItemRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.GetSections() {
		if s.GetPath() == "child/2/home" {
			h := &posternv1.ChildHome{}
			if err := proto.Unmarshal(s.GetContent(), h); err != nil || len(h.GetAddressLines()) == 0 {
				t.Errorf("her home is %v", h)
			}
		}
	}
}

// The first child arrived though the hub gave her up; then both are passed on.
func TestWhatComesOnceMoreWithAnotherChildShowsHer(t *testing.T) {
	for name, then := range map[string][]uint32{"with her brother": nil, "alone": {2}} {
		t.Run(name, func(t *testing.T) {
			s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
			s.lancashire.Link.LoseAnswers(1 << 20)
			s.passOn(1)
			for range 24 * 4 {
				s.Settle()
				s.Clock.Advance(time.Hour)
				if s.state() == posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED {
					break
				}
			}
			if s.state() != posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED || len(s.lancashire.Items()) != 1 {
				t.Fatalf("%v, Lancashire has %d", s.state(), len(s.lancashire.Items()))
			}
			before := s.read(s.lancashire)
			s.lancashire.Link.LoseAnswers(0)
			ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"})
			reply := &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: s.id}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}}
			if _, err := s.lancashire.ReplyItem(ctx, reply); err != nil || s.lancashire.Items()[0].GetDueTime() != nil {
				t.Fatalf("of the first child answered: %v", err)
			}
			s.Clock.Advance(time.Minute)
			out := s.passOn(then...)
			for range 3 {
				s.Settle()
				s.Clock.Advance(testkit.MaxWait)
			}
			s.Settle()
			there := s.read(s.lancashire)
			var numbers []uint32
			for _, c := range there.GetDecision().GetChildren() {
				numbers = append(numbers, c.GetNumber())
			}
			for _, prefix := range []string{"child/1/", "child/2/"} {
				if !slices.ContainsFunc(there.GetItem().GetPaths(), func(p string) bool { return strings.HasPrefix(p, prefix) }) || !slices.Equal(numbers, []uint32{1, 2}) {
					t.Errorf("decided %v for children %d; Bristol sees %v, and Lancashire has %v, decided for %v", out.GetDecision().GetOutcome(), len(out.GetDecision().GetChildren()),
						s.state(), there.GetItem().GetPaths(), numbers)
				}
			}
			for _, o := range before.GetDecision().GetObligations() { // what is to be done for a child who was there is still to be done
				if !slices.ContainsFunc(there.GetDecision().GetObligations(), func(n *posternv1.Obligation) bool {
					return n.GetKind() == o.GetKind() && n.GetChildNumber() == o.GetChildNumber()
				}) {
					t.Errorf("Lancashire is not told any more of %v", o)
				}
			}
			if s.lancashire.Items()[0].GetDueTime() == nil {
				t.Error("nothing is due about her")
			}
			if w, err := s.lancashire.ReplyItem(ctx, reply); err != nil || s.lancashire.Items()[0].GetDueTime() != nil {
				t.Errorf("known as her brother is, she is still to be answered for: %v, %v", w.GetWork().GetDeeds(), err)
			}
		})
	}
}

// Nothing is passed on under a recipient key that has ended: a desk would not seal to it, and whoever has an old key of a team
// must not read what is passed on today.
func TestNothingIsPassedOnUnderAKeyThatHasEnded(t *testing.T) {
	x := testkit.NewExchange(t, func(c *testkit.Config) {
		c.Register.KeyEnds = map[string]time.Time{testkit.Lancashire: testkit.Now.Add(time.Hour)}
	})
	desk, bristol := x.Desk(testkit.HMPParc), x.Inbox(testkit.Bristol) // Lancashire's inbox is off, and publishes no other key
	id := desk.Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	x.Clock.Advance(2 * time.Hour)
	crossed := 0
	bristol.ToHub.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.ReportRequest{}
		if proto.Unmarshal(b, req) == nil {
			for _, r := range req.GetRedirected().GetRedirections() {
				crossed += len(r.GetSectionKeys())
			}
		}
		return b
	})
	out, err := bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: id, Authority: testkit.Lancashire})
	if err == nil || crossed > 0 {
		t.Errorf("decided %v, %v: the keys of %d sections went to the hub, sealed to a key that has ended", out.GetDecision().GetOutcome(), err, crossed)
	}
}

// A team whose inbox was put back does not know that it passed on a child; the hub does.
func TestTheHubDoesNotSayOfAnotherChildThatSheIsThere(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
	copied := s.bristol.Backup()
	s.passOn(1)
	s.Settle()
	s.bristol.Restore(copied)
	s.Clock.Advance(time.Minute)
	out, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire, Children: []uint32{2}})
	if fault.From(err).Reason != "THERE_ALREADY" {
		t.Errorf("the second child is answered %v, %v", out.GetPassedOn().GetState(), err)
	}
	if again, err := s.bristol.RedirectItem(t.Context(), &localv1.RedirectItemRequest{Id: s.id, Authority: testkit.Lancashire, Children: []uint32{1}}); err != nil {
		t.Errorf("the same again is answered %v, %v", again.GetPassedOn().GetState(), err)
	}
}

// A withdrawal of what another child has is not told to a team that was never told of her.
func TestATeamIsNotAskedToStopWhatItNeverHad(t *testing.T) {
	s := newFound(t, formtest.New(testkit.Bristol, testkit.Bristol))
	s.passOn(1)
	s.Settle()
	before := s.read(s.lancashire)
	s.withdraw("child/2/phone")
	if after := s.read(s.lancashire); !proto.Equal(after, before) || len(s.events(ledger.Received, logv1.Kind_KIND_STOP_ASKED)) > 0 {
		t.Errorf("Lancashire, which has one child, hears of another: %v", after.GetItem().GetStop())
	}
	if s.read(s.bristol).GetItem().GetStop() == nil {
		t.Error("Bristol was not asked")
	}
	s.withdraw("child/1/phone")
	if stop := s.read(s.lancashire).GetItem().GetStop(); !slices.Equal(stop.GetPaths(), []string{"child/1/phone"}) {
		t.Errorf("Lancashire is asked to stop %v", stop.GetPaths())
	}
}
